// Decides how a token's row goes to the slots of its choices, and its backward. A row of work is a token:
// its row is read once and written to every slot.
//
//   grouped[slot_j] = x[t]                                  or w_j x[t], where the weight is on the input
//   d_x[t] = sum_j w_j d_grouped[slot_j],  d_w_j = <x[t], d_grouped[slot_j]>
//
// The way back, combine, is in combine.hpp.
#pragma once

#include <moeroute/plan/move_rows.hpp>
#include <moeroute/plan/stream.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// One token: its row to the slot of every choice, times the choice's weight if weights are given.
template <element T, element W, element O, std::signed_integral Slot>
struct permute_row {
  using V = detail::widest_t<T, W, O>;
  plan_view<Slot> plan;
  matrix_view<T const> x;        // tokens x width
  matrix_view<W const> weights;  // tokens x k, or empty: the weight is on the output
  matrix_view<O> grouped;        // rows x width
  bool stream = false;           // one lane, rows as they are: past the caches

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    offset_t const first = plan.choices.first(t), n = plan.choices.last(t) - first;
    if constexpr (is_serial<G> && std::same_as<T, O>)
      if (stream) {
        stream_row(t, t);
        return detail::stream_fence();
      }
    bool const weighed = weights.data != nullptr;
    auto const slots = [&](auto&& visit) {
      MOEROUTE_UNROLL_BY(1)
      for (offset_t j = 0; j < n; ++j)
        if (offset_t const slot = plan.slot_of_choice[first + j]; slot >= 0)
          visit(grouped[slot].data, weighed ? detail::widen<V>(values_of(weights, plan.choices, t)[j]) : V(1));
    };
    bool const aligned = detail::rows_on_bytes<16>(x) && detail::rows_on_bytes<16>(grouped);
    if (!weighed) detail::spread_row<V, O>(g, x[t].data, x.cols, aligned, slots, detail::copied_into<V, O>{});
    else detail::spread_row<V, O>(g, x[t].data, x.cols, aligned, slots, detail::scaled_into<V, O>{});  // seldom
    g.sync();
  }

  // A token's row as it is to the slots of its choices, for a device that copies in bulk (cuda/bulk_copy.hpp).
  bool suits_bulk() const
    requires std::same_as<T, O>
  {
    return weights.data == nullptr && run_bytes() % 16 == 0 && detail::rows_on_bytes<16>(x) &&
           detail::rows_on_bytes<16>(grouped);
  }
  MOEROUTE_HD offset_t run_bytes() const { return x.cols * static_cast<offset_t>(sizeof(T)); }
  MOEROUTE_HD std::byte const* run_from(offset_t t) const { return reinterpret_cast<std::byte const*>(x[t].data); }
  MOEROUTE_HD offset_t run_places(offset_t t) const { return plan.choices.last(t) - plan.choices.first(t); }
  MOEROUTE_HD std::byte* run_to(offset_t t, offset_t j) const {
    offset_t const slot = plan.slot_of_choice[plan.choices.first(t) + j];
    return slot < 0 ? nullptr : reinterpret_cast<std::byte*>(grouped[slot].data);
  }

  // Many tokens on one CPU thread: one fence for all, the next row on its way.
  static constexpr offset_t rows_scratch_bytes() { return 0; }
  void rows(offset_t first, offset_t last, scratch s) const {
    if constexpr (std::same_as<T, O>)
      if (stream) {
        for (offset_t t = first; t < last; ++t) stream_row(t, t + 1 < last ? t + 1 : t);
        return detail::stream_fence();
      }
    for (offset_t t = first; t < last; ++t) (*this)(serial_group{}, t, s);
  }

 private:
  // The row is read once and streamed to several slots side by side.
  MOEROUTE_HD void stream_row(offset_t t, offset_t next) const {
    offset_t const first = plan.choices.first(t), last = plan.choices.last(t);
    T* to[std::size_t{detail::streams_at_once}];
    index_t n = 0;
    for (offset_t c = first; c < last; ++c) {
      if (offset_t const slot = plan.slot_of_choice[c]; slot >= 0) to[n++] = grouped[slot].data;
      if (n == detail::streams_at_once || (n != 0 && c + 1 == last)) {
        detail::stream_copies(x[t].data, to, n, x.cols * static_cast<offset_t>(sizeof(T)), x[next].data);
        n = 0;
      }
    }
  }
};

// One token: d_x = sum_j w_j d_grouped[slot_j] and d_w_j = <x, d_grouped[slot_j]>.
template <element T, element W, element O, element S, element D, std::signed_integral Slot>
struct permute_row_backward {
  using V = detail::widest_t<T, W, O, S, D>;
  plan_view<Slot> plan;
  matrix_view<T const> x;          // tokens x width; read for d_weights
  matrix_view<W const> weights;    // tokens x k, or empty
  matrix_view<O const> d_grouped;  // rows x width
  matrix_view<S> d_x;              // tokens x width, or empty
  matrix_view<D> d_weights;        // tokens x k, or empty

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    offset_t const first = plan.choices.first(t), n = plan.choices.last(t) - first;
    if (d_x.data != nullptr)
      detail::sum_rows<V, O>(
          g, d_x[t].data, d_x.cols, detail::rows_on_bytes<16>(d_x) && detail::rows_on_bytes<16>(d_grouped),
          [&](auto&& visit) {
            MOEROUTE_UNROLL_BY(1)
            for (offset_t j = 0; j < n; ++j)
              if (offset_t const slot = plan.slot_of_choice[first + j]; slot >= 0)
                visit(d_grouped[slot].data,
                      weights.data == nullptr ? V(1) : detail::widen<V>(values_of(weights, plan.choices, t)[j]));
          });
    if (d_weights.data != nullptr) {
      to_weights(g, t);  // seldom
    }
    g.sync();
  }

 private:
  template <class G>
  MOEROUTE_HD void to_weights(G const& g, offset_t t) const {
    offset_t const first = plan.choices.first(t), n = plan.choices.last(t) - first;
    for (offset_t j = 0; j < n; ++j) {
      offset_t const slot = plan.slot_of_choice[first + j];
      V const d = slot < 0 ? V(0) : detail::dot<V>(g, x[t].data, d_grouped[slot].data, x.cols);
      if (g.rank() == 0) values_of(d_weights, plan.choices, t)[j] = store<D>(d);
    }
  }
};

// ---- the verbs -----------------------------------------------------------------------------------------------

// grouped[slot] = x[t], or weights[t, j] * x[t] if weights are given. Padding rows become 0; rows beyond
// the rows in use stay as they are.
template <executor X, class T, class W, element O, std::signed_integral Slot>
status try_permute(X const& ex, plan_view<Slot> const& plan, matrix_view<T> x, matrix_view<W> weights,
                   matrix_view<O> grouped) noexcept {
  checks c;
  detail::check_plan_in_use(ex, c, plan);
  detail::check_tokens(c, "x rows", "x columns", plan, x, x.cols);
  detail::check_weights(ex, c, "weights rows", "weights columns", plan, weights);
  detail::check_rows(ex, c, "grouped rows", "grouped columns", plan, grouped, x.cols);
  if (!c.result().ok()) return c.result();
  permute_row<std::remove_const_t<T>, std::remove_const_t<W>, O, Slot> body{plan, x, weights, grouped};
  if constexpr (runs_on_host<X>)
    body.stream = weights.data == nullptr &&
                  plan.offsets[plan.experts()] * x.cols * static_cast<offset_t>(sizeof(O)) >= detail::stream_from_bytes;
  if (status const s = ex.run(plan.choices.tokens, body, {}); !s.ok()) return s;
  if constexpr (std::same_as<X, row_range>) return {};
  else return try_zero_padding(ex, plan, grouped);
}

// The transposed way: d_x[t] = sum_j w_j d_grouped[slot_j], d_weights[t, j] = <x[t], d_grouped[slot_j]>.
// Arrays left empty (d_x, d_weights, weights) are left out; x is read only for d_weights.
template <executor X, class T, class W, class O, element S, element D, std::signed_integral Slot>
status try_permute_backward(X const& ex, plan_view<Slot> const& plan, matrix_view<T> x, matrix_view<W> weights,
                            matrix_view<O> d_grouped, matrix_view<S> d_x, matrix_view<D> d_weights) noexcept {
  checks c;
  detail::check_plan_in_use(ex, c, plan);
  detail::check_rows(ex, c, "d_grouped rows", "d_grouped columns", plan, d_grouped, d_grouped.cols);
  if (d_x.data != nullptr) detail::check_tokens(c, "d_x rows", "d_x columns", plan, d_x, d_grouped.cols);
  if (d_weights.data != nullptr) detail::check_tokens(c, "x rows", "x columns", plan, x, d_grouped.cols);
  detail::check_weights(ex, c, "weights rows", "weights columns", plan, weights);
  detail::check_weights(ex, c, "d_weights rows", "d_weights columns", plan, d_weights);
  if (!c.result().ok()) return c.result();
  permute_row_backward<std::remove_const_t<T>, std::remove_const_t<W>, std::remove_const_t<O>, S, D, Slot> const body{
      plan, x, weights, d_grouped, d_x, d_weights};
  return ex.run(plan.choices.tokens, body, {});
}

// Weights on the output: rows travel as they are.
template <executor X, class T, element O, std::signed_integral Slot>
status try_permute(X const& ex, plan_view<Slot> const& plan, matrix_view<T> x, matrix_view<O> grouped) noexcept {
  return try_permute(ex, plan, x, matrix_view<float const>{}, grouped);
}
template <executor X, class O, element S, std::signed_integral Slot>
status try_permute_backward(X const& ex, plan_view<Slot> const& plan, matrix_view<O> d_grouped,
                            matrix_view<S> d_x) noexcept {
  return try_permute_backward(ex, plan, matrix_view<S const>{}, matrix_view<float const>{}, d_grouped, d_x,
                              matrix_view<float>{});
}

template <executor X, class T, class W, element O, std::signed_integral Slot>
void permute(X const& ex, plan_view<Slot> const& plan, matrix_view<T> x, matrix_view<W> weights,
             matrix_view<O> grouped) {
  throw_if_bad(try_permute(ex, plan, x, weights, grouped));
}
template <executor X, class T, element O, std::signed_integral Slot>
void permute(X const& ex, plan_view<Slot> const& plan, matrix_view<T> x, matrix_view<O> grouped) {
  throw_if_bad(try_permute(ex, plan, x, grouped));
}
template <executor X, class T, class W, class O, element S, element D, std::signed_integral Slot>
void permute_backward(X const& ex, plan_view<Slot> const& plan, matrix_view<T> x, matrix_view<W> weights,
                      matrix_view<O> d_grouped, matrix_view<S> d_x, matrix_view<D> d_weights) {
  throw_if_bad(try_permute_backward(ex, plan, x, weights, d_grouped, d_x, d_weights));
}
template <executor X, class O, element S, std::signed_integral Slot>
void permute_backward(X const& ex, plan_view<Slot> const& plan, matrix_view<O> d_grouped, matrix_view<S> d_x) {
  throw_if_bad(try_permute_backward(ex, plan, d_grouped, d_x));
}

}  // namespace moeroute::inline MOEROUTE_ABI
