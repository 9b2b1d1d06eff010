#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include <moeroute/cpu/simd/best_of_columns.hpp>

using namespace moeroute;

namespace {
constexpr auto N = static_cast<std::size_t>(simd::tokens_at_once);

template <int Fixed>
void check_against_sort(std::size_t experts, std::size_t k) {
  std::mt19937 g(static_cast<unsigned>(17 * experts + k));
  std::vector<float> key(16 * N), value(16 * N), best(16 * N), carried(16 * N);
  std::vector<std::int32_t> id(16 * N);
  for (std::size_t i = 0; i < experts * N; ++i) {
    float const ties[] = {0.f, -0.f, 1.f, -2.f, infinity<float>};
    key[i] = i % N < N / 2 ? ties[g() % 5] : static_cast<float>(g() % 1000);
    value[i] = static_cast<float>(i);
  }
  simd::insert_columns<Fixed, true>(key.data(), value.data(), static_cast<index_t>(experts), static_cast<index_t>(k),
                                    best.data(), carried.data(), id.data());
  std::vector<std::size_t> order(experts);
  for (std::size_t t = 0; t < N; ++t) {
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return key[N * a + t] > key[N * b + t]; });
    for (std::size_t j = 0; j < k; ++j) {
      CHECK(id[N * j + t] == static_cast<std::int32_t>(order[j]));
      CHECK(math::as<std::int32_t>(best[N * j + t]) == math::as<std::int32_t>(key[N * order[j] + t]));  // the same zero
      CHECK(carried[N * j + t] == value[N * order[j] + t]);
    }
  }
}
}  // namespace

TEST_CASE("best of columns: the k best of every lane, ties to the lower id, each with its own key and value") {
  for (std::size_t experts = 1; experts <= 16; ++experts)
    for (std::size_t k = 1; k <= experts; ++k) {
      if (k <= 2) check_against_sort<2>(experts, k);
      if (k <= 4) check_against_sort<4>(experts, k);
      check_against_sort<0>(experts, k);
    }
}
