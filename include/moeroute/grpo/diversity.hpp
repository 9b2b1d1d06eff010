// Decides how diverse a layer's routing is, from integer counts of choices (count_choices in guidance.hpp with the
// modality, task or any other label of a token): entropy of use and divergence of use between labels, in nats.
//
//   use_m[e] = N_m[e] / sum_e N_m[e],  entropy = -sum_e u log u of all labels together,
//   divergence = mean over pairs of labels of the Jensen-Shannon divergence of their use
//
// Labels that chose nobody take no part. Plain host functions on a small table.
#pragma once

#include <moeroute/core/math.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
template <class N>
constexpr double total_of(row_view<N> counts) {
  double total = 0;
  for (auto n : counts) total += static_cast<double>(n);
  return total;
}
inline double nats(double p) { return p > 0 ? math::mul(-p, math::log(p)) : 0; }
}  // namespace detail

template <class N>
double use_entropy(matrix_view<N> counts) {  // labels x experts
  double total = 0, h = 0;
  for (offset_t m = 0; m < counts.rows; ++m) total += detail::total_of(counts[m]);
  for (offset_t e = 0; e < counts.cols && total > 0; ++e) {
    double n = 0;
    for (offset_t m = 0; m < counts.rows; ++m) n += static_cast<double>(counts[m][e]);
    h += detail::nats(n / total);
  }
  return h;
}
template <class N>
double jensen_shannon(row_view<N> a, row_view<N> b) {
  double const in_a = detail::total_of(a), in_b = detail::total_of(b);
  if (!(in_a > 0 && in_b > 0)) return 0;
  double d = 0;
  for (offset_t e = 0; e < a.size; ++e) {
    double const p = static_cast<double>(a[e]) / in_a, q = static_cast<double>(b[e]) / in_b;
    d += detail::nats((p + q) / 2) - (detail::nats(p) + detail::nats(q)) / 2;
  }
  return d > 0 ? d : 0;
}
template <class N>
double mean_divergence(matrix_view<N> counts) {  // labels x experts
  double sum = 0, pairs = 0;
  for (offset_t a = 0; a < counts.rows; ++a)
    for (offset_t b = a + 1; b < counts.rows; ++b) {
      if (!(detail::total_of(counts[a]) > 0 && detail::total_of(counts[b]) > 0)) continue;
      sum += jensen_shannon(counts[a], counts[b]);
      pairs += 1;
    }
  return pairs > 0 ? sum / pairs : 0;
}

}  // namespace moeroute::inline MOEROUTE_ABI
