// Decides what a zero-computation expert adds: the last columns are experts that return their input, so a token
// that chose them gets weight * x without a row in any plan. Source: LongCat-Flash (P25).
//
//   y_t += sum over choices j with id_tj >= experts of w_tj x_t
// Released servers differ on whether the factor 6 of the weights also scales this part: `scale` divides it out.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
template <class W, class V>
struct identity_experts_row {
  matrix_view<index_t const> ids;
  matrix_view<W const> weights;
  index_t experts;
  float scale;
  matrix_view<V const> x;
  matrix_view<V> y;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    V w = 0;
    for (offset_t j = 0; j < ids.cols; ++j)
      if (ids[t][j] >= experts) w += static_cast<V>(weights[t][j]);
    w *= V(scale);
    for (offset_t i = g.rank(); i < x.cols; i += g.size()) y[t][i] += math::mul(w, x[t][i]);
    g.sync();
  }
};
template <class W, class V>
struct identity_experts_row_backward {
  matrix_view<index_t const> ids;
  matrix_view<W const> weights;
  index_t experts;
  float scale;
  matrix_view<V const> x, d_y;
  matrix_view<V> d_x;
  matrix_view<W> d_weights;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    V dot = 0, w = 0;
    for (offset_t i = 0; i < x.cols; ++i) dot += math::mul(d_y[t][i], x[t][i]);
    for (offset_t j = 0; j < ids.cols; ++j)
      if (ids[t][j] >= experts) w += static_cast<V>(weights[t][j]);
    for (offset_t j = g.rank(); j < ids.cols; j += g.size())
      if (ids[t][j] >= experts) d_weights[t][j] += static_cast<W>(math::mul(V(scale), dot));
    for (offset_t i = g.rank(); i < x.cols; i += g.size()) d_x[t][i] += math::mul(V(scale) * w, d_y[t][i]);
    g.sync();
  }
};
}  // namespace detail

// Adds to y (tokens x width). `experts`: the real ones, in front.
template <executor X, class W, class V>
status try_add_identity_experts(X const& run, matrix_view<index_t const> ids, matrix_view<W const> weights,
                                index_t experts, matrix_view<V const> x, matrix_view<V> y, float scale = 1,
                                workspace w = {}) noexcept {
  checks c;
  c.must_be("weights rows", weights.rows, ids.rows).must_be("weights columns", weights.cols, ids.cols);
  c.must_be("x rows", x.rows, ids.rows).must_be("y rows", y.rows, ids.rows).must_be("y columns", y.cols, x.cols);
  return c.result().ok() ? run.run(ids.rows, detail::identity_experts_row<W, V>{ids, weights, experts, scale, x, y}, w)
                         : c.result();
}
// Adds to d_x and, at the places of identity experts, to d_weights.
template <executor X, class W, class V>
status try_add_identity_experts_backward(X const& run, matrix_view<index_t const> ids, matrix_view<W const> weights,
                                         index_t experts, matrix_view<V const> x, matrix_view<V const> d_y,
                                         matrix_view<V> d_x, matrix_view<W> d_weights, float scale = 1,
                                         workspace w = {}) noexcept {
  checks c;
  c.must_be("weights rows", weights.rows, ids.rows).must_be("weights columns", weights.cols, ids.cols);
  c.must_be("x rows", x.rows, ids.rows).must_be("d_y rows", d_y.rows, ids.rows).must_be("d_x rows", d_x.rows, ids.rows);
  c.must_be("d_weights rows", d_weights.rows, ids.rows).must_be("d_weights columns", d_weights.cols, ids.cols);
  return c.result().ok()
             ? run.run(
                   ids.rows,
                   detail::identity_experts_row_backward<W, V>{ids, weights, experts, scale, x, d_y, d_x, d_weights}, w)
             : c.result();
}

}  // namespace moeroute::inline MOEROUTE_ABI
