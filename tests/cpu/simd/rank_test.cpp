#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include <moeroute/cpu/simd/rank.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

TEST_CASE("rank: the k-th largest of 16, 32 and 64 numbers, in every lane") {
  auto const all = inputs::rows_of_16();
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<float> x;
    for (std::size_t j = 0; j < 4; ++j)
      x.insert(x.end(), all[(i + j) % all.size()].begin(), all[(i + j) % all.size()].end());
    for (int n : {16, 32, 64}) {
      std::vector<float> want(x.begin(), x.begin() + n);
      std::sort(want.begin(), want.end(), std::greater<>());
      for (int k = 1; k <= n; ++k) {
        float got[16];
        simd::store(got, simd::kth_largest(x.data(), n, k));
        for (int j = 0; j < 16; ++j) CHECK(got[j] == want[static_cast<std::size_t>(k - 1)]);
      }
    }
  }
}

TEST_CASE("promise P2 rank: lanes in the order larger number, lower lane; zeros equal; ranks among the first few") {
  for (auto const& row : inputs::rows_of_16()) {
    simd::floats const x = simd::load<simd::floats>(row.data());
    std::int32_t lane[16], rank[16];
    simd::order_rows(row.data(), 1, lane);
    CHECK(std::vector<int>(lane, lane + 16) == reference::order(reference::row(row.begin(), row.end())));
    CHECK(simd::in_order(x, simd::load<simd::ints>(lane)));
    for (int j = 0; j < 15; ++j) {  // no other order is
      std::swap(lane[j], lane[j + 1]);
      CHECK_FALSE(simd::in_order(x, simd::load<simd::ints>(lane)));
      std::swap(lane[j], lane[j + 1]);
    }
    for (int n = 1; n <= 16; ++n) {
      simd::store(rank, simd::ranks(simd::order_keys(x), n));
      auto const want = reference::order(reference::row(row.begin(), row.begin() + n));
      for (int r = 0; r < n; ++r) CHECK(rank[want[static_cast<std::size_t>(r)]] == r);
    }
  }
}

TEST_CASE(
    "rank: the guessed order is the order of numbers that differ before their last four bits, and always one of 16") {
  for (auto const& row : inputs::rows_of_16()) {
    std::vector<std::int32_t> lane(16);
    simd::store(lane.data(), simd::guessed_order(simd::load<simd::floats>(row.data())));
    std::vector<std::int32_t> sorted = lane;
    std::sort(sorted.begin(), sorted.end());
    for (int i = 0; i < 16; ++i) CHECK(sorted[static_cast<std::size_t>(i)] == i);
  }
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::vector<float> row = inputs::normal(16, seed);
    for (std::size_t i = 0; i < 16; i += 5) row[i] = simd::lowest;  // equal: by lane
    std::vector<std::int32_t> lane(16);
    simd::store(lane.data(), simd::guessed_order(simd::load<simd::floats>(row.data())));
    CHECK(std::vector<int>(lane.begin(), lane.end()) == reference::order(reference::row(row.begin(), row.end())));
  }
}
