// Decides how experts choose tokens: scores by rows, choice by columns, weights by the picks of one expert, and
// the gradient back. Sources: Expert Choice (S014, P35), pMoE (S002), UoE (S016), Mesh-TensorFlow (token axis).
//
//   S = score(logits);  tokens[e, :] = the best tokens of column e;  weights[e, :] = weigh(S[tokens[e, :], e])
// Nothing is renormalized over a token: it may have no expert, or all of them.
#pragma once

#include <moeroute/select/choose_tokens.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

template <class S>
inline constexpr choice_scope scope_of = choice_scope::batch;
template <class S>
  requires requires { S::scope; }
inline constexpr choice_scope scope_of<S> = S::scope;

template <class X, class R, class T, class H>
status order_and_score(X const& x, expert_choice_state<R, T, H> const& s, workspace rest) {
  if (status const bad = validate_modalities(x, s.r, s.in); !bad.ok()) return bad;
  auto ties = tie_rule::index;
  std::uint64_t secret = 0;
  if constexpr (requires { s.r.select.ties; }) ties = s.r.select.ties, secret = s.r.select.secret;
  order_tokens<T, H> const order{s.in, scope_of<decltype(R::select)>, ties, secret, s.start, s.token_at, s.place_of};
  if (status const bad = x.run(1, order, rest); !bad.ok()) return bad;
  return x.run((s.in.logits.rows + choice_block - 1) / choice_block, score_columns<R, T, H>{s}, rest);
}
template <class R, class T, class H, class M>
status validate_experts(R const& r, batch<T, H> const& in, M const& tokens) {
  checks c;
  c.also(validate(r, in));
  if (!c.result().ok()) return c.result();
  c.divides("batch.logits columns (experts)", in.logits.cols, tokens.rows).strided("out.tokens", tokens);
  if (scope_of<decltype(R::select)> == choice_scope::batch) c.must_be("out.tokens rows", tokens.rows, in.logits.cols);
  if (scope_of<decltype(R::select)> == choice_scope::sequence)
    c.must_be("batch.sequence size (the scope needs it)", in.sequence.size, in.logits.rows, errc::missing);
  if (scope_of<decltype(R::select)> == choice_scope::group)
    c.must_be("batch.group size (the scope needs it)", in.group.size, in.logits.rows, errc::missing);
  return c.result();
}

}  // namespace detail

// Bytes for `route_experts` and its backward. `capacity`: columns of the output.
template <executor X, expert_choice_router R, class T = float>
offset_t route_experts_workspace_bytes(X const& x, R const& r, offset_t tokens, index_t experts, offset_t segments,
                                       offset_t capacity) {
  using V = compute_t<T>;
  index_t within = 0;
  if constexpr (requires { r.select.within; }) within = r.select.within;
  offset_t const scores = detail::score_columns_bytes<V>(experts, within);
  offset_t const picks = 2 * aligned_bytes<V>(capacity);
  return detail::expert_choice_bytes<V>(tokens, experts, segments) + x.workspace_bytes(scores > picks ? scores : picks);
}

// Every expert chooses its tokens. Segments = rows of the output / experts; sequence or group numbers at or past
// that are left out, as padding is.
template <executor X, expert_choice_router R, class T, class H, class W>
status try_route_experts(X const& x, R const& r, batch<T, H> const& in, expert_routing_view<W> out,
                         workspace w) noexcept {
  static_assert(is_none<decltype(R::bias)>,
                "route_experts: a bias per expert changes nothing inside one expert's column");
  checks c;
  c.also(detail::validate_experts(r, in, out.tokens)).strided("out.weights", out.weights);
  c.must_be("out.weights rows", out.weights.rows, out.tokens.rows);
  c.must_be("out.weights columns", out.weights.cols, out.tokens.cols);
  if (!c.result().ok()) return c.result();
  offset_t const segments = out.tokens.rows / in.logits.cols;
  c.also(workspace_ok(w, route_experts_workspace_bytes<X, R, T>(
                             x, r, in.logits.rows, static_cast<index_t>(in.logits.cols), segments, out.tokens.cols)));
  if (!c.result().ok()) return c.result();
  auto const state = detail::expert_choice_arrays(r, in, segments, w);
  if (status const s = detail::order_and_score(x, state, w); !s.ok()) return s;
  return x.run(out.tokens.rows, detail::choose_tokens<R, T, H, W>{state, out}, w);
}

// From d weights to d logits for fixed picks; every row of d_logits is written.
template <executor X, expert_choice_router R, class T, class H, class W, class D>
status try_route_experts_backward(X const& x, R const& r, batch<T, H> const& in, matrix_view<offset_t const> tokens,
                                  matrix_view<W> d_weights, matrix_view<D> d_logits, workspace w) noexcept {
  static_assert(differentiable_score<decltype(R::score)> && differentiable_weigh<decltype(R::weigh)>,
                "route_experts_backward: router.score or router.weigh has no backward");
  checks c;
  c.also(detail::validate_experts(r, in, tokens)).must_be("d_weights rows", d_weights.rows, tokens.rows);
  c.must_be("d_weights columns", d_weights.cols, tokens.cols).must_be("d_logits rows", d_logits.rows, in.logits.rows);
  c.must_be("d_logits columns", d_logits.cols, in.logits.cols).strided("d_logits", d_logits);
  if (!c.result().ok()) return c.result();
  offset_t const segments = tokens.rows / in.logits.cols;
  c.also(workspace_ok(w, route_experts_workspace_bytes<X, R, T>(
                             x, r, in.logits.rows, static_cast<index_t>(in.logits.cols), segments, tokens.cols)));
  if (!c.result().ok()) return c.result();
  auto const state = detail::expert_choice_arrays(r, in, segments, w);
  if (status const s = detail::order_and_score(x, state, w); !s.ok()) return s;
  using Wt = std::remove_const_t<W>;
  status const s = x.run(tokens.rows, detail::choose_tokens_backward<R, T, H, Wt>{state, tokens, d_weights}, w);
  if (!s.ok()) return s;
  return x.run(in.logits.rows, detail::columns_to_logits<R, T, H, D>{state, d_logits}, w);
}

template <executor X, expert_choice_router R, class T, class H, class W>
void route_experts(X const& x, R const& r, batch<T, H> const& in, expert_routing_view<W> out, workspace w) {
  throw_if_bad(try_route_experts(x, r, in, out, w));
}
template <executor X, expert_choice_router R, class T, class H, class W, class D>
void route_experts_backward(X const& x, R const& r, batch<T, H> const& in, matrix_view<offset_t const> tokens,
                            matrix_view<W> d_weights, matrix_view<D> d_logits, workspace w) {
  throw_if_bad(try_route_experts_backward(x, r, in, tokens, d_weights, d_logits, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
