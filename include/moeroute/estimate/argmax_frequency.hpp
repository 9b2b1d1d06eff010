// Decides how a gate learns which expert is best: its weights follow the one-hot of the argmax of a value.
//
//   L = mean_t sum_e (w_te - v_te)^2,  v_t = onehot(argmax_e Q_te)         squared (adopted reading)
//   L = mean_t -sum_e v log w + (1 - v) log(1 - w)                          binary cross-entropy
// Gradient to w alone; experts and Q get none. Source: PMOE (S181); which form the paper uses is not settled.
#pragma once

#include <moeroute/core/order.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class frequency_loss : std::uint8_t { squared, cross_entropy };

struct argmax_frequency {
  frequency_loss form = frequency_loss::squared;
  double alpha = 1;

  // Returns alpha L; adds alpha dL/dw to d_w where given. NaN values of Q never win.
  double operator()(matrix_view<double const> w, matrix_view<double const> q, matrix_view<double> d_w = {}) const {
    double total = 0;
    double const each = w.rows > 0 ? alpha / static_cast<double>(w.rows) : 0;
    for (offset_t t = 0; t < w.rows; ++t) {
      ranked<key_t<double>> best;
      for (index_t e = 0; e < w.cols; ++e)
        if (ranked<key_t<double>> const one{order_key<double>(q[t][e]), e}; beats(one, best)) best = one;
      for (index_t e = 0; e < w.cols; ++e) {
        double const v = e == best.id ? 1 : 0, x = w[t][e];
        if (form == frequency_loss::squared) {
          total += math::mul(each * (x - v), x - v);
          if (!d_w.empty()) d_w[t][e] += math::mul(each * 2, x - v);
        } else {
          double const inside = x < 1e-12 ? 1e-12 : x > 1 - 1e-12 ? 1 - 1e-12 : x;
          total -= math::mul(each, math::mul(v, math::log(inside)) + math::mul(1 - v, math::log(1 - inside)));
          if (!d_w.empty()) d_w[t][e] += each * (inside - v) / (inside * (1 - inside));
        }
      }
    }
    return total;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
