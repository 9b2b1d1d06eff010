// The oracle: routing transcribed from the equations, in double, with full sorts and no library code.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace reference {

using row = std::vector<double>;

inline double const inf = std::numeric_limits<double>::infinity();

// Ids by key descending, then id; NaN behind everything.
inline std::vector<int> order(row const& key) {
  std::vector<int> id(key.size());
  std::iota(id.begin(), id.end(), 0);
  std::stable_sort(id.begin(), id.end(), [&](int a, int b) {
    double const x = key[static_cast<std::size_t>(a)], y = key[static_cast<std::size_t>(b)];
    if (std::isnan(x) || std::isnan(y)) return !std::isnan(x) && std::isnan(y);
    return x > y;
  });
  return id;
}

inline double closed_if_nan(double z) { return std::isnan(z) ? -inf : z; }

inline row softmax(row z) {
  for (auto& x : z) x = closed_if_nan(x);
  double const top = *std::max_element(z.begin(), z.end());
  if (top == -inf) return row(z.size(), 0.);
  double total = 0;
  for (auto& x : z) total += x = x == top ? 1. : std::exp(x - top);
  for (auto& x : z) x /= total;
  return z;
}
inline row map(row z, std::function<double(double)> const& f) {
  for (auto& x : z) x = f(closed_if_nan(x));
  return z;
}
inline double sigmoid(double z) { return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z)); }
inline double softplus(double z) { return std::max(z, 0.) + std::log1p(std::exp(-std::fabs(z))); }

// Experts outside the best `top` of `groups` by the sum of their n best keys get key `closed`.
inline row limit_groups(row key, int groups, int top, int n, double closed = -inf) {
  std::size_t const width = key.size() / static_cast<std::size_t>(groups);
  row score;
  for (std::size_t q = 0; q < static_cast<std::size_t>(groups); ++q) {
    row part(key.begin() + static_cast<std::ptrdiff_t>(q * width),
             key.begin() + static_cast<std::ptrdiff_t>((q + 1) * width));
    std::vector<int> const best = order(part);
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += closed_if_nan(part[static_cast<std::size_t>(best[static_cast<std::size_t>(i)])]);
    score.push_back(sum);
  }
  std::vector<int> const best = order(score);
  std::vector<bool> open(static_cast<std::size_t>(groups));
  for (int i = 0; i < top; ++i) open[static_cast<std::size_t>(best[static_cast<std::size_t>(i)])] = true;
  for (std::size_t e = 0; e < key.size(); ++e)
    if (!open[e / width]) key[e] = closed;
  return key;
}

struct choice {
  std::vector<int> id;
  row weight;
};
inline choice top_k(row const& key, row const& score, int k) {
  choice c;
  std::vector<int> const best = order(key);
  for (int j = 0; j < k; ++j) {
    c.id.push_back(best[static_cast<std::size_t>(j)]);
    c.weight.push_back(score[static_cast<std::size_t>(c.id.back())]);
  }
  return c;
}
inline void renormalize(row& w, double scale, double epsilon) {
  double total = epsilon;
  for (double x : w) total += x;
  for (double& x : w) x = total > 0 ? scale * x / total : 0;
}

// Central differences of f at x.
inline row gradient(std::function<double(row const&)> const& f, row x, double h = 1e-6) {
  row g(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    double const keep = x[i];
    x[i] = keep + h;
    double const up = f(x);
    x[i] = keep - h;
    double const down = f(x);
    x[i] = keep;
    g[i] = (up - down) / (2 * h);
  }
  return g;
}

}  // namespace reference
