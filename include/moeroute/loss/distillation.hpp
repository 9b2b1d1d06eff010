// Decides the price of a router that disagrees with a teacher: L = alpha mean_t sum_e (p_te - q_te)^2 over E
// (mean squared error), or alpha mean_t KL(q_t || p_t). The teacher's q is a constant: softmax of expert
// responses, an earlier router, a target network. Source: CompeteSMoE (S139, squared error).
#pragma once

#include <moeroute/loss/segment_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class N = float>
struct router_distillation {
  using is_regularizer = void;
  matrix_view<N const> teacher{};  // tokens x experts of this batch
  double alpha = 1;
  bool kl = false;
  bool normalize = true;
  double eps = 1e-20;

  MOEROUTE_HD offset_t sums(index_t) const { return 2; }  // tokens, distances
  MOEROUTE_HD offset_t coefficients(index_t) const { return 1; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
    double const sum = tree_sum<double>(g, row.experts, [&](offset_t e) {
      double const p = static_cast<double>(row.scores.data[e]) / per, q = static_cast<double>(teacher[row.t][e]);
      if (kl) return q > 0 ? math::mul(q, math::log(q) - math::log(p > 1e-300 ? p : 1e-300)) : 0.;
      return math::mul(p - q, p - q);
    });
    if (g.rank() != 0) return;
    sums[0] += std::int64_t{1};
    sums[1].add(kl ? sum : sum / row.experts);
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t, row_view<wide_sum const> sums, row_view<double> out) const {
    double const tokens = static_cast<double>(sums[0].count()), each = tokens > 0 ? alpha / tokens : 0.;
    if (!out.empty() && g.rank() == 0) out[0] = each;
    return each * sums[1].value();
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> c) const {
    using V = typename Row::value_type;
    double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
    if (kl && Row::is_softmax) {  // straight to the logits: finite also where p underflows
      double const all =
          tree_sum<double>(g, row.experts, [&](offset_t e) { return static_cast<double>(teacher[row.t][e]); });
      row.d_logits.each(g, [&](index_t e, V& d) {
        double const off =
            math::mul(all, static_cast<double>(row.scores.data[e])) - static_cast<double>(teacher[row.t][e]);
        d += static_cast<V>(math::mul(c[0], off));
      });
      return;
    }
    add_score_gradient(g, row, normalize, eps, [&](index_t e) {
      double const p = static_cast<double>(row.scores.data[e]) / per, q = static_cast<double>(teacher[row.t][e]);
      return kl ? -c[0] * q / (p > 1e-300 ? p : 1e-300) : math::mul(c[0] * 2 / row.experts, p - q);
    });
  }
  status validate(index_t experts) const {
    return checks{}
        .must_be("router_distillation.teacher columns", teacher.cols, experts)
        .strided("router_distillation.teacher", teacher)
        .result();
  }
  void describe(text& t) const {
    t.add(alpha).add(kl ? " mean KL(teacher || p)" : " mean squared error to the teacher");
  }
};
template <class N, class... More>
router_distillation(matrix_view<N>, More...) -> router_distillation<std::remove_const_t<N>>;
static_assert(loss_term<router_distillation<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
