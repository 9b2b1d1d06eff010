#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <moeroute/core/exact_sum.hpp>
#include <moeroute/core/tree_sum.hpp>

using namespace moeroute;

TEST_CASE_TEMPLATE("exact sum: the same bits in any order and any split", V, float, double) {
  std::mt19937 g(1);
  std::vector<V> x(700);
  for (auto& v : x) v = std::ldexp(std::uniform_real_distribution<V>(0, 1)(g), -static_cast<int>(g() % 40));
  exact_sum<V> whole;
  for (V v : x) whole.add(v);
  long double reference = 0;
  for (V v : x) reference += static_cast<long double>(v);
  CHECK(std::fabs(static_cast<long double>(whole.value()) - reference) <=
        static_cast<long double>(std::numeric_limits<V>::epsilon()) * reference);
  for (int round = 0; round < 20; ++round) {
    std::shuffle(x.begin(), x.end(), g);
    exact_sum<V> left, right;
    std::size_t const cut = g() % x.size();
    for (std::size_t i = 0; i < x.size(); ++i) (i < cut ? left : right).add(x[i]);
    left += right;
    CHECK(left.ticks == whole.ticks);
  }
}

TEST_CASE("exact sum: halves round to even, tiny terms to nothing") {
  CHECK(exact_sum<float>::to_ticks(0x1p-41f) == 0);
  CHECK(exact_sum<float>::to_ticks(0x1.8p-40f) == 2);
  CHECK(exact_sum<float>::to_ticks(0x1p-60f) == 0);
  CHECK(exact_sum<float>::to_ticks(-0.25f) == -(std::int64_t{1} << 38));
  CHECK(exact_sum<double>::to_ticks(1.) == std::int64_t{1} << 52);
}
