// Decides what uneven scores balancers are tried on: uniform numbers, the less the higher the expert.
#pragma once

#include <random>
#include <vector>

#include <moeroute/core/types.hpp>

inline std::vector<double> skewed(moeroute::offset_t tokens, moeroute::index_t experts, unsigned seed = 5) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<double> u(0, 1);
  std::vector<double> s;
  for (moeroute::offset_t t = 0; t < tokens; ++t)
    for (moeroute::index_t e = 0; e < experts; ++e) s.push_back(u(rng) * (1 - .7 * e / experts));
  return s;
}
