// Decides how far the modalities' shares w(m, i) of the bins lie apart, and its slope in each share.
#pragma once

#include <moeroute/core/tree_sum.hpp>
#include <moeroute/smoes/inter_bin_term.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// Shares of 0 stay finite under the logarithm.
MOEROUTE_HD inline double share_ratio(double a, double b) {
  constexpr double tiny = 1e-18;
  return math::max(a, tiny) / math::max(b, tiny);
}

// f = d divergence / d w(m, i), up to what the softmax takes away again.
MOEROUTE_EXEC_CHECK_DISABLE
template <class W>
MOEROUTE_HD double divergence_slope(bin_divergence kind, W const& w, index_t modalities, index_t m, index_t i) {
  double const mine = w(m, i);
  double f = 0;
  if (kind == bin_divergence::symmetric_kl) {
    for (index_t n = 0; n < modalities; ++n)
      if (n != m) f += math::log(share_ratio(mine, w(n, i))) + 1 - share_ratio(w(n, i), mine);
    return f;
  }
  for (index_t n = 0; n < modalities; ++n) f += w(n, i);
  return math::log(share_ratio(mine, f / modalities)) / modalities;
}

// Jensen-Shannon: sum of w f. Symmetric KL: over pairs.
MOEROUTE_EXEC_CHECK_DISABLE
template <class G, class W, class F>
MOEROUTE_HD double divergence_value(G const& g, bin_divergence kind, W const& w, F const& f, index_t modalities,
                                    index_t bins) {
  double const d = tree_sum<double>(g, offset_t{modalities} * bins, [&](offset_t c) {
    auto const m = static_cast<index_t>(c / bins), i = static_cast<index_t>(c % bins);
    if (kind != bin_divergence::symmetric_kl) return math::mul(w(m, i), f(m, i));
    double pairs = 0;
    for (index_t n = 0; n < m; ++n) pairs += math::mul(w(m, i) - w(n, i), math::log(share_ratio(w(m, i), w(n, i))));
    return pairs;
  });
  return d > 0 ? d : 0;
}

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
