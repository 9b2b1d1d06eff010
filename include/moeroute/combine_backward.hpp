// Decides the backward of combine: gradients of the experts' rows, of the weights and of all else that was added.
//
//   d_rows[slot_j] = w_j d_y[t],  d_w_j = <d_y[t], rows[slot_j]>,  d_shared = gate d_y,  d_gate = <d_y, shared>
#pragma once

#include <moeroute/combine.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Where the gradients of combine_terms go; an array left out is not computed. All are overwritten; padding rows get 0.
template <element T, element D>
struct combine_gradients {
  matrix_view<T> rows{};
  matrix_view<D> weights{};
  matrix_view<T> x{};
  matrix_view<T> shared{};
  row_view<D> gate{};
};

// d_rows[slot_j] = w_j d_y, d_w_j = <d_y, rows[slot_j]>, and likewise for identity and shared experts.
template <element T, element W, element O, element D, std::signed_integral Slot>
struct combine_row_backward {
  using V = detail::widest_t<T, W, O, D>;
  plan_view<Slot> plan;
  combine_terms<T, W> in;
  matrix_view<O const> d_y;  // tokens x width
  combine_gradients<T, D> out;

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    detail::combine_reader<V, T, W, Slot> const r{plan, in, t};
    O const* const d = d_y[t].data;
    offset_t const width = d_y.cols;
    V const gate = r.gate();
    if (out.rows.data != nullptr)
      detail::spread_row<V, T>(
          g, d, width, detail::rows_on_bytes<16>(d_y) && detail::rows_on_bytes<16>(out.rows),
          [&](auto&& visit) {
            MOEROUTE_UNROLL_BY(1)
            for (offset_t j = 0; j < r.n; ++j)
              if (offset_t const slot = r.slot(j); slot >= 0) visit(out.rows[slot].data, r.weight(j));
          },
          detail::scaled_into<V, T>{});
    MOEROUTE_UNROLL_BY(1)
    for (offset_t j = 0; out.weights.data != nullptr && j < r.n; ++j) {
      offset_t const slot = r.slot(j);
      V sum = 0;
      if (slot >= 0) sum = detail::dot<V>(g, d, in.rows[slot].data, width);
      else if (slot == identity_slot) {
        sum = static_cast<V>(in.identity_scale) * detail::dot<V>(g, d, in.x[t].data, width);  // seldom
      }
      if (g.rank() == 0) values_of(out.weights, plan.choices, t)[j] = store<D>(sum);
    }
    if (out.x.data != nullptr) {
      to_x(g, r, d);  // seldom
    }
    if (out.shared.data != nullptr) {
      to_one(g, gate, d, out.shared[t].data, detail::rows_on_bytes<16>(out.shared));  // seldom
    }
    if (out.gate.data != nullptr) {
      to_gate(g, t, gate, d);  // seldom
    }
    g.sync();
  }

 private:
  // The token's own row: its identity experts, and all of it if it passed through.
  template <class G>
  MOEROUTE_HD void to_x(G const& g, detail::combine_reader<V, T, W, Slot> const& r, O const* d) const {
    V through = r.passes() ? V(1) : V(0);
    for (offset_t j = 0; j < r.n; ++j)
      if (r.slot(j) == identity_slot) through += r.identity_weight(j);
    to_one(g, through, d, out.x[r.t].data, detail::rows_on_bytes<16>(out.x));
  }
  template <class G>
  MOEROUTE_HD void to_gate(G const& g, offset_t t, V gate, O const* d) const {
    V const sum = detail::dot<V>(g, d, in.shared[t].data, d_y.cols);
    V const slope = in.gated_by == gate_kind::sigmoid ? gate * (V(1) - gate) : V(1);
    if (g.rank() == 0) out.gate[t] = store<D>(slope * sum);
  }
  template <class G>
  MOEROUTE_HD void to_one(G const& g, V w, O const* d, T* to, bool aligned) const {
    detail::spread_row<V, T>(
        g, d, d_y.cols, aligned && detail::rows_on_bytes<16>(d_y), [&](auto&& visit) { visit(to, w); },
        detail::scaled_into<V, T>{});
  }
};

// ---- the verbs -----------------------------------------------------------------------------------------------

// The gradients of combine's terms for d_y. `in` as it was forward: in.rows is read for the weights.
template <executor X, element T, element W, class O, element D, std::signed_integral Slot>
status try_combine_backward(X const& ex, plan_view<Slot> const& plan, combine_terms<T, W> const& in, matrix_view<O> d_y,
                            combine_gradients<T, D> const& out) noexcept {
  offset_t const width = d_y.cols;
  checks c = detail::check_terms(ex, plan, in, width);
  detail::check_tokens(c, "d_y rows", "d_y columns", plan, d_y, width);
  if (out.rows.data != nullptr) detail::check_rows(ex, c, "d_rows rows", "d_rows columns", plan, out.rows, width);
  detail::check_weights(ex, c, "d_weights rows", "d_weights columns", plan, out.weights);
  if (out.x.data != nullptr) detail::check_tokens(c, "d_x rows", "d_x columns", plan, out.x, width);
  if (out.shared.data != nullptr) detail::check_tokens(c, "d_shared rows", "d_shared columns", plan, out.shared, width);
  c.empty_or("d_gate size", out.gate, plan.choices.tokens);
  if (out.gate.data != nullptr)
    c.must_be("shared rows (d_gate needs shared)", in.shared.rows, plan.choices.tokens, errc::missing);
  if (!c.result().ok()) return c.result();
  combine_row_backward<T, W, std::remove_const_t<O>, D, Slot> const body{plan, in, d_y, out};
  if (status const s = ex.run(plan.choices.tokens, body, {}); !s.ok()) return s;
  if constexpr (!std::same_as<X, row_range>)
    if (out.rows.data != nullptr) return try_zero_padding(ex, plan, out.rows);
  return {};
}
template <executor X, element T, element W, class O, element D, std::signed_integral Slot>
void combine_backward(X const& ex, plan_view<Slot> const& plan, combine_terms<T, W> const& in, matrix_view<O> d_y,
                      combine_gradients<T, D> const& out) {
  throw_if_bad(try_combine_backward(ex, plan, in, d_y, out));
}

}  // namespace moeroute::inline MOEROUTE_ABI
