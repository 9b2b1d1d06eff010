#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include <moeroute/cpu/simd/sort_columns.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

namespace {
std::vector<float> block_of(std::vector<std::vector<float>> const& all, std::size_t first) {
  std::vector<float> x;
  for (std::size_t q = 0; q < 16; ++q) {
    auto const& row = all[(first + q) % all.size()];
    x.insert(x.end(), row.begin(), row.end());
  }
  return x;
}
}  // namespace

TEST_CASE("sort_columns: the k-th largest and the largest of 16 rows, of 16 and of 32 numbers") {
  auto const all = inputs::rows_of_16();
  for (std::size_t first = 0; first < all.size(); ++first)
    for (int width : {16, 32}) {
      auto x = block_of(all, first);
      if (width == 32) {
        auto const more = block_of(all, first + 3);
        x.insert(x.end(), more.begin(), more.end());
      }
      for (int k = 1; k <= 16; ++k) {
        float kth[16], top[16];
        simd::kth_of_rows(x.data(), width, k, kth, top);
        for (int q = 0; q < 16; ++q) {
          std::vector<float> row(x.begin() + width * q, x.begin() + width * (q + 1));
          std::sort(row.begin(), row.end(), std::greater<>());
          CHECK(kth[q] == row[static_cast<std::size_t>(k - 1)]);
          CHECK(top[q] == row[0]);
          if (width == 16) {
            simd::store(top, simd::largest_of_rows(x.data()));
            CHECK(top[q] == row[0]);
          }
        }
      }
    }
}

TEST_CASE("sort_columns: the order of 16 rows, equal numbers by their place, numbers that differ in their last bits") {
  auto const all = inputs::rows_of_16();
  for (std::size_t first = 0; first < all.size(); ++first) {
    auto const x = block_of(all, first);
    for (int k = 1; k <= 16; ++k) {
      std::int32_t order[256];
      int const rows = first % 2 == 0 ? 16 : k;
      simd::order_16_rows(x.data(), rows, k, order);
      for (int q = 0; q < rows; ++q) {
        float const* const row = x.data() + 16 * q;
        std::vector<int> want(16);
        std::iota(want.begin(), want.end(), 0);
        std::stable_sort(want.begin(), want.end(), [&](int a, int b) { return row[a] > row[b]; });
        for (int j = 0; j < k; ++j) CHECK(order[16 * q + j] == want[static_cast<std::size_t>(j)]);
      }
    }
  }
}

TEST_CASE("sort_columns: the last row again behind it, up to 16 rows and no further") {
  for (int width : {16, 32})
    for (int rows = 1; rows <= 16; ++rows) {
      std::vector<float> x(static_cast<std::size_t>(17 * width));
      std::iota(x.begin(), x.end(), 0.f);
      auto want = x;
      for (int q = rows; q < 16; ++q) std::copy_n(x.begin() + width * (rows - 1), width, want.begin() + width * q);
      simd::repeat_last(x.data(), width, rows);
      CHECK(x == want);
    }
}

TEST_CASE("sort_columns: rows in which keys lie close among the first k and the next are told") {
  float x[256];
  std::int32_t order[256];
  for (int near = 0; near < 15; ++near)  // row q holds 0, 100, 200 ... and two that differ by 1 at rank `near`
    for (int k = 1; k <= 15; ++k) {
      for (int q = 0; q < 16; ++q)
        for (int i = 0; i < 16; ++i) {
          int const rank = (i + q) % 16;
          x[16 * q + i] = static_cast<float>(1600 - 100 * rank + (q % 3 == 0 && rank == near + 1 ? 99 : 0));
        }
      unsigned const told = simd::order_by_keys(
          x, k, order, [](simd::floats v) { return simd::convert<std::int32_t>(v) << 4; },
          [](simd::ints a, simd::ints below) { return a <= below + simd::ints(5 << 4); });
      CHECK(told == (near < k ? 0x9249u : 0u));
      for (int q = 0; q < 16; ++q)
        for (int i = 0; i < 16; ++i) CHECK((order[16 * q + i] + q) % 16 == i);
    }
}
