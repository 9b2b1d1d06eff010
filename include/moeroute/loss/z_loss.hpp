// Decides the price of large logits: L = alpha mean_t (log sum_e exp z_te)^2. Gradient 2 alpha / T lse p.
// Source: ST-MoE; OLMoE (1e-3), JetMoE (0.1), Ling 2.0 (3.5e-6).
//
// The logsumexp runs from the row maximum, so logits of +-1e4 are safe. Rows whose logsumexp is not finite
// (all experts closed, or a +inf logit) count as tokens and add nothing.
#pragma once

#include <moeroute/loss/term.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct z_loss {
  using is_regularizer = void;
  static constexpr bool wants_logits = true;
  double alpha = 1e-3;

  MOEROUTE_HD offset_t sums(index_t) const { return 2; }  // tokens, squares
  MOEROUTE_HD offset_t coefficients(index_t) const { return 1; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    using V = typename Row::value_type;
    auto const m = row.softmax_summary(g);
    if (g.rank() != 0) return;
    sums[0] += std::int64_t{1};
    double const lse = static_cast<double>(m.top) + log_of(m.total);
    if (m.top > -infinity<V> && m.top < infinity<V>) sums[1].add(lse * lse);
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t, row_view<wide_sum const> sums, row_view<double> out) const {
    double const tokens = static_cast<double>(sums[0].count());
    if (!out.empty() && g.rank() == 0) out[0] = tokens > 0 ? 2 * alpha / tokens : 0.;
    return tokens > 0 ? alpha * sums[1].value() / tokens : 0.;
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> c) const {
    using V = typename Row::value_type;
    auto const m = row.softmax_summary(g);
    if (!(m.top > -infinity<V> && m.top < infinity<V>)) return;
    V const price = static_cast<V>(c[0] * (static_cast<double>(m.top) + log_of(m.total)));
    row.d_logits.each(g, [&](index_t e, V& d) {
      if constexpr (Row::is_softmax) d += math::mul(price, row.scores.data[e]);
      else d += math::mul(price, softmax{}(m, row.logits.data[e]));
    });
  }
  void describe(text& t) const { t.add(alpha).add(" mean logsumexp^2"); }

 private:
  template <class V>
  MOEROUTE_HD static double log_of(V x) {
    return math::log(static_cast<double>(x));
  }
};
static_assert(loss_term<z_loss>);

}  // namespace moeroute::inline MOEROUTE_ABI
