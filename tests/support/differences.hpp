// Central differences over a whole array, and what the tests of losses that use them share.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

namespace differences {

inline std::vector<double> normals(std::size_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> normal;
  std::vector<double> v(n);
  for (double& x : v) x = normal(rng);
  return v;
}
inline std::vector<std::byte>& memory() {
  static std::vector<std::byte> m(1 << 18);
  return m;
}
// Largest |d - central difference| relative to the largest |d|, over all elements of v.
template <class F>
double difference_error(std::vector<double>& v, std::vector<double> const& d, F const& value) {
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < v.size(); ++i) {
    double const x = v[i], h = 1e-6;
    v[i] = x + h;
    double const up = value();
    v[i] = x - h;
    double const down = value();
    v[i] = x;
    worst = std::max(worst, std::fabs(d[i] - (up - down) / (2 * h)));
    largest = std::max(largest, std::fabs(d[i]));
  }
  CHECK(largest > 0);
  return worst / largest;
}

}  // namespace differences
