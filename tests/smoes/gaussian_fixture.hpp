// Decides what the Gaussian tests share: a state with its memory, moments of a labeled batch, scores.
#pragma once

#include "fixture.hpp"

namespace smoes_test {

template <class V>
struct gaussian_state {
  table<V> mean, variance, inverse, log_sum;
  table<std::uint8_t> known;
  gaussian_state(offset_t modalities, offset_t width)
      : mean(modalities, width),
        variance(modalities, width, V(1)),
        inverse(modalities, width),
        log_sum(1, modalities),
        known(1, modalities) {}
  gaussian_view<V> view() { return {mean.view(), variance.view(), inverse.view(), log_sum.row(), known.row()}; }
};

template <class X, class V>
table<wide_sum> moments_of(X const& x, table<V> const& features, std::vector<index_t> const& label,
                           index_t modalities) {
  table<wide_sum> m(modalities, moment_columns(features.cols));
  gaussian_moments(x, gauss_weight::hard, features.seen(), row_view<index_t const>(label), modality_scores<V>{}, {},
                   m.view(), memory(gaussian_moments_workspace_bytes(x, features.rows, features.cols, modalities)));
  return m;
}
template <class X, class V>
table<V> score(X const& x, table<V> const& features, gaussian_state<V>& s, std::vector<index_t> const& label = {},
               double tau = .5) {
  table<V> out(features.rows, s.mean.rows);
  prepare_gaussians(x, s.view(), memory(x.workspace_bytes(0)));
  gaussian_score(x, {tau}, features.seen(), s.view(), row_view<index_t const>(label), out.view(), {},
                 memory(gaussian_score_workspace_bytes(x, static_cast<index_t>(s.mean.rows))));
  return out;
}
inline void update(gaussian_ema const& rule, table<wide_sum> const& m, gaussian_state<double>& s) {
  update_gaussians(serial{}, rule, m.seen(), s.view(), memory(0));
}
inline std::vector<index_t> labels(offset_t n, index_t modalities, unsigned seed) {
  return numbers(seed).ids(1, n, modalities).values;
}

}  // namespace smoes_test
