// Inputs of the tests: seeded normal rows, and the rows that break routers.
#pragma once

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace inputs {

inline std::vector<float> normal(std::size_t n, unsigned seed, float scale = 1) {
  std::mt19937 g(seed);
  std::normal_distribution<float> d(0, scale);
  std::vector<float> x(n);
  for (auto& v : x) v = d(g);
  return x;
}

// One row of each kind, as wide as `noise`: ties, constants, sorted, NaN, infinities, extremes, subnormals.
inline std::vector<std::vector<float>> adversarial(std::vector<float> const& noise) {
  std::size_t const experts = noise.size();
  float const inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<std::vector<float>> rows;
  auto const fill = [&](auto f) {
    std::vector<float> r(experts);
    for (std::size_t e = 0; e < experts; ++e) r[e] = f(e);
    rows.push_back(r);
  };
  fill([&](std::size_t e) { return noise[e]; });
  fill([&](std::size_t) { return 0.f; });
  fill([&](std::size_t) { return -3.5f; });
  fill([&](std::size_t e) { return static_cast<float>(e % 3); });
  fill([&](std::size_t e) { return static_cast<float>(e); });
  fill([&](std::size_t e) { return -static_cast<float>(e); });
  fill([&](std::size_t e) { return e % 2 == 0 ? 0.f : -0.f; });
  fill([&](std::size_t) { return nan; });
  fill([&](std::size_t e) { return e % 2 == 0 ? nan : noise[e]; });
  fill([&](std::size_t e) { return e + 1 == experts ? 1.f : nan; });
  fill([&](std::size_t) { return -inf; });
  fill([&](std::size_t) { return inf; });
  fill([&](std::size_t e) { return e % 4 == 1 ? inf : noise[e]; });
  fill([&](std::size_t e) { return e % 3 == 1 ? -inf : noise[e]; });
  fill([&](std::size_t e) { return e == experts / 2 ? 0.f : -inf; });
  fill([&](std::size_t e) { return e % 3 == 0 ? nan : (e % 3 == 1 ? -inf : inf); });
  fill([&](std::size_t e) { return e % 2 == 0 ? nan : -inf; });
  fill([&](std::size_t e) { return noise[e] * 1e30f; });
  fill([&](std::size_t e) { return noise[e] * 1e-40f; });
  fill([&](std::size_t e) { return -1000.f - noise[e]; });
  fill([&](std::size_t e) { return e == 0 ? 100.f : noise[e]; });
  return rows;
}
inline std::vector<std::vector<float>> adversarial(std::size_t experts) { return adversarial(normal(experts, 77)); }
// Rows of 16 numbers without NaN, which is -inf here: some equal, some equal in all but their last bits.
inline std::vector<std::vector<float>> rows_of_16() {
  auto all = adversarial(16);
  for (unsigned seed = 0; seed < 40; ++seed) all.push_back(normal(16, seed));
  float const closed = -moeroute::infinity<float>;
  all.push_back(std::vector<float>(16, closed));
  all.push_back({0.f, -0.f, 0.f, -0.f, 0x1p-149f, -0x1p-149f, 1, 1, -1, -1, closed, -closed, 2, 2, 0, 0});
  for (float one : {1.f, -1.f, .1f}) {
    std::vector<float> near(16);
    for (int i = 0; i < 16; ++i)
      near[static_cast<std::size_t>(i)] = one * (1 + 0x1p-23f * static_cast<float>(i * 5 % 7));
    all.push_back(near);
  }
  for (auto& row : all)
    for (float& x : row) x = moeroute::is_nan(x) ? closed : x;
  return all;
}

}  // namespace inputs
