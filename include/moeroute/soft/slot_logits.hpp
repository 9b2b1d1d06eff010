// Decides the logits of soft assignment: tokens against slot vectors, plain or normalized.
//
//   plain:       L = X Phi                                                            (Soft MoE, S088 router 6)
//   normalized:  L = scale * (x / sqrt(|x|^2 + eps)) . (phi / sqrt(|phi|^2 + eps)), phi over the width
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct slot_logits {
  bool normalized = false;
  float scale = 1;
  float epsilon = 1e-6f;
};

namespace detail {

// Length of a vector with step `step`, or 1 where nothing is normalized.
template <class V>
MOEROUTE_HD V slot_length(slot_logits how, V const* x, offset_t n, offset_t step) {
  if (!how.normalized) return V(1);
  V sum = V(how.epsilon);
  for (offset_t i = 0; i < n; ++i) sum = math::fma(x[i * step], x[i * step], sum);
  return math::sqrt(sum);
}

template <class V>
struct slot_logits_row {  // rows: tokens
  slot_logits how;
  matrix_view<V const> x, phi;  // tokens x width, width x slots
  matrix_view<V> out;           // tokens x slots
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    V const mine = slot_length(how, x[t].data, x.cols, 1);
    for (offset_t s = g.rank(); s < phi.cols; s += g.size()) {
      V dot = 0;
      for (offset_t i = 0; i < x.cols; ++i) dot = math::fma(x[t][i], phi[i][s], dot);
      V const theirs = slot_length(how, phi.data + s, phi.rows, phi.stride);
      out[t][s] = how.normalized ? V(how.scale) * dot / (mine * theirs) : V(how.scale) * dot;
    }
    g.sync();
  }
};

// For z = scale a.b / (|a| |b|): d a = sum_b d (scale b / (|a| |b|) - z a / |a|^2), without the second term if plain.
template <class V>
struct slot_logits_d_token {  // rows: tokens
  slot_logits how;
  matrix_view<V const> x, phi, logits, d_logits;
  matrix_view<V> d_x;  // added to
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    V const mine = slot_length(how, x[t].data, x.cols, 1);
    V along = 0;
    for (offset_t s = 0; s < phi.cols && how.normalized; ++s) along = math::fma(d_logits[t][s], logits[t][s], along);
    for (offset_t i = g.rank(); i < x.cols; i += g.size()) {
      V sum = 0;
      for (offset_t s = 0; s < phi.cols; ++s)
        sum += math::mul(d_logits[t][s], phi[i][s]) / slot_length(how, phi.data + s, phi.rows, phi.stride);
      d_x[t][i] += math::mul(V(how.scale), sum) / mine - (how.normalized ? along * x[t][i] / (mine * mine) : V(0));
    }
    g.sync();
  }
};
template <class V>
struct slot_logits_d_slot {  // rows: slots
  slot_logits how;
  matrix_view<V const> x, phi, logits, d_logits;
  matrix_view<V> d_phi;  // added to
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    V const mine = slot_length(how, phi.data + s, phi.rows, phi.stride);
    V along = 0;
    for (offset_t t = 0; t < x.rows && how.normalized; ++t) along = math::fma(d_logits[t][s], logits[t][s], along);
    for (offset_t i = g.rank(); i < phi.rows; i += g.size()) {
      V sum = 0;
      for (offset_t t = 0; t < x.rows; ++t)
        sum += math::mul(d_logits[t][s], x[t][i]) / slot_length(how, x[t].data, x.cols, 1);
      d_phi[i][s] += math::mul(V(how.scale), sum) / mine - (how.normalized ? along * phi[i][s] / (mine * mine) : V(0));
    }
    g.sync();
  }
};

}  // namespace detail

// L (tokens x slots) of tokens x (tokens x width) and slot vectors phi (width x slots).
template <executor X, class V>
status try_slot_logits(X const& run, slot_logits how, matrix_view<V const> x, matrix_view<V const> phi,
                       matrix_view<V> out, workspace w = {}) noexcept {
  checks c;
  c.must_be("phi rows (width)", phi.rows, x.cols).must_be("logits rows", out.rows, x.rows);
  c.must_be("logits columns", out.cols, phi.cols).strided("x", x).strided("phi", phi).strided("logits", out);
  if (!c.result().ok()) return c.result();
  return run.run(x.rows, detail::slot_logits_row<V>{how, x, phi, out}, w);
}
// Adds to d_x and d_phi.
template <executor X, class V>
status try_slot_logits_backward(X const& run, slot_logits how, matrix_view<V const> x, matrix_view<V const> phi,
                                matrix_view<V const> logits, matrix_view<V const> d_logits, matrix_view<V> d_x,
                                matrix_view<V> d_phi, workspace w = {}) noexcept {
  checks c;
  c.must_be("phi rows (width)", phi.rows, x.cols).must_be("d_logits rows", d_logits.rows, x.rows);
  c.must_be("d_logits columns", d_logits.cols, phi.cols).must_be("logits rows", logits.rows, x.rows);
  c.must_be("d_x rows", d_x.rows, x.rows).must_be("d_x columns", d_x.cols, x.cols);
  c.must_be("d_phi rows", d_phi.rows, phi.rows).must_be("d_phi columns", d_phi.cols, phi.cols);
  if (!c.result().ok()) return c.result();
  status const s = run.run(x.rows, detail::slot_logits_d_token<V>{how, x, phi, logits, d_logits, d_x}, w);
  return s.ok() ? run.run(phi.cols, detail::slot_logits_d_slot<V>{how, x, phi, logits, d_logits, d_phi}, w) : s;
}
template <executor X, class V>
void compute_slot_logits(X const& run, slot_logits how, matrix_view<V const> x, matrix_view<V const> phi,
                         matrix_view<V> out, workspace w = {}) {
  throw_if_bad(try_slot_logits(run, how, x, phi, out, w));
}
template <executor X, class V>
void slot_logits_backward(X const& run, slot_logits how, matrix_view<V const> x, matrix_view<V const> phi,
                          matrix_view<V const> logits, matrix_view<V const> d_logits, matrix_view<V> d_x,
                          matrix_view<V> d_phi, workspace w = {}) {
  throw_if_bad(try_slot_logits_backward(run, how, x, phi, logits, d_logits, d_x, d_phi, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
