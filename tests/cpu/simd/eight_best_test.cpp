#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include <moeroute/cpu/simd/eight_best.hpp>

using namespace moeroute;

TEST_CASE("simd eight best: order, the next smaller and the 8th of each row, against a sort") {
  constexpr int rows = simd::eight_best_rows, lanes = simd::row_lanes;
  std::mt19937 g(1);
  for (int round = 0; round < 2000; ++round) {
    std::uniform_int_distribution<std::int32_t> any(-1 - round, round);
    std::int32_t x[16 * rows], best[16 * rows], gap[16 * rows], eighth[std::size_t{lanes}];
    for (std::int32_t& v : x) v = any(g);
    if (round % 7 == 0)
      for (int i = 5; i < 16; ++i) x[i] = least<std::int32_t>;
    auto const v = simd::load<simd::rows_of_16>(x);
    simd::store(best, simd::eight_best(v, [](auto a, auto) { return a; }));
    simd::store(gap, simd::eight_best(v, [](auto a, auto below) { return a - below; }));
    simd::store(eighth, simd::eighth_of_16(v));
    for (int q = 0; q < rows; ++q) {
      std::vector<std::int32_t> want(x + 16 * q, x + 16 * q + 16);
      std::sort(want.begin(), want.end(), std::greater<>());
      for (std::size_t j = 0; j < 16; ++j) {
        std::size_t const r = j % 8, at = 16 * static_cast<std::size_t>(q) + j;
        CHECK(best[at] == want[r]);
        CHECK(static_cast<std::uint32_t>(gap[at]) ==
              static_cast<std::uint32_t>(want[r]) - static_cast<std::uint32_t>(want[r + 1]));
      }
      CHECK(simd::row_of_lane(simd::lane_of_row(q)) == q);
      for (int i = 0; i < lanes; ++i)
        if (simd::row_of_lane(i) == q) CHECK(eighth[i] == want[7]);
    }
  }
}
