// Decides what a test of combine adds up: routed, identity and shared experts with their gates, in double, and the plain
// sums of it.
#pragma once

#include <cmath>

#include <moeroute/combine.hpp>

#include "support/travel.hpp"

struct combine_everything {
  travel s{11, 3, 4, 37, {.align = 4, .identity = 2}, 4};
  std::vector<double> rows = drawn(s.rows * 37, 2), x = drawn(11 * 37, 3), shared = drawn(11 * 37, 4),
                      gate = drawn(11, 6);
  std::vector<double> w = s.weights;
  moeroute::gate_kind kind = moeroute::gate_kind::value;
  moeroute::overflow when_full = moeroute::overflow::drop;

  moeroute::combine_terms<double, double> terms() const {
    return {.rows = as_matrix(rows, s.rows, 37),
            .weights = as_matrix(w, 11, 3),
            .x = as_matrix(x, 11, 37),
            .shared = as_matrix(shared, 11, 37),
            .gate = gate,
            .gated_by = kind,
            .when_full = when_full,
            .identity_scale = 0.5f};
  }
  std::vector<double> reference() const {
    std::vector<double> y(11 * 37);
    for (moeroute::offset_t t = 0; t < 11; ++t)
      for (moeroute::offset_t d = 0; d < 37; ++d) {
        double sum = 0;
        bool kept = false, dropped = false;
        for (moeroute::offset_t j = 0; j < 3; ++j) {
          moeroute::offset_t const slot = s.slot(t, j);
          double const weight = w[static_cast<std::size_t>(3 * t + j)];
          if (slot >= 0) sum += weight * rows[static_cast<std::size_t>(slot * 37 + d)];
          if (slot == moeroute::identity_slot) sum += 0.5 * weight * x[static_cast<std::size_t>(t * 37 + d)];
          kept = kept || slot >= 0 || slot == moeroute::identity_slot;
          dropped = dropped || slot == moeroute::dropped_slot;
        }
        if (when_full == moeroute::overflow::pass_through && dropped && !kept)
          sum += x[static_cast<std::size_t>(t * 37 + d)];
        double const z = gate[static_cast<std::size_t>(t)];
        sum += (kind == moeroute::gate_kind::sigmoid ? 1 / (1 + std::exp(-z)) : z) *
               shared[static_cast<std::size_t>(t * 37 + d)];
        y[static_cast<std::size_t>(t * 37 + d)] = sum;
      }
    return y;
  }
};
