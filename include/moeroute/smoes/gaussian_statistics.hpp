// Decides what a modality looks like (SMoES, score B, arXiv 2604.23996, equations 5-7; update form adopted):
// per layer and modality a diagonal Gaussian, moved by a batch at a time.
//
//   m, v = mean and population variance of the batch's tokens of that modality
//   delta = m - mu;  mu += (1 - beta) delta;  var = beta (var + (1 - beta) delta^2) + (1 - beta) v
//
// which are the exact moments of the beta : (1 - beta) mixture. The first batch of a modality is taken as it
// is; a modality without tokens stays; var is at least var_floor. Statistics carry no gradient.
#pragma once

#include <moeroute/smoes/modality_scores.hpp>
#include <moeroute/smoes/ticks.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class gauss_weight : std::uint8_t { hard, soft };  // who counts (S3): tokens of that label, or by score

// Sums over tokens, modalities x moment_columns(width): mass, sum x, sum x^2. Features must be finite and
// below 2^25 in magnitude.
MOEROUTE_HD constexpr offset_t moment_columns(offset_t width) { return 1 + 2 * width; }

// What a Gaussian is kept in. `inverse` and `log_sum` follow from `variance` and serve the score.
template <class V>
struct gaussian_view {
  matrix_view<V> mean{}, variance{}, inverse{};  // modalities x width
  row_view<V> log_sum{};                         // modalities: sum over d of ln variance
  row_view<std::uint8_t> seen{};                 // modalities: 0 until its first batch
};

struct gaussian_ema {
  double beta = .99;
  double var_floor = 1e-6;
  gauss_weight weight = gauss_weight::hard;

  status validate() const {
    if (!(beta >= 0 && beta < 1))
      return {errc::bad_value, "gaussian_ema.beta (times 1000)", "must be at most",
              static_cast<std::int64_t>(beta * 1000), 999};
    if (!(var_floor > 0)) return {errc::bad_value, "gaussian_ema.var_floor", "must be above", 0, 0};
    return {};
  }
  void describe(text& t) const {
    t.add("delta = m - mu, mu += ").add(1 - beta).add(" delta, var = ").add(beta).add(" (var + ").add(1 - beta);
    t.add(" delta^2) + ").add(1 - beta).add(" v, var >= ").add(var_floor);
    t.add(weight == gauss_weight::hard ? ", tokens of the label" : ", tokens by score");
  }
};

namespace detail {

template <class T, class S>
struct moments_of_chunk {  // row: a chunk of tokens; a lane owns dimensions
  matrix_view<T const> features;
  row_view<index_t const> modality;  // hard labels, or
  modality_scores<S> scores;         // soft ones
  row_view<std::uint8_t const> valid;
  index_t modalities;
  matrix_view<wide_sum> out;  // chunks x (modalities * moment columns)
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t chunk, scratch) const {
    offset_t const width = features.cols, each = moment_columns(width);
    for (offset_t i = g.rank(); i < out.cols; i += g.size()) out[chunk][i] = {};
    g.sync();
    offset_t const first = chunk * chunk_tokens;
    offset_t const last = first + chunk_tokens < features.rows ? first + chunk_tokens : features.rows;
    for (offset_t t = first; t < last; ++t) {
      if (!valid.empty() && valid[t] == 0) continue;
      for (index_t m = 0; m < modalities; ++m) {
        double const weight = scores.of.empty() ? (modality[t] == m ? 1. : 0.) : static_cast<double>(scores(t, m));
        if (!(weight > 0)) continue;
        wide_sum* const a = out[chunk].data + m * each;
        if (g.rank() == 0) a[0].add(weight);
        for (offset_t d = g.rank(); d < width; d += g.size()) {
          double const x = static_cast<double>(load(features[t][d])), wx = math::mul(weight, x);
          a[1 + d].add(wx);
          a[1 + width + d].add(math::mul(wx, x));
        }
      }
    }
    g.sync();
  }
};

template <class V>
struct update_gaussian_row {  // row: a modality
  gaussian_ema rule;
  matrix_view<wide_sum const> moments;  // no columns: only inverse and log_sum are made
  gaussian_view<V> state;
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t m, scratch) const {
    offset_t const width = state.mean.cols;
    if (moments.cols > 0) move(g, m, moments[m].data, width);
    row_view<V> const var = state.variance[m], inverse = state.inverse[m];
    for (offset_t d = g.rank(); d < width; d += g.size()) inverse[d] = V(1) / var[d];
    V const logs = tree_sum<V>(g, width, [&](offset_t d) { return math::log(var[d]); });
    if (g.rank() == 0) state.log_sum[m] = logs;
    g.sync();
  }

 private:
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void move(G const& g, offset_t m, wide_sum const* a, offset_t width) const {
    double const mass = a[0].value();
    bool const seen = state.seen[m] != 0;
    g.sync();
    if (!(mass > 0)) return;
    for (offset_t d = g.rank(); d < width; d += g.size()) {
      double const mean = a[1 + d].value() / mass;
      double const square = a[1 + width + d].value() / mass;
      double const spread = math::max(square - math::mul(mean, mean), 0.);
      double mu = mean, var = spread;
      if (seen) {
        double const gain = 1 - rule.beta, old = static_cast<double>(state.mean[m][d]), delta = mean - old;
        mu = math::fma(gain, delta, old);
        double const within = math::fma(gain, math::mul(delta, delta), static_cast<double>(state.variance[m][d]));
        var = math::fma(rule.beta, within, math::mul(gain, spread));
      }
      state.mean[m][d] = static_cast<V>(mu);
      state.variance[m][d] = static_cast<V>(math::max(var, rule.var_floor));
    }
    if (g.rank() == 0) state.seen[m] = 1;
    g.sync();
  }
};

template <class V>
checks& gaussian_fits(checks& c, gaussian_view<V> const& s, offset_t modalities, offset_t width) {
  c.must_be("gaussian.mean rows", s.mean.rows, modalities).must_be("gaussian.mean columns", s.mean.cols, width);
  c.must_be("gaussian.variance rows", s.variance.rows, modalities);
  c.must_be("gaussian.variance columns", s.variance.cols, width);
  c.must_be("gaussian.inverse rows", s.inverse.rows, modalities);
  c.must_be("gaussian.inverse columns", s.inverse.cols, width);
  c.must_be("gaussian.log_sum size", s.log_sum.size, modalities).must_be("gaussian.seen size", s.seen.size, modalities);
  return c;
}

}  // namespace detail

template <executor X>
offset_t gaussian_moments_workspace_bytes(X const& x, offset_t tokens, offset_t width, index_t modalities) {
  return detail::chunk_bytes<wide_sum>(tokens, modalities * moment_columns(width)) + x.workspace_bytes(0);
}

// Adds the batch to `moments` (modalities x moment_columns(width), contiguous). Hard: give `modality`; soft:
// give `scores`. Tables of shards merge with `merge`.
template <executor X, element T, element S = T>
status try_gaussian_moments(X const& x, gauss_weight weight, matrix_view<T const> features,
                            row_view<index_t const> modality, modality_scores<S> scores,
                            row_view<std::uint8_t const> valid, matrix_view<wide_sum> moments, workspace w) noexcept {
  bool const hard = weight == gauss_weight::hard;
  checks c;
  c.must_be("moments columns", moments.cols, moment_columns(features.cols)).strided("features", features);
  c.must_be("moments stride", moments.stride, moments.cols, errc::bad_stride);
  if (hard) c.must_be("modality size", modality.size, features.rows);
  else
    c.must_be("scores rows", scores.of.rows, features.rows).must_be("scores modalities", scores.count(), moments.rows);
  c.empty_or("valid size", valid, features.rows);
  if (!c.result().ok()) return c.result();
  auto const modalities = static_cast<index_t>(moments.rows);
  return detail::fill_in_chunks(
      x, features.rows, row_view<wide_sum>(moments.data, moments.rows * moments.cols), w, [&](auto chunk) {
        return detail::moments_of_chunk<T, S>{features, modality,   hard ? modality_scores<S>{} : scores,
                                              valid,    modalities, chunk};
      });
}

// Moves the Gaussians by one batch's moments.
template <executor X, class V>
status try_update_gaussians(X const& x, gaussian_ema const& rule, matrix_view<wide_sum const> moments,
                            gaussian_view<V> const& state, workspace w) noexcept {
  checks c;
  c.also(rule.validate());
  detail::gaussian_fits(c, state, moments.rows, state.mean.cols);
  c.must_be("moments columns", moments.cols, moment_columns(state.mean.cols));
  if (!c.result().ok()) return c.result();
  return x.run(moments.rows, detail::update_gaussian_row<V>{rule, moments, state}, w);
}

// After mean and variance were loaded from elsewhere: fills inverse and log_sum.
template <executor X, class V>
status try_prepare_gaussians(X const& x, gaussian_view<V> const& state, workspace w) noexcept {
  checks c;
  if (!detail::gaussian_fits(c, state, state.mean.rows, state.mean.cols).result().ok()) return c.result();
  return x.run(state.mean.rows, detail::update_gaussian_row<V>{{}, {}, state}, w);
}

template <executor X, element T, element S = T>
void gaussian_moments(X const& x, gauss_weight weight, matrix_view<T const> features, row_view<index_t const> modality,
                      modality_scores<S> scores, row_view<std::uint8_t const> valid, matrix_view<wide_sum> moments,
                      workspace w) {
  throw_if_bad(try_gaussian_moments(x, weight, features, modality, scores, valid, moments, w));
}
template <executor X, class V>
void update_gaussians(X const& x, gaussian_ema const& rule, matrix_view<wide_sum const> moments,
                      gaussian_view<V> const& state, workspace w = {}) {
  throw_if_bad(try_update_gaussians(x, rule, moments, state, w));
}
template <executor X, class V>
void prepare_gaussians(X const& x, gaussian_view<V> const& state, workspace w = {}) {
  throw_if_bad(try_prepare_gaussians(x, state, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
