// Decides how the whole gradient of a batch's logits is made in one pass over them: that of the weights
// (route_backward.hpp) and that of the router's terms (observe.hpp) share the logits and their scores.
//
//   observe(x, router, batch, ids, sums, w)          then merge what is to be merged
//   whole_backward(x, router, batch, ids, d_weights, sums, d_logits, w, scale)
//
// The bits of route_backward followed by add_gradient, whatever the type of d_logits (a device may fuse a product into
// a sum elsewhere). No probabilities of all tokens are kept.
#pragma once

#include <moeroute/loss/observe.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// One token: route_row_backward and add_gradient_token on one row of scores.
template <class R, class P, class T, class H, class Id, class W, class D>
struct whole_backward_token {
  using V = compute_t<T>;
  R r;
  P term;
  batch<T, H> in;
  matrix_view<Id const> ids;
  matrix_view<W const> d_weights;
  row_view<double const> coefficients;
  matrix_view<D> d_logits;
  double scale;
  bool accumulate;

  offset_t scratch_bytes() const {
    return route_scratch_bytes<V>(in.logits.cols, ids.cols) + 3 * aligned_bytes<V>(in.logits.cols);
  }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    row_view<D> const out = d_logits[t];
    if (!in.is_valid(t)) {
      if (!accumulate)
        for (offset_t e = g.rank(); e < out.size; e += g.size()) out[e] = D(0);
      return g.sync();
    }
    offset_t const experts = in.logits.cols, k = ids.cols;
    auto const seen = token_row_of<V>(r, in, ids, g, t, s);
    V const *const x = seen.row.logits.data, *const y = seen.row.scores.data;
    V* const grad = s.take<V>(experts);  // of the scores: by the weights,
    V* const ds = s.take<V>(experts);    // by the terms;
    V* const dz = s.take<V>(experts);    // and of the logits, by the terms
    row_view<V> const chosen{s.take<V>(k), k}, d{s.take<V>(k), k};
    bool const routed = knows_row(r, in, t);  // a row of an unknown modality chose nobody, but terms saw it
    auto const score_at = [&](index_t e) {    // terms see 0 for a score of -inf; weights see it
      return y[e] == V(0) ? score_of(r.score, seen.summary, x[e]) : y[e];
    };
    V by_weights = V(0);
    if (routed)
      by_weights =
          pull_back_weights(r, g, static_cast<index_t>(experts), score_at, ids[t], d_weights[t], chosen, d, grad);
    constexpr bool elementwise = elementwise_score<std::remove_cvref_t<decltype(R::score)>>;
    V const by_terms = pull_back_terms(term, g, seen.row, elementwise, coefficients, ds, dz);
    row_context const c = seen.row.context;
    seen.row.logits.each(g, [&](index_t e, V z) {
      bool const open = z != -infinity<V>;
      V first = V(0);
      if (routed && open)
        first = through_prior(r, c, e, z, pull_back(r.score, seen.summary, z, score_at(e), grad[e], by_weights));
      D sum = static_cast<D>(accumulate ? static_cast<V>(out[e]) + first : first);
      if (open) {
        V const second = pull_back(r.score, seen.summary, z, y[e], ds[e], by_terms) + dz[e];
        sum = static_cast<D>(static_cast<V>(sum) + math::mul(static_cast<V>(scale), through_prior(r, c, e, z, second)));
      }
      out[e] = sum;
    });
    g.sync();
  }
};

}  // namespace detail

template <executor X, any_router R, class T = float>
offset_t whole_backward_workspace_bytes(X const& x, R const& r, offset_t, index_t experts) {
  offset_t const scratch_bytes = route_scratch_bytes<compute_t<T>>(experts, r.select.experts_per_token()) +
                                 3 * aligned_bytes<compute_t<T>>(experts);
  return x.workspace_bytes(scratch_bytes) + aligned_bytes<double>(r.regularize.coefficients(experts)) +
         workspace_alignment;
}

// d_logits = d weights' part + scale * dL/dlogits of router.regularize, or += with `accumulate`. Rows of padding get 0.
template <executor X, token_choice_router R, class T, class H, class Id, class W, class D>
status try_whole_backward(X const& x, R const& r, batch<T, H> const& in, matrix_view<Id> ids, matrix_view<W> d_weights,
                          row_view<wide_sum const> sums, matrix_view<D> d_logits, workspace w, double scale = 1,
                          bool accumulate = false) noexcept {
  static_assert(loss_term<decltype(R::regularize)>, "whole_backward: router.regularize is no term; use route_backward");
  static_assert(differentiable_score<decltype(R::score)>,
                "whole_backward: router.score has no derivative (elementwise) or pull_back (summary)");
  static_assert(differentiable_weigh<decltype(R::weigh)>,
                "whole_backward: router.weigh has no  void backward(chosen, d) const");
  offset_t const tokens = in.logits.rows;
  index_t const experts = static_cast<index_t>(in.logits.cols);
  auto const& term = r.regularize;
  checks c;
  c.also(detail::validate_terms(term, r, in, ids, sums.size));
  c.must_be("ids rows", ids.rows, tokens).must_be("ids columns", ids.cols, r.select.experts_per_token());
  c.must_be("d_weights rows", d_weights.rows, tokens).must_be("d_weights columns", d_weights.cols, ids.cols);
  c.must_be("d_logits rows", d_logits.rows, tokens).must_be("d_logits columns", d_logits.cols, experts);
  c.readable("ids", ids).readable("d_weights", d_weights).strided("d_logits", d_logits);
  c.also(c.result().ok() ? validate_modalities(x, r, in) : c.result());
  c.also(workspace_ok(w, whole_backward_workspace_bytes<X, R, T>(x, r, tokens, experts)));
  if (!c.result().ok() || in.logits.empty()) return c.result();
  scratch mine = aligned_scratch(w);
  offset_t const n = term.coefficients(experts);
  row_view<double> const coefficients{mine.take<double>(n), n};
  workspace const rest{mine.at, w.bytes - (mine.at - w.data)};
  using P = std::remove_cvref_t<decltype(R::regularize)>;
  status const s = x.run(1, detail::finish_term<P>{term, experts, sums, coefficients, nullptr}, rest);
  if (!s.ok()) return s;
  using I = std::remove_const_t<Id>;
  using Wt = std::remove_const_t<W>;
  return x.run(tokens,
               detail::whole_backward_token<R, P, T, H, I, Wt, D>{r, term, in, ids, d_weights, coefficients, d_logits,
                                                                  scale, accumulate},
               rest);
}
template <executor X, token_choice_router R, class T, class H, class Id, class W, class D>
void whole_backward(X const& x, R const& r, batch<T, H> const& in, matrix_view<Id> ids, matrix_view<W> d_weights,
                    row_view<wide_sum const> sums, matrix_view<D> d_logits, workspace w, double scale = 1,
                    bool accumulate = false) {
  throw_if_bad(try_whole_backward(x, r, in, ids, d_weights, sums, d_logits, w, scale, accumulate));
}

}  // namespace moeroute::inline MOEROUTE_ABI
