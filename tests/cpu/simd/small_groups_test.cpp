#include <doctest/doctest.h>

#include <moeroute/grpo/advantage.hpp>

#include "support/inputs.hpp"

#include <cmath>
#include <cstring>

using namespace moeroute;

#if defined(MOEROUTE_SIMD)
TEST_CASE("simd small groups: whole registers are served, the rest is left; a group does not see its neighbors") {
  offset_t const groups = 3 * simd::rewards_at_once<8> / 8 + 1;
  auto const r = inputs::normal(static_cast<std::size_t>(groups) * 8, 4);
  std::vector<float> out(r.size(), 9.f);
  group_advantage_row<float, float> const body{{}, row_view<float const>(r), segments(groups, 8), row_view<float>(out)};
  CHECK(simd::advantages_of_small_groups<8>(body, 0, groups) == groups - 1);
  for (std::size_t i = out.size() - 8; i < out.size(); ++i) CHECK(out[i] == 9.f);
  for (std::size_t g = 0; g + 1 < static_cast<std::size_t>(groups); ++g) {
    double mean = 0, squares = 0;
    for (std::size_t j = 0; j < 8; ++j) mean += static_cast<double>(r[8 * g + j]) / 8;
    for (std::size_t j = 0; j < 8; ++j)
      squares += (static_cast<double>(r[8 * g + j]) - mean) * (static_cast<double>(r[8 * g + j]) - mean);
    for (std::size_t j = 0; j < 8; ++j)
      CHECK(
          static_cast<double>(out[8 * g + j]) ==
          doctest::Approx((static_cast<double>(r[8 * g + j]) - mean) / (std::sqrt(squares / 8) + 1e-6)).epsilon(1e-5));
  }
}
TEST_CASE("promise P7: advantages of groups of 4 to 64 have the bits of one group after the other") {
  for (offset_t const size : {4, 8, 16, 32, 64})
    for (bool const odd : {false, true})
      for (auto const form : {baseline::deviation, baseline::mean_only, baseline::leave_one_out}) {
        CAPTURE(size);
        auto r = inputs::normal(static_cast<std::size_t>(11 * size), 7);
        if (odd)
          for (std::size_t i = 0; i < r.size(); ++i) {
            if (i % 7 == 3) r[i] = not_a_number<float>;
            if (i / static_cast<std::size_t>(size) == 2) r[i] = .25f;  // equals
            if (i / static_cast<std::size_t>(size) == 4) r[i] = i % 3 == 0 ? infinity<float> : 1e30f;
          }
        std::vector<float> a(r.size(), 9.f), b(r.size(), 9.f);
        group_advantage const policy{.against = form, .sample = odd};
        group_advantages(serial{}, policy, row_view<float const>(r), segments(11, size), row_view<float>(a));
        group_advantages(row_by_row{serial{}}, policy, row_view<float const>(r), segments(11, size),
                         row_view<float>(b));
        CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
      }
}
#else
TEST_CASE("simd small groups: no vectors on this machine") { CHECK(sizeof(group_advantage_row<float, float>) > 0); }
#endif
