// Decides how a test sets up rows that travel: ids, weights, rows and a plan, and the sums they must give.
#pragma once

#include <cmath>
#include <vector>

#include <moeroute/plan.hpp>

#include "plan_arrays.hpp"

struct travel {
  moeroute::offset_t tokens, k, width, rows;
  int experts;
  std::vector<int> ids;
  std::vector<double> weights, x;
  plan_arrays<> plan;

  travel(moeroute::offset_t t, moeroute::offset_t choices, int e, moeroute::offset_t d, moeroute::plan_options o = {},
         unsigned seed = 1)
      : tokens(t),
        k(choices),
        width(d),
        rows(moeroute::plan_rows_bound(t * choices, e, o.align)),
        experts(e),
        plan(t * choices, e, rows) {
    auto const next = [&] { return (seed = seed * 1664525u + 1013904223u) >> 8; };
    auto const real = [&] { return static_cast<double>(static_cast<float>(next() % 4096) / 1024.f - 2.f); };
    for (moeroute::offset_t i = 0; i < t * choices; ++i) {
      ids.push_back(static_cast<int>(next() % static_cast<unsigned>(e + o.identity + 1)) - 1);
      weights.push_back(real());
    }
    for (moeroute::offset_t i = 0; i < t * d; ++i) x.push_back(real());
    auto w = poisoned<std::byte>(moeroute::plan_workspace_bytes(moeroute::serial{}, e));
    moeroute::make_plan(moeroute::serial{}, moeroute::choices_view<>{.ids = {ids.data(), t, choices}}, e, o, plan.view,
                        w);
  }
  double weight(moeroute::offset_t t, moeroute::offset_t j) const {
    return weights[static_cast<std::size_t>(t * k + j)];
  }
  double token(moeroute::offset_t t, moeroute::offset_t d) const { return x[static_cast<std::size_t>(t * width + d)]; }
  moeroute::offset_t slot(moeroute::offset_t t, moeroute::offset_t j) const {
    return plan.slot_of_choice[static_cast<std::size_t>(t * k + j)];
  }
};

template <class T>
std::vector<T> as(std::vector<double> const& v) {
  std::vector<T> out;
  for (double const d : v) out.push_back(static_cast<T>(static_cast<float>(d)));
  return out;
}
template <>
inline std::vector<double> as<double>(std::vector<double> const& v) {
  return v;
}

inline std::vector<double> drawn(moeroute::offset_t n, unsigned seed) {
  std::vector<double> v;
  for (moeroute::offset_t i = 0; i < n; ++i)
    v.push_back(static_cast<double>((seed = seed * 1664525u + 1013904223u) >> 20) / 1024. - 2.);
  return v;
}
template <class T>
moeroute::matrix_view<T> as_matrix(std::vector<T>& v, moeroute::offset_t rows, moeroute::offset_t cols) {
  return {v.data(), rows, cols};
}
template <class T>
moeroute::matrix_view<T const> as_matrix(std::vector<T> const& v, moeroute::offset_t rows, moeroute::offset_t cols) {
  return {v.data(), rows, cols};
}
