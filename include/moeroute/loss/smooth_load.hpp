// Decides the price of uneven load in a form that has a gradient: load_e = sum_t Phi((a_te - kth_t) / sigma),
// the chance that e is chosen under fresh noise, then L = alpha var(load) / (mean(load)^2 + eps).
// kth_t is the k-th largest noisy logit; the gradient passes through it. Source: V-MoE, M3ViT (a = clean
// logits); Tutel's literal form compares softmax scores with the noisy logit (of_scores = true).
#pragma once

#include <moeroute/loss/cv_squared.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class N = float>
struct smooth_load_cv {
  using is_regularizer = void;
  static constexpr bool wants_logits = true;
  matrix_view<N const> noise{};  // tokens x experts of this batch, already scaled by sigma; absent: no noise
  double sigma = 1;              // its standard deviation, 1 / E in V-MoE
  index_t k = 1;
  double alpha = 1;
  index_t ddof = 0;
  double eps = 0;
  bool of_scores = false;

  MOEROUTE_HD offset_t sums(index_t experts) const { return experts; }
  MOEROUTE_HD offset_t coefficients(index_t experts) const { return experts; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    double const least = noisy(row, kth(g, row));
    row.logits.each(g, [&](index_t e, auto) {
      sums[e].add(.5 * MOEROUTE_LIBM(erfc)(-distance(row, e, least) * 0.70710678118654752));
    });
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> sums, row_view<double> out) const {
    return detail::cv_squared_of(g, experts, alpha, ddof, eps, [&](offset_t e) { return sums[e].value(); }, out);
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> price) const {
    using V = typename Row::value_type;
    index_t const last = kth(g, row);
    double const least = noisy(row, last);
    auto const slope = [&](offset_t e) {
      double const u = distance(row, static_cast<index_t>(e), least);
      double const density = math::exp(-.5 * u * u) * 0.39894228040143268;
      return density == density ? math::mul(price[e], density) / sigma : 0.;
    };
    double const all = tree_sum<double>(g, row.experts, slope);
    row.d_logits.each(g, [&](index_t e, V& d) {
      if (!of_scores) d += static_cast<V>(slope(e));
      if (e == last) d -= static_cast<V>(all);
    });
    if (of_scores) row.d_scores.each(g, [&](index_t e, V& d) { d += static_cast<V>(slope(e)); });
  }
  status validate(index_t experts) const {
    checks c;
    c.at_least("smooth_load_cv.k", k, 1).at_most("smooth_load_cv.k", k, experts).strided("smooth_load_cv.noise", noise);
    if (!noise.empty()) c.must_be("smooth_load_cv.noise columns", noise.cols, experts);
    c.at_least("smooth_load_cv.sigma (must be positive)", sigma > 0 ? 1 : 0, 1);
    return c.result();
  }
  void describe(text& t) const { t.add(alpha).add(" CV^2 of the smooth load, k ").add(k).add(", sigma ").add(sigma); }

 private:
  template <class Row>
  MOEROUTE_HD double noisy(Row const& row, index_t e) const {
    return static_cast<double>(row.logits.data[e]) + (noise.empty() ? 0. : static_cast<double>(noise[row.t][e]));
  }
  template <class Row>
  MOEROUTE_HD double distance(Row const& row, index_t e, double least) const {
    double const z = static_cast<double>(row.logits.data[e]);
    if (z == -infinity<double>) return z;
    return ((of_scores ? static_cast<double>(row.scores.data[e]) : z) - least) / sigma;
  }
  // The k-th best expert by noisy logit, ties to the lower id.
  template <class G, class Row>
  MOEROUTE_HD index_t kth(G const& g, Row const& row) const {
    ranked<key_t<double>> last{largest<key_t<double>>, -1};
    for (index_t j = 0; j < k; ++j) {
      ranked<key_t<double>> mine;
      row.logits.each(g, [&](index_t e, auto) {
        ranked<key_t<double>> const c{order_key(noisy(row, e)), e};
        if (beats(last, c) && beats(c, mine)) mine = c;
      });
      last = g.best(mine);
    }
    return last.id;
  }
};
template <class N, class... More>
smooth_load_cv(matrix_view<N>, More...) -> smooth_load_cv<std::remove_const_t<N>>;
static_assert(loss_term<smooth_load_cv<>> && validates<smooth_load_cv<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
