// Decides the price of experts that ignore what a token is: L = -alpha I(m; e), the mutual information of the
// label m of a token (modality, domain, task) and its expert under the mean scores,
//   J_me = 1/T sum_{t of m} q_te,   I = sum J_me ln(J_me / (J_m J_e)).
// A negative alpha asks for experts shared by all labels. Source: BECoTTA (S044), there on min-max scaled
// mean logits; here on probabilities, so that shards merge.
#pragma once

#include <moeroute/loss/segment_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct label_dependence {
  using is_regularizer = void;
  double alpha = 5e-4;
  segment_by by = segment_by::modality;
  index_t labels = 2;  // a token numbered beyond makes L NaN; one below 0 counts nowhere
  bool normalize = true;
  double eps = 1e-20;

  MOEROUTE_HD offset_t sums(index_t experts) const { return labels * segment_sums_of(experts) + 1; }
  MOEROUTE_HD offset_t coefficients(index_t experts) const { return offset_t{labels} * experts; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    index_t const at = segment_in(g, segment_of(by, row.context), labels, sums[sums.size - 1]);
    if (at >= 0) segment_sums<wide_sum>{sums, row.experts, at}.add_scores(g, row, normalize, eps);
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> sums, row_view<double> out) const {
    auto const mass = [&](index_t m, offset_t e) {
      return segment_sums<wide_sum const>{sums, experts, m}.mass(static_cast<index_t>(e));
    };
    double total = 0;
    std::int64_t tokens = 0;
    for (index_t m = 0; m < labels; ++m) {
      total += tree_sum<double>(g, experts, [&](offset_t e) { return mass(m, e); });
      tokens += segment_sums<wide_sum const>{sums, experts, m}.tokens();
    }
    auto const of_expert = [&](offset_t e) {
      double sum = 0;
      for (index_t m = 0; m < labels; ++m) sum += mass(m, e);
      return sum;
    };
    double information = 0;
    for (index_t m = 0; m < labels; ++m) {
      double const of_label = tree_sum<double>(g, experts, [&](offset_t e) { return mass(m, e); });
      auto const log_ratio = [&](offset_t e) {
        double const j = mass(m, e);
        return j > 0 ? math::log(j * total / (of_label * of_expert(e))) : 0.;
      };
      information += tree_sum<double>(g, experts, [&](offset_t e) { return math::mul(mass(m, e), log_ratio(e)); });
      // dI/dq: the joint is q / total, its total constant (each row of q sums to 1).
      if (!out.empty())
        for (offset_t e = g.rank(); e < experts; e += g.size())
          out[m * experts + e] = tokens > 0 ? -alpha * (log_ratio(e) - 1) / static_cast<double>(tokens) : 0.;
    }
    if (sums[sums.size - 1].count() > 0) return not_a_number<double>;
    return tokens > 0 ? -alpha * information / static_cast<double>(tokens) : 0.;
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> prices) const {
    index_t const at = segment_of(by, row.context);
    if (at < 0 || at >= labels) return;
    double const* const price = prices.data + offset_t{at} * row.experts;
    add_score_gradient(g, row, normalize, eps, [&](index_t e) { return price[e]; });
  }
  status validate(index_t) const { return checks{}.at_least("label_dependence.labels", labels, 1).result(); }
  void describe(text& t) const {
    t.add(-alpha).add(" mutual information of label and expert, ").add(labels).add(" labels");
  }
};
static_assert(loss_term<label_dependence>);

}  // namespace moeroute::inline MOEROUTE_ABI
