// Decides how the experts' rows come back to their token.
//
//   y[t] = sum_j w_j rows[slot_j] + sum_{identity} w_j x[t] + gate_t shared[t]
//
// The sum runs in the order of the token's choices, then the shared experts: a token's result has the same
// bits alone, in any batch, for any executor. The gradients: combine_backward.hpp.
#pragma once

#include <moeroute/plan/move_rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// What becomes of a token none of whose choices fitted: nothing (the residual stream carries it), or its
// own row (MoEC).
enum class overflow : std::uint8_t { drop, pass_through };
// Whether shared experts are gated by the number given or by its sigmoid (Qwen2-MoE gives logits).
enum class gate_kind : std::uint8_t { value, sigmoid };

// What a token's result is made of. Leave out what a model does not have.
template <element T, element W>
struct combine_terms {
  matrix_view<T const> rows{};     // rows x width: what the experts made of the grouped rows
  matrix_view<W const> weights{};  // tokens x k; empty: the weight was on the input, or is 1
  matrix_view<T const> x{};        // tokens x width: for identity experts and pass_through
  matrix_view<T const> shared{};   // tokens x width: the shared experts
  row_view<W const> gate{};        // tokens: scalar gate of the shared experts; empty: 1
  gate_kind gated_by = gate_kind::value;
  overflow when_full = overflow::drop;
  float identity_scale = 1;  // times the weight of identity experts (LongCat-Flash: 1; 1/6 leaves them unscaled)
};
namespace detail {

template <class V, element T, element W, std::signed_integral Slot>
struct combine_reader {
  plan_view<Slot> const& plan;
  combine_terms<T, W> const& in;
  offset_t t;
  offset_t first = plan.choices.first(t), n = plan.choices.last(t) - first;

  MOEROUTE_HD offset_t slot(offset_t j) const { return plan.slot_of_choice[first + j]; }
  MOEROUTE_HD V weight(offset_t j) const {
    return in.weights.data == nullptr ? V(1) : widen<V>(values_of(in.weights, plan.choices, t)[j]);
  }
  MOEROUTE_HD V identity_weight(offset_t j) const { return math::mul(weight(j), static_cast<V>(in.identity_scale)); }
  MOEROUTE_HD V gate() const {
    if (in.gate.data == nullptr) return V(1);
    V const z = widen<V>(in.gate[t]);                                 // seldom
    return in.gated_by == gate_kind::sigmoid ? math::sigmoid(z) : z;  // seldom
  }
  // Some choice was dropped, and none has a row or is an identity expert.
  MOEROUTE_HD bool passes() const {
    if (in.when_full == overflow::drop) return false;
    return none_fitted();  // seldom
  }

 private:
  MOEROUTE_HD bool none_fitted() const {
    bool dropped = false;
    for (offset_t j = 0; j < n; ++j) {
      offset_t const s = slot(j);
      if (s >= 0 || s == identity_slot) return false;
      dropped = dropped || s == dropped_slot;
    }
    return dropped;
  }
};

}  // namespace detail

template <element T, element W, element O, std::signed_integral Slot>
struct combine_row {
  using V = detail::widest_t<T, W, O>;
  plan_view<Slot> plan;
  combine_terms<T, W> in;
  matrix_view<O> y;  // tokens x width

  bool far = false;     // more rows than the caches hold: ask for them ahead of time
  bool stream = false;  // and y past the caches

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    token_terms const terms{*this, t};
    bool const aligned = detail::rows_on_bytes<16>(y) && detail::rows_on_bytes<16>(in.rows) &&
                         detail::rows_on_bytes<16>(in.x) && detail::rows_on_bytes<16>(in.shared);
    detail::sum_rows<V, T>(g, y[t].data, y.cols, aligned, terms);
    g.sync();
  }
  // Many tokens on one CPU thread.
  static constexpr offset_t rows_scratch_bytes() { return 0; }
  void rows(offset_t first, offset_t last, scratch s) const {
    if (!far) {
      for (offset_t t = first; t < last; ++t) (*this)(serial_group{}, t, s);
      return;
    }
    for (offset_t t = first; t < last; ++t) {
      detail::term_list<V, T> next;
      if (t + 1 < last) token_terms{*this, t + 1}(next);
      detail::sum_rows<V, T>(serial_group{}, y[t].data, y.cols, false, token_terms{*this, t},
                             detail::rows_ahead<V, T>{next, y.cols}, stream);
    }
    if (stream) detail::stream_fence();
  }

 private:
  // The rows of token t and their weights, in the order of the sum.
  struct token_terms {
    combine_row const& body;
    offset_t t;
    detail::combine_reader<V, T, W, Slot> r{body.plan, body.in, t};
    bool passes = r.passes();
    V gate = r.gate();

    MOEROUTE_EXEC_CHECK_DISABLE
    template <class Visit>
    MOEROUTE_HD void operator()(Visit&& visit) const {
      MOEROUTE_UNROLL_BY(1)
      for (offset_t j = 0; j < r.n; ++j) {
        offset_t const slot = r.slot(j);
        if (slot >= 0) visit(r.in.rows[slot].data, r.weight(j));
        else if (slot == identity_slot) visit(r.in.x[r.t].data, r.identity_weight(j));  // seldom
      }
      if (passes) visit(r.in.x[r.t].data, V(1));                            // seldom
      if (r.in.shared.data != nullptr) visit(r.in.shared[r.t].data, gate);  // seldom
    }
  };
};

// ---- the verbs -----------------------------------------------------------------------------------------------

namespace detail {
template <executor X, element T, element W, std::signed_integral Slot>
checks check_terms(X const& ex, plan_view<Slot> const& plan, combine_terms<T, W> const& in, offset_t width) {
  checks c;
  check_plan_in_use(ex, c, plan);
  check_rows(ex, c, "rows rows", "rows columns", plan, in.rows, width);
  check_weights(ex, c, "weights rows", "weights columns", plan, in.weights);
  if (in.x.data != nullptr) check_tokens(c, "x rows", "x columns", plan, in.x, width);
  if (in.shared.data != nullptr) check_tokens(c, "shared rows", "shared columns", plan, in.shared, width);
  c.empty_or("gate size", in.gate, plan.choices.tokens);
  if (in.gate.data != nullptr)
    c.must_be("shared rows (a gate needs shared experts)", in.shared.rows, plan.choices.tokens);
  if (in.when_full == overflow::pass_through)
    c.must_be("x rows (pass_through needs x)", in.x.rows, plan.choices.tokens, errc::missing);
  if constexpr (runs_on_host<X>)
    if (c.result().ok() && in.x.data == nullptr)
      for (Slot const slot : plan.slot_of_choice)
        if (slot == static_cast<Slot>(identity_slot)) {
          c.must_be("x rows (identity experts need x)", in.x.rows, plan.choices.tokens, errc::missing);
          break;
        }
  return c;
}
}  // namespace detail

template <executor X, element T, element W, element O, std::signed_integral Slot>
status try_combine(X const& ex, plan_view<Slot> const& plan, combine_terms<T, W> const& in, matrix_view<O> y) noexcept {
  checks c = detail::check_terms(ex, plan, in, y.cols);
  detail::check_tokens(c, "y rows", "y columns", plan, y, y.cols);
  if (!c.result().ok()) return c.result();
  combine_row<T, W, O, Slot> body{plan, in, y};
  if constexpr (runs_on_host<X>) {
    body.far = plan.offsets[plan.experts()] * y.cols * static_cast<offset_t>(sizeof(T)) >= detail::stream_from_bytes;
    body.stream = body.far && y.rows * y.cols * static_cast<offset_t>(sizeof(O)) >= detail::stream_from_bytes;
  }
  return ex.run(plan.choices.tokens, body, {});
}

// The common case: the experts' rows and the weights of the choices.
template <executor X, class T, class W, element O, std::signed_integral Slot>
status try_combine(X const& ex, plan_view<Slot> const& plan, matrix_view<T> rows, matrix_view<W> weights,
                   matrix_view<O> y) noexcept {
  combine_terms<std::remove_const_t<T>, std::remove_const_t<W>> const in{.rows = rows, .weights = weights};
  return try_combine(ex, plan, in, y);
}
// Weights that were on the input, or are all 1.
template <executor X, class T, element O, std::signed_integral Slot>
status try_combine(X const& ex, plan_view<Slot> const& plan, matrix_view<T> rows, matrix_view<O> y) noexcept {
  return try_combine(ex, plan, combine_terms<std::remove_const_t<T>>{.rows = rows}, y);
}

template <executor X, element T, element W, element O, std::signed_integral Slot>
void combine(X const& ex, plan_view<Slot> const& plan, combine_terms<T, W> const& in, matrix_view<O> y) {
  throw_if_bad(try_combine(ex, plan, in, y));
}
template <executor X, class T, class W, element O, std::signed_integral Slot>
void combine(X const& ex, plan_view<Slot> const& plan, matrix_view<T> rows, matrix_view<W> weights, matrix_view<O> y) {
  throw_if_bad(try_combine(ex, plan, rows, weights, y));
}
template <executor X, class T, element O, std::signed_integral Slot>
void combine(X const& ex, plan_view<Slot> const& plan, matrix_view<T> rows, matrix_view<O> y) {
  throw_if_bad(try_combine(ex, plan, rows, y));
}
}  // namespace moeroute::inline MOEROUTE_ABI
