// Decides the way back through the first level of two-level soft assignment (S134), as one chain of three verbs:
//
//   group_combine_backward   d_outputs = A^T d_y,  d_A = d_y outputs^T            then the experts' and level 2's own way
//   group_backward           d_A += x d_slots^T,  d_x += A d_slots, then through A: with u = RMSNorm(x), v = RMSNorm(phi)
//                            d_l = A (d_A - sum_s A d_A),  d_x += r (d_u - u <d_u, u> / n),  d_phi likewise
//   group_means_backward     d_x += d_mean / tokens of the group
// Level 2 is soft_combine_backward and soft_slots_backward of soft_moe.hpp; W and w are the caller's.
#pragma once

#include <moeroute/soft/hierarchical.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class V>
struct group_d_assignment_row {  // rows: tokens; d_a = a b^T over the slots of the token's group, or added
  hierarchical_soft how;
  matrix_view<V const> a, b;
  matrix_view<V> d_assignment;
  bool add;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    for (offset_t s = g.rank(); s < how.slots; s += g.size()) {
      V const d = dot_of(a[t], b[t / how.group * how.slots + s]);
      d_assignment[t][s] = add ? d_assignment[t][s] + d : d;
    }
    g.sync();
  }
};
// Rows: tokens. d_assignment becomes d logits; d_x takes what comes through slots and through the logits.
template <class V>
struct group_d_x_row {
  hierarchical_soft how;
  matrix_view<V const> x, slot_vectors, assignment, d_slots;
  matrix_view<V> d_assignment, d_x;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    offset_t const base = t / how.group * how.slots;
    V const scale = inverse_rms(x[t], V(how.epsilon));
    V mean = 0;
    for (offset_t s = 0; s < how.slots; ++s) mean = math::fma(assignment[t][s], d_assignment[t][s], mean);
    g.sync();
    for (offset_t s = g.rank(); s < how.slots; s += g.size())
      d_assignment[t][s] = assignment[t][s] * (d_assignment[t][s] - mean);
    g.sync();
    V through = 0;  // <d_u, u>
    for (offset_t s = 0; s < how.slots; ++s) {
      row_view<V const> const phi = slot_vectors[base + s];
      V const logit = scale * inverse_rms(phi, V(how.epsilon)) * dot_of(x[t], phi);
      through = math::fma(d_assignment[t][s], logit, through);
    }
    for (offset_t i = g.rank(); i < x.cols; i += g.size()) {
      V d_u = 0, slots = 0;
      for (offset_t s = 0; s < how.slots; ++s) {
        row_view<V const> const phi = slot_vectors[base + s];
        d_u = math::fma(d_assignment[t][s], inverse_rms(phi, V(how.epsilon)) * phi[i], d_u);
        slots = math::fma(assignment[t][s], d_slots[base + s][i], slots);
      }
      d_x[t][i] += slots + math::mul(scale, d_u - scale * x[t][i] * through / static_cast<V>(x.cols));
    }
    g.sync();
  }
};
template <class V>
struct group_d_vectors_row {  // rows: slots of all groups; d_assignment holds d logits
  hierarchical_soft how;
  matrix_view<V const> x, slot_vectors, d_logits;
  matrix_view<V> d_slot_vectors;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t row, scratch) const {
    offset_t const q = row / how.slots, s = row % how.slots, first = how.first(q), n = how.size(q, x.rows);
    row_view<V const> const phi = slot_vectors[row];
    V const scale = inverse_rms(phi, V(how.epsilon));
    V through = 0;
    for (offset_t t = first; t < first + n; ++t)
      through = math::fma(d_logits[t][s], scale * inverse_rms(x[t], V(how.epsilon)) * dot_of(x[t], phi), through);
    for (offset_t i = g.rank(); i < x.cols; i += g.size()) {
      V d_v = 0;
      for (offset_t t = first; t < first + n; ++t)
        d_v = math::fma(d_logits[t][s], inverse_rms(x[t], V(how.epsilon)) * x[t][i], d_v);
      d_slot_vectors[row][i] = scale * (d_v - scale * phi[i] * through / static_cast<V>(x.cols));
    }
    g.sync();
  }
};
template <class V>
struct group_d_means_row {  // rows: tokens
  hierarchical_soft how;
  matrix_view<V const> d_means;
  matrix_view<V> d_x;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    offset_t const q = t / how.group;
    V const n = static_cast<V>(how.size(q, d_x.rows));
    for (offset_t i = g.rank(); i < d_x.cols; i += g.size()) d_x[t][i] += d_means[q][i] / n;
    g.sync();
  }
};

}  // namespace detail

// d_outputs (groups slots x width) and d_assignment (tokens x slots), both written.
template <executor X, class V>
status try_group_combine_backward(X const& run, hierarchical_soft how, matrix_view<V const> assignment,
                                  matrix_view<V const> outputs, matrix_view<V const> d_y, matrix_view<V> d_outputs,
                                  matrix_view<V> d_assignment, workspace w = {}) noexcept {
  checks c;
  c.also(how.validate());
  if (c.result().ok()) c.must_be("outputs rows (groups x slots)", outputs.rows, how.groups(d_y.rows) * how.slots);
  c.must_be("outputs columns", outputs.cols, d_y.cols);
  detail::same_shape(c, "d_outputs rows", "d_outputs columns", d_outputs, outputs);
  detail::same_shape(c, "d_assignment rows", "d_assignment columns", d_assignment, assignment);
  c.must_be("assignment rows", assignment.rows, d_y.rows).must_be("assignment columns", assignment.cols, how.slots);
  if (!c.result().ok()) return c.result();
  status const s = run.run(outputs.rows, detail::group_slots_row<V>{how, assignment, d_y, d_outputs}, w);
  return s.ok() ? run.run(d_y.rows, detail::group_d_assignment_row<V>{how, d_y, outputs, d_assignment, false}, w) : s;
}
// From d_slots, and d_assignment as it came from group_combine_backward (it becomes d logits): d_x is added to,
// d_slot_vectors written.
template <executor X, class V>
status try_group_backward(X const& run, hierarchical_soft how, matrix_view<V const> x,
                          matrix_view<V const> slot_vectors, matrix_view<V const> assignment,
                          matrix_view<V const> d_slots, matrix_view<V> d_assignment, matrix_view<V> d_x,
                          matrix_view<V> d_slot_vectors, workspace w = {}) noexcept {
  checks c;
  c.also(how.validate());
  if (c.result().ok())
    c.must_be("slot_vectors rows (groups x slots)", slot_vectors.rows, how.groups(x.rows) * how.slots);
  c.must_be("slot_vectors columns", slot_vectors.cols, x.cols).must_be("assignment rows", assignment.rows, x.rows);
  c.must_be("assignment columns", assignment.cols, how.slots);
  detail::same_shape(c, "d_slots rows", "d_slots columns", d_slots, slot_vectors);
  detail::same_shape(c, "d_assignment rows", "d_assignment columns", d_assignment, assignment);
  detail::same_shape(c, "d_x rows", "d_x columns", d_x, x);
  detail::same_shape(c, "d_slot_vectors rows", "d_slot_vectors columns", d_slot_vectors, slot_vectors);
  if (!c.result().ok()) return c.result();
  if (status const s = run.run(x.rows, detail::group_d_assignment_row<V>{how, x, d_slots, d_assignment, true}, w);
      !s.ok())
    return s;
  detail::group_d_x_row<V> const through{how, x, slot_vectors, assignment, d_slots, d_assignment, d_x};
  if (status const s = run.run(x.rows, through, w); !s.ok()) return s;
  return run.run(slot_vectors.rows, detail::group_d_vectors_row<V>{how, x, slot_vectors, d_assignment, d_slot_vectors},
                 w);
}
// What comes through the means of the groups (d_means: groups x width), added to d_x.
template <executor X, class V>
status try_group_means_backward(X const& run, hierarchical_soft how, matrix_view<V const> d_means, matrix_view<V> d_x,
                                workspace w = {}) noexcept {
  checks c;
  c.also(how.validate());
  if (c.result().ok())
    c.must_be("d_means rows (groups)", d_means.rows, how.groups(d_x.rows))
        .must_be("d_means columns", d_means.cols, d_x.cols);
  return c.result().ok() ? run.run(d_x.rows, detail::group_d_means_row<V>{how, d_means, d_x}, w) : c.result();
}

}  // namespace moeroute::inline MOEROUTE_ABI
