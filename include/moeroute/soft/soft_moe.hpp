// Decides nothing hard: every slot reads a mixture of all tokens, every token a mixture of all slot outputs.
// Source: Soft MoE (S088 router 6, S134). For each group of tokens by itself:
//
//   dispatch D = softmax of the logits over tokens,   combine C = softmax over slots
//   slots = D^T X   ->  experts  ->   Y = C slot outputs
// Fully dense and differentiable; a token's output depends on every token of the group.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/row.hpp>
#include <moeroute/core/tree_sum.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

// y = softmax over element(i), i in [0, n), written through store(i, y). Masked elements give 0.
template <class V, class G, class Element, class Store>
MOEROUTE_HD void strided_softmax(G const& g, offset_t n, Element const& element, Store const& store_at) {
  V top = -infinity<V>;
  for (offset_t i = g.rank(); i < n; i += g.size()) top = math::max(element(i), top);
  top = g.max(top);
  auto const numerator = [&](offset_t i) {
    V const z = element(i);
    return z > -infinity<V> ? math::where(z == top, V(1), math::exp(z - top)) : V(0);
  };
  V const total = tree_sum<V>(g, n, numerator);
  for (offset_t i = g.rank(); i < n; i += g.size()) store_at(i, total > V(0) ? numerator(i) / total : V(0));
  g.sync();
}

template <class V>
struct soft_combine_row {  // rows: tokens
  matrix_view<V const> logits;
  row_view<std::uint8_t const> valid;
  matrix_view<V> combine;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    bool const here = valid.empty() || valid[t] != 0;
    strided_softmax<V>(
        g, logits.cols, [&](offset_t s) { return here ? logits[t][s] : -infinity<V>; },
        [&](offset_t s, V y) { combine[t][s] = y; });
  }
};
template <class V>
struct soft_dispatch_column {              // rows: slots
  static constexpr bool long_rows = true;  // as long as the batch
  matrix_view<V const> logits;
  row_view<std::uint8_t const> valid;
  matrix_view<V> dispatch;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    strided_softmax<V>(
        g, logits.rows, [&](offset_t t) { return valid.empty() || valid[t] != 0 ? logits[t][s] : -infinity<V>; },
        [&](offset_t t, V y) { dispatch[t][s] = y; });
  }
};
template <class V>
struct soft_slots_row {                    // rows: slots; out = A^T B
  static constexpr bool long_rows = true;  // as long as the batch
  matrix_view<V const> a, b;
  matrix_view<V> out;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    for (offset_t i = g.rank(); i < out.cols; i += g.size()) out[s][i] = 0;
    for (offset_t t = 0; t < a.rows; ++t)
      for (offset_t i = g.rank(); i < out.cols; i += g.size()) out[s][i] = math::fma(a[t][s], b[t][i], out[s][i]);
    g.sync();
  }
};
template <class V>
struct soft_tokens_row {  // rows: tokens; out = A B, or added
  matrix_view<V const> a, b;
  matrix_view<V> out;
  bool add;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    for (offset_t i = g.rank(); i < out.cols; i += g.size()) {
      V sum = add ? out[t][i] : V(0);
      for (offset_t s = 0; s < a.cols; ++s) sum = math::fma(a[t][s], b[s][i], sum);
      out[t][i] = sum;
    }
    g.sync();
  }
};
template <class V>
MOEROUTE_HD V dot_of(row_view<V const> a, row_view<V const> b) {
  V sum = 0;
  for (offset_t i = 0; i < a.size; ++i) sum = math::fma(a[i], b[i], sum);
  return sum;
}
template <class V>
struct soft_d_combine {  // rows: tokens; writes d logits from the combine softmax
  matrix_view<V const> combine, d_y, slot_outputs;
  matrix_view<V> d_logits;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    for (offset_t s = g.rank(); s < combine.cols; s += g.size()) d_logits[t][s] = dot_of(d_y[t], slot_outputs[s]);
    g.sync();
    V const mean = tree_sum<V>(g, combine.cols, [&](offset_t s) { return math::mul(combine[t][s], d_logits[t][s]); });
    g.sync();
    for (offset_t s = g.rank(); s < combine.cols; s += g.size())
      d_logits[t][s] = combine[t][s] * (d_logits[t][s] - mean);
    g.sync();
  }
};
template <class V>
struct soft_d_dispatch {                   // rows: slots; adds d logits from the dispatch softmax
  static constexpr bool long_rows = true;  // as long as the batch
  matrix_view<V const> dispatch, x, d_slots;
  matrix_view<V> d_logits;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    auto const d = [&](offset_t t) { return dot_of(x[t], d_slots[s]); };
    V const mean = tree_sum<V>(
        g, dispatch.rows, [&](offset_t t) { return dispatch[t][s] > V(0) ? math::mul(dispatch[t][s], d(t)) : V(0); });
    for (offset_t t = g.rank(); t < dispatch.rows; t += g.size())
      if (dispatch[t][s] > V(0)) d_logits[t][s] += math::mul(dispatch[t][s], d(t) - mean);
    g.sync();
  }
};

template <class A, class B>
checks& same_shape(checks& c, char const* rows, char const* columns, A const& a, B const& b) {
  return c.must_be(rows, a.rows, b.rows).must_be(columns, a.cols, b.cols).strided(columns, a);
}

}  // namespace detail

// Dispatch and combine (tokens x slots) of the logits. Padding tokens (valid 0) have zeros in both.
template <executor X, class V>
status try_soft_weights(X const& x, matrix_view<V const> logits, matrix_view<V> dispatch, matrix_view<V> combine,
                        row_view<std::uint8_t const> valid = {}, workspace w = {}) noexcept {
  checks c;
  detail::same_shape(c, "dispatch rows", "dispatch columns", dispatch, logits);
  detail::same_shape(c, "combine rows", "combine columns", combine, logits).empty_or("valid size", valid, logits.rows);
  if (!c.result().ok()) return c.result();
  status const s = x.run(logits.rows, detail::soft_combine_row<V>{logits, valid, combine}, w);
  return s.ok() ? x.run(logits.cols, detail::soft_dispatch_column<V>{logits, valid, dispatch}, w) : s;
}
// slots (slots x width) = dispatch^T x.
template <executor X, class V>
status try_soft_slots(X const& run, matrix_view<V const> dispatch, matrix_view<V const> x, matrix_view<V> slots,
                      workspace w = {}) noexcept {
  checks c;
  c.must_be("x rows", x.rows, dispatch.rows).must_be("slots rows", slots.rows, dispatch.cols);
  c.must_be("slots columns", slots.cols, x.cols).strided("slots", slots);
  return c.result().ok() ? run.run(slots.rows, detail::soft_slots_row<V>{dispatch, x, slots}, w) : c.result();
}
// y (tokens x width) = combine slot_outputs.
template <executor X, class V>
status try_soft_combine(X const& run, matrix_view<V const> combine, matrix_view<V const> slot_outputs, matrix_view<V> y,
                        workspace w = {}) noexcept {
  checks c;
  c.must_be("slot_outputs rows", slot_outputs.rows, combine.cols).must_be("y rows", y.rows, combine.rows);
  c.must_be("y columns", y.cols, slot_outputs.cols).strided("y", y);
  return c.result().ok() ? run.run(y.rows, detail::soft_tokens_row<V>{combine, slot_outputs, y, false}, w) : c.result();
}
// First half of the way back: d slot outputs, and the part of d logits that comes through combine (written).
template <executor X, class V>
status try_soft_combine_backward(X const& run, matrix_view<V const> combine, matrix_view<V const> slot_outputs,
                                 matrix_view<V const> d_y, matrix_view<V> d_slot_outputs, matrix_view<V> d_logits,
                                 workspace w = {}) noexcept {
  checks c;
  c.must_be("d_y rows", d_y.rows, combine.rows).must_be("d_y columns", d_y.cols, slot_outputs.cols);
  detail::same_shape(c, "d_slot_outputs rows", "d_slot_outputs columns", d_slot_outputs, slot_outputs);
  detail::same_shape(c, "d_logits rows", "d_logits columns", d_logits, combine);
  if (!c.result().ok()) return c.result();
  status const s = run.run(combine.cols, detail::soft_slots_row<V>{combine, d_y, d_slot_outputs}, w);
  return s.ok() ? run.run(combine.rows, detail::soft_d_combine<V>{combine, d_y, slot_outputs, d_logits}, w) : s;
}
// Second half: d x through the slots (added), and the part of d logits that comes through dispatch (added).
template <executor X, class V>
status try_soft_slots_backward(X const& run, matrix_view<V const> dispatch, matrix_view<V const> x,
                               matrix_view<V const> d_slots, matrix_view<V> d_x, matrix_view<V> d_logits,
                               workspace w = {}) noexcept {
  checks c;
  c.must_be("d_slots rows", d_slots.rows, dispatch.cols).must_be("d_slots columns", d_slots.cols, x.cols);
  detail::same_shape(c, "d_x rows", "d_x columns", d_x, x);
  detail::same_shape(c, "d_logits rows", "d_logits columns", d_logits, dispatch);
  if (!c.result().ok()) return c.result();
  status const s = run.run(x.rows, detail::soft_tokens_row<V>{dispatch, d_slots, d_x, true}, w);
  return s.ok() ? run.run(dispatch.cols, detail::soft_d_dispatch<V>{dispatch, x, d_slots, d_logits}, w) : s;
}

template <class... A>
void soft_weights(A const&... a) {
  throw_if_bad(try_soft_weights(a...));
}
template <class... A>
void soft_slots(A const&... a) {
  throw_if_bad(try_soft_slots(a...));
}
template <class... A>
void soft_combine(A const&... a) {
  throw_if_bad(try_soft_combine(a...));
}
template <class... A>
void soft_combine_backward(A const&... a) {
  throw_if_bad(try_soft_combine_backward(a...));
}
template <class... A>
void soft_slots_backward(A const&... a) {
  throw_if_bad(try_soft_slots_backward(a...));
}

}  // namespace moeroute::inline MOEROUTE_ABI
