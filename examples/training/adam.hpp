// Decides how weights move: AdamW (0.9, 0.95), decay 0.01 on all but gates and norms, gradient norm cut at 1, a warm-up and
// a cosine to 0. Only the parts in `trained` move. Namespace: moeroute_training.
#pragma once

#include <cmath>

#include "training/parameters.hpp"

namespace moeroute_training {

struct schedule {
  double rate = 1e-3;
  int steps = 400, warm_up = 20;
  double gate_factor = 1;  // gates learn this much faster
  double at(int step) const {
    if (step < warm_up) return rate * (step + 1) / warm_up;
    return rate * .5 * (1 + std::cos(3.141592653589793 * (step - warm_up) / std::max(1, steps - warm_up)));
  }
};

template <class Real>
class adam {
 public:
  explicit adam(parameters<Real> const& p) : first_(p.values.size()), second_(p.values.size()) {}

  void step(parameters<Real>& p, parameters<Real> const& g, part trained, schedule const& s, int step) {
    double norm = 0;
    each(p, trained, [&](tensor_info const&, std::size_t i) {
      norm += static_cast<double>(g.values[i]) * static_cast<double>(g.values[i]);
    });
    norm = std::sqrt(norm);
    if (!(norm > 0)) return;  // no signal: a step would be the moments' noise
    ++taken_;
    auto const cut = static_cast<Real>(norm > 1 ? 1 / norm : 1);
    auto const b1 = Real(.9), b2 = Real(.95);
    auto const c1 = static_cast<Real>(1 / (1 - std::pow(.9, taken_))),
               c2 = static_cast<Real>(1 / (1 - std::pow(.95, taken_)));
    double const rate = s.at(step);
    each(p, trained, [&](tensor_info const& t, std::size_t i) {
      Real const x = g.values[i] * cut;
      first_[i] = b1 * first_[i] + (1 - b1) * x;
      second_[i] = b2 * second_[i] + (1 - b2) * x * x;
      auto const r = static_cast<Real>(rate * (t.which == part::gates ? s.gate_factor : 1));
      Real const decay = t.which == part::gates || t.rows == 1 ? Real(0) : Real(.01);
      p.values[i] -= r * (first_[i] * c1 / (std::sqrt(second_[i] * c2) + Real(1e-8)) + decay * p.values[i]);
    });
  }

 private:
  template <class F>
  static void each(parameters<Real> const& p, part trained, F&& f) {
    for (auto const& t : p.where.tensors)
      if (holds(trained, t.which))
        for (Eigen::Index i = 0; i < t.rows * t.cols; ++i) f(t, static_cast<std::size_t>(t.offset + i));
  }
  std::vector<Real, Eigen::aligned_allocator<Real>> first_, second_;
  int taken_ = 0;
};

}  // namespace moeroute_training
