// Decides the price of task routers that do not tell tasks apart: two views a, b of the same B tasks (mean
// gates, B x E), a bilinear form W (E x E), logits l_ij = a_i W b_j, and
//   L = alpha/2 (mean_i CE(l_i. -> i) + the same with the views swapped: a' W b).
// b' and b come from a slowly moving copy of the router and carry no gradient (see ema_copy).
// ln B for gates that say nothing. Source: T2MIR (S035, S154), rate 0.005. Host, double, no memory.
#pragma once

#include <moeroute/core/math.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// One direction: alpha mean_i -log softmax_j(a_i W b_j)[i]. d_a (B x E) and d_w (E x E) are added to if given.
struct info_nce {
  double alpha = 1;

  double operator()(matrix_view<double const> a, matrix_view<double const> b, matrix_view<double const> w,
                    matrix_view<double> d_a = {}, matrix_view<double> d_w = {}) const {
    offset_t const tasks = a.rows, experts = a.cols;
    if (tasks == 0) return 0;
    auto const logit = [&](offset_t i, offset_t j) {
      double sum = 0;
      for (offset_t e = 0; e < experts; ++e)
        for (offset_t f = 0; f < experts; ++f) sum = math::fma(a[i][e] * w[e][f], b[j][f], sum);
      return sum;
    };
    double const each = alpha / static_cast<double>(tasks);
    double loss = 0;
    for (offset_t i = 0; i < tasks; ++i) {
      double top = -infinity<double>, total = 0;
      for (offset_t j = 0; j < tasks; ++j) top = math::max(logit(i, j), top);
      for (offset_t j = 0; j < tasks; ++j) total += math::exp(logit(i, j) - top);
      loss += math::mul(each, top + math::log(total) - logit(i, i));
      if (d_a.empty() && d_w.empty()) continue;
      for (offset_t j = 0; j < tasks; ++j) {
        double const d = each * (math::exp(logit(i, j) - top) / total - (i == j ? 1. : 0.));
        for (offset_t e = 0; e < experts; ++e)
          for (offset_t f = 0; f < experts; ++f) {
            if (!d_a.empty()) d_a[i][e] += math::mul(d * w[e][f], b[j][f]);
            if (!d_w.empty()) d_w[e][f] += math::mul(d * a[i][e], b[j][f]);
          }
      }
    }
    return loss;
  }
};

// target <- (1 - rate) target + rate online: the slowly moving copy.
struct ema_copy {
  double rate = .005;
  template <class T>
  void operator()(row_view<T const> online, row_view<T> target) const {
    for (offset_t i = 0; i < target.size; ++i)
      target[i] = static_cast<T>(math::mul(1 - rate, static_cast<double>(target[i])) +
                                 math::mul(rate, static_cast<double>(online[i])));
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
