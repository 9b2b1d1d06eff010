// Decides the price of two passes that disagree: L = alpha/2 (KL(p || q) + KL(q || p)) = alpha/2 sum (p - q)(ln p - ln q).
// Source: THOR (S090), two passes with experts drawn by uniform_random (select/uniform_random.hpp), beside their tasks.
#pragma once

#include <moeroute/core/math.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Summed over rows and classes, with its gradients where wanted (added). Zeros count as `floor`.
struct symmetric_kl {
  double alpha = 1;
  double floor = 1e-30;

  double operator()(matrix_view<double const> p, matrix_view<double const> q, matrix_view<double> d_p = {},
                    matrix_view<double> d_q = {}) const {
    double sum = 0;
    auto const at_least_floor = [&](double x) { return x > floor ? x : floor; };
    for (offset_t r = 0; r < p.rows; ++r)
      for (offset_t i = 0; i < p.cols; ++i) {
        double const a = at_least_floor(p[r][i]), b = at_least_floor(q[r][i]);
        double const log_ratio = math::log(a) - math::log(b);
        sum += math::mul(alpha / 2 * (a - b), log_ratio);
        if (!d_p.empty()) d_p[r][i] += math::mul(alpha / 2, log_ratio + (a - b) / a);
        if (!d_q.empty()) d_q[r][i] -= math::mul(alpha / 2, log_ratio + (a - b) / b);
      }
    return sum;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
