// Decides DynMoLE's balance loss: L = alpha E sum_e M_e P_e, M_e the mean of p over tokens that kept e, P_e
// the mean of p over all; both carry a gradient. Source: DynMoLE (S061), alpha 1e-3 beside a token_entropy.
#pragma once

#include <moeroute/loss/segment_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct masked_balance {
  using is_regularizer = void;
  double alpha = 1e-3;
  bool normalize = true;
  double eps = 1e-20;

  // tokens, mass of all, mass of the kept.
  MOEROUTE_HD offset_t sums(index_t experts) const { return 1 + 2 * offset_t{experts}; }
  MOEROUTE_HD offset_t coefficients(index_t experts) const { return 2 * offset_t{experts}; }
  bool wants_ids() const { return true; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
    row.scores.each(g, [&](index_t e, auto const& s) {
      double const p = static_cast<double>(s) / per;
      sums[1 + e].add(p);
      if (kept(row, e)) sums[1 + row.experts + e].add(p);
    });
    if (g.rank() == 0) sums[0] += std::int64_t{1};
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> sums, row_view<double> out) const {
    double const tokens = static_cast<double>(sums[0].count());
    double const factor = tokens > 0 ? alpha * experts / (tokens * tokens) : 0.;
    if (!out.empty())
      for (offset_t e = g.rank(); e < experts; e += g.size()) {
        out[e] = factor * sums[1 + experts + e].value();  // price of p
        out[experts + e] = factor * sums[1 + e].value();  // price of kept p
      }
    return factor * tree_sum<double>(g, experts, [&](offset_t e) {
             return math::mul(sums[1 + e].value(), sums[1 + experts + e].value());
           });
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> c) const {
    add_score_gradient(g, row, normalize, eps,
                       [&](index_t e) { return c[e] + (kept(row, e) ? c[row.experts + e] : 0.); });
  }
  void describe(text& t) const { t.add(alpha).add(" E sum_e mean(kept p) mean(p)"); }

 private:
  template <class Row>
  MOEROUTE_HD static bool kept(Row const& row, index_t e) {
    for (offset_t j = 0; j < row.ids.size; ++j)
      if (detail::names_expert(row.ids[j], row.experts) && static_cast<index_t>(row.ids[j]) == e) return true;
    return false;
  }
};
static_assert(loss_term<masked_balance>);

}  // namespace moeroute::inline MOEROUTE_ABI
