// Decides what happens to one token of a batch: its logits and scores are made, the terms add to the sums, or their
// gradients go back through the score and the prior to the logits.
#pragma once

#include <moeroute/loss/detail/score_row.hpp>
#include <moeroute/loss/term.hpp>
#include <moeroute/route_backward.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// Logits and scores of one token, in scratch.
template <class V, class R, class T, class H, class Id, class G>
MOEROUTE_HD auto token_row_of(R const& r, batch<T, H> const& in, matrix_view<Id const> ids, G const& g, offset_t t,
                              scratch& s) {
  V* const x = s.take<V>(in.logits.cols);
  V* const y = s.take<V>(in.logits.cols);
  memory_row<V> const logits = prepared_row(r, in, g, t, x);
  logits.each(g, [&](index_t, V& z) { z = closed_if_nan(z); });
  g.sync();
  auto const m = fill_scores(r.score, g, logits, y);
  memory_row<V> const scores{y, logits.count};
  using score = std::remove_cvref_t<decltype(R::score)>;
  struct result {
    token_row<V, Id, score> row;
    decltype(m) summary;
  };
  result out{{}, m};
  out.row.t = t;
  out.row.context = in.context(t);
  out.row.experts = logits.count;
  out.row.logits = logits;
  out.row.scores = scores;
  if (ids.rows > 0) out.row.ids = ids[t];
  if constexpr (std::same_as<score, softmax>) out.row.shared = m;
  return out;
}

template <class R, class P, class T, class H, class Id>
struct observe_token {
  using V = compute_t<T>;
  R r;
  P term;
  batch<T, H> in;
  matrix_view<Id const> ids;
  offset_t scratch_bytes() const { return 2 * aligned_bytes<V>(in.logits.cols); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, row_view<wide_sum> sums, scratch s) const {
    if (!in.is_valid(t)) return;
    auto const seen = token_row_of<V>(r, in, ids, g, t, s);
    term.observe(g, seen.row, sums);
  }
};

template <class P>
struct finish_term {
  P term;
  index_t experts;
  row_view<wide_sum const> sums;
  row_view<double> coefficients;
  double* value;  // or null
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    double const v = term.finish(g, experts, sums, coefficients);
    if (g.rank() == 0 && value != nullptr) *value = v;
    g.sync();
  }
};

// The gradients of the terms for one token: dL/dscore into `ds`, dL/dlogit into `dz`. Returns what pulls back a score that
// looks at the whole row, the sum of score times d score.
MOEROUTE_EXEC_CHECK_DISABLE
template <class P, class G, class Row, class V>
MOEROUTE_HD V pull_back_terms(P const& term, G const& g, Row row, bool elementwise, row_view<double const> coefficients,
                              V* ds, V* dz) {
  row.d_scores = memory_row<V>{ds, row.experts};
  row.d_logits = memory_row<V>{dz, row.experts};
  row.d_scores.each(g, [&](index_t e, V& d) { d = V(0), dz[e] = V(0); });
  g.sync();
  term.add_gradient(g, row, coefficients);
  g.sync();
  if (elementwise) return V(0);
  V const* const y = row.scores.data;
  return tree_sum<V>(g, row.experts, [&](offset_t e) { return math::mul(y[e], ds[e]); });
}

template <class R, class P, class T, class H, class Id, class D>
struct add_gradient_token {
  using V = compute_t<T>;
  R r;
  P term;
  batch<T, H> in;
  matrix_view<Id const> ids;
  row_view<double const> coefficients;
  matrix_view<D> d_logits;
  double scale;
  offset_t scratch_bytes() const { return 4 * aligned_bytes<V>(in.logits.cols); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    if (!in.is_valid(t)) return;
    auto const seen = token_row_of<V>(r, in, ids, g, t, s);
    V const* const y = seen.row.scores.data;
    V* const ds = s.take<V>(in.logits.cols);
    V* const dz = s.take<V>(in.logits.cols);
    constexpr bool elementwise = elementwise_score<std::remove_cvref_t<decltype(R::score)>>;
    V const dot = pull_back_terms(term, g, seen.row, elementwise, coefficients, ds, dz);
    row_view<D> const out = d_logits[t];
    seen.row.logits.each(g, [&](index_t e, V z) {
      if (z == -infinity<V>) return;
      V const d = pull_back(r.score, seen.summary, z, y[e], ds[e], dot) + dz[e];
      out[e] = static_cast<D>(static_cast<V>(out[e]) +
                              math::mul(static_cast<V>(scale), through_prior(r, seen.row.context, e, z, d)));
    });
    g.sync();
  }
};

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
