// Decides whether wide sums are exact, canonical and free of order, from 2^-50 to 2^50 and below zero.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <moeroute/core/wide_sum.hpp>

using namespace moeroute;

TEST_CASE(
    "wide sum: any order and any grouping give the same words; the value is that of the exact "
    "sum") {
  std::mt19937_64 rng(1);
  std::uniform_real_distribution<double> u(-1, 1);
  std::vector<double> x;
  for (int i = 0; i < 2000; ++i) x.push_back(std::ldexp(u(rng), static_cast<int>(rng() % 40) - 10));
  wide_sum forward, backward, left, right;
  for (double v : x) forward.add(v);
  std::reverse(x.begin(), x.end());
  for (double v : x) backward.add(v);
  CHECK(forward == backward);
  for (std::size_t i = 0; i < x.size(); ++i) (i % 3 == 0 ? left : right).add(x[i]);
  left += right;
  CHECK(left == forward);
  CHECK(forward.ticks >= 0);
  CHECK(forward.ticks < (std::int64_t{1} << 50));
  long double exact = 0;
  for (double v : x) exact += static_cast<long double>(v);
  CHECK(forward.value() == doctest::Approx(static_cast<double>(exact)).epsilon(1e-13));
}
TEST_CASE("wide sum: fractions carry into the whole part, also in words an all-reduce added blindly") {
  wide_sum s;
  for (int i = 0; i < 3; ++i) s.add(.75);
  CHECK(s.whole == 2);
  CHECK(s.ticks == std::int64_t{1} << 48);
  wide_sum a, b;
  a.add(.75), b.add(.5);
  wide_sum const blind{a.whole + b.whole, a.ticks + b.ticks};  // not canonical
  CHECK(blind.ticks >= (std::int64_t{1} << 50));
  CHECK(blind.value() == 1.25);
  wide_sum merged;
  merged += blind;
  CHECK(merged.whole == 1);
  CHECK(merged.value() == 1.25);
}
TEST_CASE("wide sum: negative numbers, counts, what is too large, NaN") {
  wide_sum s;
  s.add(-.25);
  CHECK(s.whole == -1);
  CHECK(s.value() == -.25);
  s += std::int64_t{7};
  CHECK(s.value() == 6.75);
  CHECK(wide_sum::of(5).count() == 5);
  wide_sum big;
  big.add(infinity<double>);
  CHECK(big.value() == 0x1p50);
  big.add(-1e300);
  CHECK(big.value() == 0);
  big.add(not_a_number<double>);
  CHECK(big == wide_sum{});
}
