// Decides soft assignment in two levels: first inside groups of `group` neighboring tokens, with slots made from the
// group itself, then over all slots of the sequence. Source: Mamba HoME (S134).
//
//   level 1  slot vectors of a group: RMSNorm(W mean(x)), reshaped to slots x width
//            logits = RMSNorm(x) . slot vectors; ONE softmax over slots of each token builds the slots (slots = A^T x)
//            and maps them back (y = A outputs): not the column softmax of Soft MoE
//            group gate = clamp(sigmoid(w . mean(x)), 0.01, 1)
//   level 2  Soft MoE over all slots: soft_moe.hpp, logits from the slots themselves
// The last group may be short: its padding takes no part and is never written. The way back is in
// hierarchical_backward.hpp.
#pragma once

#include <moeroute/soft/soft_moe.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct hierarchical_soft {
  offset_t group = 8;     // tokens of a group
  offset_t slots = 2;     // slots of a group
  float epsilon = 1e-6f;  // of RMSNorm
  float least_gate = .01f;

  MOEROUTE_HD offset_t groups(offset_t tokens) const { return (tokens + group - 1) / group; }
  MOEROUTE_HD offset_t first(offset_t g) const { return g * group; }
  MOEROUTE_HD offset_t size(offset_t g, offset_t tokens) const {
    return tokens - first(g) < group ? tokens - first(g) : group;
  }
  // clamp(sigmoid(z), least_gate, 1)
  template <class V>
  MOEROUTE_HD V gate(V z) const {
    V const s = math::sigmoid(z);
    return s < V(least_gate) ? V(least_gate) : s;
  }
  status validate() const {
    return checks{}
        .at_least("hierarchical_soft.group", group, 1)
        .at_least("hierarchical_soft.slots", slots, 1)
        .result();
  }
};

namespace detail {

template <class V>
MOEROUTE_HD V inverse_rms(row_view<V const> x, V epsilon) {
  V sum = 0;
  for (V const v : x) sum = math::fma(v, v, sum);
  return V(1) / math::sqrt(sum / static_cast<V>(x.size) + epsilon);
}
template <class V>
struct group_means_row {  // rows: groups
  hierarchical_soft how;
  matrix_view<V const> x;
  matrix_view<V> means;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t q, scratch) const {
    offset_t const n = how.size(q, x.rows);
    for (offset_t i = g.rank(); i < x.cols; i += g.size()) {
      V sum = 0;
      for (offset_t t = 0; t < n; ++t) sum += x[how.first(q) + t][i];
      means[q][i] = sum / static_cast<V>(n);
    }
    g.sync();
  }
};
template <class V>
struct group_assignment_row {  // rows: tokens
  hierarchical_soft how;
  matrix_view<V const> x, slot_vectors;
  matrix_view<V> assignment;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    V const scale = inverse_rms(x[t], V(how.epsilon));
    offset_t const base = t / how.group * how.slots;
    auto const logit = [&](offset_t s) {
      row_view<V const> const phi = slot_vectors[base + s];
      return scale * inverse_rms(phi, V(how.epsilon)) * dot_of(x[t], phi);
    };
    strided_softmax<V>(g, how.slots, logit, [&](offset_t s, V y) { assignment[t][s] = y; });
  }
};
template <class V>
struct group_tokens_row {  // rows: tokens; out = A B, B the slots of the token's group
  hierarchical_soft how;
  matrix_view<V const> a, b;
  matrix_view<V> out;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    offset_t const base = t / how.group * how.slots;
    for (offset_t i = g.rank(); i < out.cols; i += g.size()) {
      V sum = 0;
      for (offset_t s = 0; s < how.slots; ++s) sum = math::fma(a[t][s], b[base + s][i], sum);
      out[t][i] = sum;
    }
    g.sync();
  }
};
template <class V>
struct group_slots_row {  // rows: slots of all groups; out = A^T B, group by group
  hierarchical_soft how;
  matrix_view<V const> a, b;
  matrix_view<V> out;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t row, scratch) const {
    offset_t const q = row / how.slots, s = row % how.slots, first = how.first(q), n = how.size(q, b.rows);
    for (offset_t i = g.rank(); i < b.cols; i += g.size()) {
      V sum = 0;
      for (offset_t t = first; t < first + n; ++t) sum = math::fma(a[t][s], b[t][i], sum);
      out[row][i] = sum;
    }
    g.sync();
  }
};

}  // namespace detail

// Means (groups x width) of neighboring tokens, padding left out.
template <executor X, class V>
status try_group_means(X const& run, hierarchical_soft how, matrix_view<V const> x, matrix_view<V> means,
                       workspace w = {}) noexcept {
  checks c;
  c.also(how.validate());
  if (c.result().ok())
    c.must_be("means rows (groups)", means.rows, how.groups(x.rows)).must_be("means columns", means.cols, x.cols);
  return c.result().ok() ? run.run(means.rows, detail::group_means_row<V>{how, x, means}, w) : c.result();
}
// A (tokens x slots) of every token over the slots of its own group; slot_vectors: (groups slots) x width, W mean(x).
template <executor X, class V>
status try_group_assignment(X const& run, hierarchical_soft how, matrix_view<V const> x,
                            matrix_view<V const> slot_vectors, matrix_view<V> assignment, workspace w = {}) noexcept {
  checks c;
  c.also(how.validate());
  if (!c.result().ok()) return c.result();
  c.must_be("slot_vectors rows (groups x slots)", slot_vectors.rows, how.groups(x.rows) * how.slots);
  c.must_be("slot_vectors columns", slot_vectors.cols, x.cols).must_be("assignment rows", assignment.rows, x.rows);
  c.must_be("assignment columns", assignment.cols, how.slots);
  return c.result().ok() ? run.run(x.rows, detail::group_assignment_row<V>{how, x, slot_vectors, assignment}, w)
                         : c.result();
}
// The slots of every group (groups slots x width) = A^T x, group by group.
template <executor X, class V>
status try_group_slots(X const& run, hierarchical_soft how, matrix_view<V const> assignment, matrix_view<V const> x,
                       matrix_view<V> slots, workspace w = {}) noexcept {
  checks c;
  c.also(how.validate());
  if (c.result().ok()) c.must_be("slots rows (groups x slots)", slots.rows, how.groups(x.rows) * how.slots);
  c.must_be("assignment rows", assignment.rows, x.rows).must_be("assignment columns", assignment.cols, how.slots);
  c.must_be("slots columns", slots.cols, x.cols).strided("slots", slots);
  return c.result().ok() ? run.run(slots.rows, detail::group_slots_row<V>{how, assignment, x, slots}, w) : c.result();
}
// y (tokens x width) = A outputs, every token over the slots of its own group.
template <executor X, class V>
status try_group_combine(X const& run, hierarchical_soft how, matrix_view<V const> assignment,
                         matrix_view<V const> outputs, matrix_view<V> y, workspace w = {}) noexcept {
  checks c;
  c.also(how.validate());
  if (c.result().ok()) c.must_be("outputs rows (groups x slots)", outputs.rows, how.groups(y.rows) * how.slots);
  c.must_be("assignment rows", assignment.rows, y.rows).must_be("assignment columns", assignment.cols, how.slots);
  c.must_be("y columns", y.cols, outputs.cols).strided("y", y);
  return c.result().ok() ? run.run(y.rows, detail::group_tokens_row<V>{how, assignment, outputs, y}, w) : c.result();
}

}  // namespace moeroute::inline MOEROUTE_ABI
