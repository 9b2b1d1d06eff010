#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include <moeroute/cpu/simd/rank_rows.hpp>

using namespace moeroute;

TEST_CASE("simd rank rows: lanes of the 8 best of each row, against a sort; equal keys leave a gap") {
  std::mt19937 g(1);
  std::uniform_int_distribution<int> any(0, 400);
  int ties = 0;
  for (int round = 0; round < 2000; ++round) {
    float key[32], sorted[32];
    for (float& x : key) x = static_cast<float>(any(g)) / 7 - 20;
    if (round % 5 == 0)
      for (int i = 20; i < 32; ++i) key[i] = -infinity<float>;  // few
    auto const x = simd::load<simd::vec<float, 32>>(key);
    auto const above = simd::keys_above<2>(x, 16), order = simd::lanes_in_order<2>(above);
    std::int32_t count[32], lane[32];
    simd::store(count, above), simd::store(lane, order);
    for (int q = 0; q < 32; q += 16) {
      for (int i = 0; i < 16; ++i)
        CHECK(count[q + i] == std::count_if(key + q, key + q + 16, [&](float o) { return o > key[q + i]; }));
      int want[16];
      std::iota(want, want + 16, 0);
      std::stable_sort(want, want + 16, [&](int a, int b) { return key[q + a] > key[q + b]; });
      simd::store(sorted, simd::permute(simd::part_of<2>(x, q / 16), simd::part_of<2>(order, q / 16)));
      for (int r = 0; r < 8; ++r) {  // the counts say where a tie starts
        bool const alone = std::count(count + q, count + q + 16, r) == 1;
        CHECK(alone == (count[q + lane[q + r]] == r && std::count(key + q, key + q + 16, key[q + want[r]]) == 1));
        if (!alone) {
          ++ties;
          continue;
        }
        CHECK(lane[q + r] == want[r]);
        CHECK(sorted[r] == key[q + want[r]]);
      }
    }
  }
  CHECK(ties > 100);
}
