// Decides the price of active experts in ReLU routing, more where the load is: L = lambda E / (k T^2)
// sum_e n_e sum_t s_te, n_e the tokens with s_te > 0 (no gradient). And how lambda finds k active experts:
// each step lambda <- lambda m if the sparsity 1 - mean(active) is below 1 - k/E, else lambda / m.
// Source: ReMoE (S096), m = 1.2, lambda_0 = 1e-8.
#pragma once

#include <moeroute/loss/segment_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct balanced_l1 {
  using is_regularizer = void;
  double lambda = 1e-8;
  double k = 1;          // wanted active experts of a token
  bool balanced = true;  // false: plain L1, lambda / T sum s

  MOEROUTE_HD offset_t sums(index_t experts) const { return segment_sums_of(experts); }
  MOEROUTE_HD offset_t coefficients(index_t experts) const { return experts; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    segment_sums<wide_sum> const s{sums, row.experts, 0};
    s.add_scores(g, row, false, 0);
    row.scores.each(g, [&](index_t e, auto const& x) { s.counts(e) += std::int64_t{x > 0}; });
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> sums, row_view<double> out) const {
    segment_sums<wide_sum const> const s{sums, experts, 0};
    double const tokens = static_cast<double>(s.tokens());
    auto const price = [&](offset_t e) {
      if (tokens == 0) return 0.;
      double const n = static_cast<double>(s.count(static_cast<index_t>(e)));
      return balanced ? lambda * experts / (k * tokens * tokens) * n : lambda / tokens;
    };
    if (!out.empty())
      for (offset_t e = g.rank(); e < experts; e += g.size()) out[e] = price(e);
    return tree_sum<double>(g, experts,
                            [&](offset_t e) { return math::mul(price(e), s.mass(static_cast<index_t>(e))); });
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> price) const {
    add_score_gradient(g, row, false, 0, [&](index_t e) { return price[e]; });
  }
  // 1 - mean over tokens and experts of (s > 0); 1 without tokens.
  double sparsity(index_t experts, row_view<wide_sum const> sums) const {
    segment_sums<wide_sum const> const s{sums, experts, 0};
    std::int64_t active = 0;
    for (index_t e = 0; e < experts; ++e) active += s.count(e);
    double const all = static_cast<double>(s.tokens()) * experts;
    return all > 0 ? 1 - static_cast<double>(active) / all : 1.;
  }
  status validate(index_t) const {
    return checks{}.at_least("balanced_l1.k (must be positive)", k > 0 ? 1 : 0, 1).result();
  }
  void describe(text& t) const {
    t.add(lambda).add(balanced ? " load-balanced L1 of the scores" : " L1 of the scores");
  }
};
static_assert(loss_term<balanced_l1>);

// lambda of the next step.
struct sparsity_controller {
  double multiplier = 1.2;
  double target = .75;  // 1 - k / E
  double next(double lambda, double sparsity) const {
    return sparsity < target ? lambda * multiplier : lambda / multiplier;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
