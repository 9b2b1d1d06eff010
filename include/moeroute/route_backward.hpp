// Decides the gradient of a route: from d weights to d logits for fixed ids. Scores are computed again;
// selection, masks and biases pass no gradient. Needs no other row and no dense probabilities.
#pragma once

#include <moeroute/loss/detail/score_row.hpp>
#include <moeroute/route.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// The weights of one token backwards, from d weights to d scores: `grad` holds them for the chosen experts, 0 for the
// others. Returns the sum of score times d score, in the order of the choices: the same bits for every group.
// score_at(e): the score of an expert; `chosen` and `d`: scratch of a number a choice.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class R, class G, class ScoreAt, class Id, class W>
MOEROUTE_HD V pull_back_weights(R const& r, G const& g, index_t experts, ScoreAt const& score_at, row_view<Id const> id,
                                row_view<W const> d_weights, row_view<V> chosen, row_view<V> d, V* grad) {
  for (index_t e = g.rank(); e < experts; e += g.size()) grad[e] = 0;
  g.sync();
  if (g.rank() == 0) {
    for (offset_t j = 0; j < id.size; ++j) {
      bool const here = carries_weight(r.select, id[j], experts);
      chosen[j] = here ? score_at(static_cast<index_t>(id[j])) : V(absent_of<decltype(r.weigh)>);
      d[j] = here ? static_cast<V>(d_weights[j]) : V(0);
    }
    r.weigh.backward(row_view<V const>(chosen), d);
    for (offset_t j = 0; j < id.size; ++j)
      if (carries_weight(r.select, id[j], experts)) grad[id[j]] += d[j];
  }
  g.sync();
  V dot = 0;
  for (offset_t j = 0; j < id.size; ++j) {
    if (id[j] == no_expert_of<Id>) continue;
    bool repeated = false;  // grad already holds the sum over equal ids
    for (offset_t i = 0; i < j; ++i) repeated = repeated || id[i] == id[j];
    if (!repeated) dot = math::fma(score_at(static_cast<index_t>(id[j])), grad[id[j]], dot);
  }
  return dot;
}
// The gradient of a logit from that of its score, back through the prior.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class R>
MOEROUTE_HD V through_prior(R const& r, row_context const& c, index_t e, V z, V dz) {
  if constexpr (requires { r.prior.derivative(c, e, z); }) dz = math::mul(dz, r.prior.derivative(c, e, z));
  return dz;
}

}  // namespace detail

// One token: the walk of route_row backwards.
template <class R, class T, class H, class Id, class W, class D>
struct route_row_backward {
  using V = compute_t<T>;
  R r;
  batch<T, H> in;
  matrix_view<Id const> ids;
  matrix_view<W const> d_weights;
  matrix_view<D> d_logits;
  bool accumulate;

  offset_t scratch_bytes() const { return route_scratch_bytes<V>(in.logits.cols, ids.cols); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    row_view<Id const> const id = ids[t];
    row_view<D> const out = d_logits[t];
    if (!knows_row(r, in, t)) {
      if (!accumulate)
        for (offset_t e = g.rank(); e < out.size; e += g.size()) out[e] = D(0);
      return g.sync();
    }
    V* const x = s.take<V>(in.logits.cols);
    V* const grad = s.take<V>(in.logits.cols);
    row_view<V> const chosen{s.take<V>(id.size), id.size}, d{s.take<V>(id.size), id.size};
    auto const logits = detail::prepared_row(r, in, g, t, x);
    logits.each(g, [&](index_t, V& z) { z = detail::closed_if_nan(z); });
    g.sync();
    row_context const c = in.context(t);
    auto const gradient = [&](auto const& m, auto const& score_at) {
      V const dot = detail::pull_back_weights(r, g, logits.count, score_at, id, d_weights[t], chosen, d, grad);
      logits.each(g, [&](index_t e, V z) {
        V dz = V(0);
        if (z != -infinity<V>)
          dz = detail::through_prior(r, c, e, z, pull_back(r.score, m, z, score_at(e), grad[e], dot));
        out[e] = static_cast<D>(accumulate ? static_cast<V>(out[e]) + dz : dz);
      });
    };
    if constexpr (is_serial<G> && std::same_as<D, V>) {
      if (!accumulate) {  // all scores at once, kept where the gradient will lie
        auto const m = detail::fill_scores(r.score, g, logits, out.data, -infinity<V>);
        gradient(m, [&](index_t e) { return out[e]; });
        return;
      }
    }
    auto const m = summarize(r.score, g, logits);
    gradient(m, [&](index_t e) { return score_of(r.score, m, x[e]); });
    g.sync();
  }
};

template <executor X, token_choice_router R, class T, class H, class Id, class W, class D>
status try_route_backward(X const& x, R const& r, batch<T, H> const& in, matrix_view<Id> ids, matrix_view<W> d_weights,
                          matrix_view<D> d_logits, workspace w, bool accumulate = false) noexcept {
  static_assert(differentiable_score<decltype(R::score)>,
                "route_backward: router.score has no derivative (elementwise) or pull_back (summary)");
  static_assert(differentiable_weigh<decltype(R::weigh)>,
                "route_backward: router.weigh has no  void backward(chosen, d) const");
  checks c;
  c.also(validate(r, in)).must_be("ids rows", ids.rows, in.logits.rows);
  c.must_be("d_weights rows", d_weights.rows, in.logits.rows).must_be("d_weights columns", d_weights.cols, ids.cols);
  c.must_be("d_logits rows", d_logits.rows, in.logits.rows).must_be("d_logits columns", d_logits.cols, in.logits.cols);
  c.readable("ids", ids).readable("d_weights", d_weights).strided("d_logits", d_logits);
  c.also(c.result().ok() ? validate_modalities(x, r, in) : c.result());
  if (!c.result().ok()) return c.result();
  using I = std::remove_const_t<Id>;
  using Wt = std::remove_const_t<W>;
  return x.run(in.logits.rows, route_row_backward<R, T, H, I, Wt, D>{r, in, ids, d_weights, d_logits, accumulate}, w);
}
template <executor X, token_choice_router R, class Id, class W, class D>
status try_route_backward(X const& x, R const& r, batch<> const& in, matrix_view<Id> ids, matrix_view<W> d_weights,
                          matrix_view<D> d_logits, workspace w, bool accumulate = false) noexcept {
  return try_route_backward<X, R, float, float, Id, W, D>(x, r, in, ids, d_weights, d_logits, w, accumulate);
}

template <executor X, token_choice_router R, class T, class H, class Id, class W, class D>
void route_backward(X const& x, R const& r, batch<T, H> const& in, matrix_view<Id> ids, matrix_view<W> d_weights,
                    matrix_view<D> d_logits, workspace w, bool accumulate = false) {
  throw_if_bad(try_route_backward(x, r, in, ids, d_weights, d_logits, w, accumulate));
}
template <executor X, token_choice_router R, class Id, class W, class D>
void route_backward(X const& x, R const& r, batch<> const& in, matrix_view<Id> ids, matrix_view<W> d_weights,
                    matrix_view<D> d_logits, workspace w, bool accumulate = false) {
  throw_if_bad(try_route_backward(x, r, in, ids, d_weights, d_logits, w, accumulate));
}

}  // namespace moeroute::inline MOEROUTE_ABI
