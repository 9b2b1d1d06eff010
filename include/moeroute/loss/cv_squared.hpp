// Decides the price of uneven importance: L = alpha var_e(I) / (mean_e(I)^2 + eps), I_e = sum_t score of e.
// Variance form: the gradient at perfect balance is 0, where the square of a standard deviation gives NaN.
// Source: Shazeer et al. 2017; V-MoE (ddof 0, eps 0), Tutel (ddof 1, eps 1e-10), T2MIR, M3ViT.
#pragma once

#include <moeroute/loss/segment_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
// L of E sums and, if asked, dL/dsum.
template <class G, class At>
MOEROUTE_HD double cv_squared_of(G const& g, index_t experts, double alpha, index_t ddof, double eps, At const& at,
                                 row_view<double> out) {
  double const mean = tree_sum<double>(g, experts, at) / experts;
  double const squares = tree_sum<double>(g, experts, [&](offset_t e) {
    double const d = at(e) - mean;
    return math::mul(d, d);
  });
  double const degrees = experts - ddof, floor = math::fma(mean, mean, eps);
  bool const good = degrees > 0 && floor > 0;
  double const variance = good ? squares / degrees : 0.;
  if (!out.empty())
    for (offset_t e = g.rank(); e < experts; e += g.size())
      out[e] =
          good ? 2 * alpha * ((at(e) - mean) / (degrees * floor) - variance * mean / (experts * floor * floor)) : 0.;
  return good ? alpha * variance / floor : 0.;
}
}  // namespace detail

struct importance_cv {
  using is_regularizer = void;
  double alpha = 1;
  index_t ddof = 0;
  double eps = 0;
  bool normalize = true;  // scores that do not sum to 1 are divided by (row sum + score_eps)
  double score_eps = 1e-20;

  MOEROUTE_HD offset_t sums(index_t experts) const { return segment_sums_of(experts); }
  MOEROUTE_HD offset_t coefficients(index_t experts) const { return experts; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    segment_sums<wide_sum>{sums, row.experts, 0}.add_scores(g, row, normalize, score_eps);
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> sums, row_view<double> out) const {
    segment_sums<wide_sum const> const s{sums, experts, 0};
    return detail::cv_squared_of(
        g, experts, alpha, ddof, eps, [&](offset_t e) { return s.mass(static_cast<index_t>(e)); }, out);
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> price) const {
    add_score_gradient(g, row, normalize, score_eps, [&](index_t e) { return price[e]; });
  }
  void describe(text& t) const { t.add(alpha).add(" CV^2 of the importance, ddof ").add(ddof); }
};
static_assert(loss_term<importance_cv>);

}  // namespace moeroute::inline MOEROUTE_ABI
