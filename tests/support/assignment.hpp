// Decides what balanced assignments are compared with: the exact optimum by brute mathematics, and equal loads.
#pragma once

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include <moeroute/core/types.hpp>

namespace choice_test {

using namespace moeroute;

// Exact optimum: shortest augmenting paths (Hungarian) on tokens against places, every expert repeated T/E times.
inline double optimum(std::vector<double> const& s, std::size_t tokens, std::size_t experts) {
  std::size_t const n = tokens, each = tokens / experts;
  auto const cost = [&](std::size_t i, std::size_t j) { return -s[(i - 1) * experts + (j - 1) / each]; };
  std::vector<double> u(n + 1), v(n + 1);
  std::vector<std::size_t> match(n + 1), way(n + 1);
  for (std::size_t i = 1; i <= n; ++i) {
    match[0] = i;
    std::size_t j0 = 0;
    std::vector<double> least(n + 1, std::numeric_limits<double>::infinity());
    std::vector<bool> used(n + 1);
    do {
      used[j0] = true;
      std::size_t const i0 = match[j0];
      std::size_t j1 = 0;
      double delta = std::numeric_limits<double>::infinity();
      for (std::size_t j = 1; j <= n; ++j) {
        if (used[j]) continue;
        double const reduced = cost(i0, j) - u[i0] - v[j];
        if (reduced < least[j]) least[j] = reduced, way[j] = j0;
        if (least[j] < delta) delta = least[j], j1 = j;
      }
      for (std::size_t j = 0; j <= n; ++j) {
        if (used[j]) u[match[j]] += delta, v[j] -= delta;
        else least[j] -= delta;
      }
      j0 = j1;
    } while (match[j0] != 0);
    do {
      std::size_t const j1 = way[j0];
      match[j0] = match[j1];
      j0 = j1;
    } while (j0 != 0);
  }
  double total = 0;
  for (std::size_t j = 1; j <= n; ++j) total -= cost(match[j], j);
  return total;
}
inline void check_balanced(std::vector<index_t> const& out, std::size_t experts) {
  std::vector<std::size_t> load(experts);
  for (index_t const e : out) {
    REQUIRE((e >= 0 && e < static_cast<index_t>(experts)));
    ++load[static_cast<std::size_t>(e)];
  }
  for (auto const n : load) CHECK(n == out.size() / experts);
}

}  // namespace choice_test
