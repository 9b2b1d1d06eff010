// Decides how well a token fits each modality (SMoES, score B, arXiv 2604.23996): a softmax over modalities of
// Gaussian log-likelihoods, at a temperature that grows with the width.
//
//   LL_m = -1/2 sum_d ( ln var[m, d] + (x[d] - mu[m, d])^2 / var[m, d] )
//   M_m  = exp(LL_m / tau) / sum_m' exp(LL_m' / tau),   tau = tau_per_width * width  (paper: 0.5)
//
// With two modalities and tau = width / 2: u = sigmoid of a mean over the dimensions. Identical statistics
// give exactly 1/2. Features (S4): the input of the gate. While a modality has not been seen, the hard
// label stands in for the score.
#pragma once

#include <moeroute/smoes/gaussian_statistics.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct gaussian_score_rule {
  double tau_per_width = .5;
  status validate() const {
    return tau_per_width > 0 ? status{}
                             : status{errc::bad_value, "gaussian_score.tau_per_width", "must be above", 0, 0};
  }
  void describe(text& t) const {
    t.add("softmax over modalities of LL / (").add(tau_per_width).add(" D), LL = -1/2 sum (ln var + (x - mu)^2 / var)");
  }
};

namespace detail {

template <class T, class V>
struct gaussian_score_row {  // row: a token
  gaussian_score_rule rule;
  matrix_view<T const> features;
  gaussian_view<V> state;
  row_view<index_t const> modality;
  matrix_view<V> scores;      // tokens x modalities, or x 1: u
  matrix_view<V> likelihood;  // tokens x modalities, if given
  offset_t scratch_bytes() const { return aligned_bytes<V>(state.mean.rows); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    index_t const modalities = static_cast<index_t>(state.mean.rows);
    V* const fit = s.take<V>(modalities);
    V const tau = static_cast<V>(rule.tau_per_width * static_cast<double>(features.cols));
    row_view<T const> const x = features[t];
    bool all_seen = true;
    for (index_t m = 0; m < modalities; ++m) {
      all_seen = all_seen && state.seen[m] != 0;
      row_view<V> const mu = state.mean[m], inverse = state.inverse[m];
      V const squares = tree_sum<V>(g, x.size, [&](offset_t d) {
        V const away = static_cast<V>(load(x[d])) - mu[d];
        return math::mul(math::mul(away, away), inverse[d]);
      });
      V const ll = V(-.5) * (state.log_sum[m] + squares);
      if (g.rank() == 0) {
        fit[m] = ll / tau;
        if (!likelihood.empty()) likelihood[t][m] = ll;
      }
    }
    g.sync();
    if (g.rank() == 0) {
      if (all_seen) softmax_of(fit, modalities);
      else label(fit, modalities, t);
      if (scores.cols == 1) scores[t][0] = fit[text_modality];
      else
        for (index_t m = 0; m < modalities; ++m) scores[t][m] = fit[m];
    }
    g.sync();
  }

 private:
  MOEROUTE_HD static void softmax_of(V* fit, index_t n) {
    V top = fit[0], total = 0;
    for (index_t m = 1; m < n; ++m) top = math::max(fit[m], top);
    for (index_t m = 0; m < n; ++m) fit[m] = math::exp(fit[m] - top), total += fit[m];
    for (index_t m = 0; m < n; ++m) fit[m] = fit[m] / total;
  }
  MOEROUTE_HD void label(V* fit, index_t n, offset_t t) const {
    for (index_t m = 0; m < n; ++m) fit[m] = modality.empty() ? V(1) / static_cast<V>(n) : V(modality[t] == m ? 1 : 0);
  }
};

}  // namespace detail

template <executor X>
offset_t gaussian_score_workspace_bytes(X const& x, index_t modalities) {
  return x.workspace_bytes(aligned_bytes<double>(modalities));
}

// Score with the statistics held before the batch's own update. `modality` (may be empty) is only the
// stand-in for the first batches.
template <executor X, element T, class V>
status try_gaussian_score(X const& x, gaussian_score_rule const& rule, matrix_view<T const> features,
                          gaussian_view<V> const& state, row_view<index_t const> modality, matrix_view<V> scores,
                          matrix_view<V> likelihood, workspace w) noexcept {
  checks c;
  c.also(rule.validate());
  detail::gaussian_fits(c, state, state.mean.rows, features.cols).must_be("scores rows", scores.rows, features.rows);
  if (scores.cols == 1) c.must_be("gaussian modalities for a single score column", state.mean.rows, 2);
  else c.must_be("scores columns", scores.cols, state.mean.rows);
  c.empty_or("modality size", modality, features.rows).strided("features", features).strided("scores", scores);
  if (!likelihood.empty()) {
    c.must_be("likelihood rows", likelihood.rows, features.rows);
    c.must_be("likelihood columns", likelihood.cols, state.mean.rows);
  }
  if (!c.result().ok()) return c.result();
  return x.run(features.rows, detail::gaussian_score_row<T, V>{rule, features, state, modality, scores, likelihood}, w);
}
template <executor X, element T, class V>
void gaussian_score(X const& x, gaussian_score_rule const& rule, matrix_view<T const> features,
                    gaussian_view<V> const& state, row_view<index_t const> modality, matrix_view<V> scores,
                    matrix_view<V> likelihood, workspace w) {
  throw_if_bad(try_gaussian_score(x, rule, features, state, modality, scores, likelihood, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
