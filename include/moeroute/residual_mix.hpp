// Decides how much of a token its expert replaces: y = a F + (1 - a) x with a = sigmoid(z), z = <x, w_a> of the chosen
// expert. Under a balanced assignment this is the only way for a gradient to the expert's vector. Source: BASE layers
// (S019), StableMoE (S050).
//
//   d_F = a d_y,   d_x = (1 - a) d_y (the way through z is the caller's),   d_z = a (1 - a) <d_y, F - x>
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/plan/move_rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <element T, element Z, element O>
struct residual_mix_row {  // rows: tokens
  using V = detail::widest_t<T, Z, O>;
  row_view<Z const> z;
  matrix_view<T const> expert, x;
  matrix_view<O> y;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    V const a = math::sigmoid(static_cast<V>(load(z[t]))), rest = V(1) - a;
    for (offset_t i = g.rank(); i < y.cols; i += g.size())
      y[t][i] = store<O>(math::fma(a, detail::widen<V>(expert[t][i]), math::mul(rest, detail::widen<V>(x[t][i]))));
    g.sync();
  }
};
template <element T, element Z, element O>
struct residual_mix_row_backward {  // rows: tokens
  using V = detail::widest_t<T, Z, O>;
  row_view<Z const> z;
  matrix_view<T const> expert, x;
  matrix_view<O const> d_y;
  matrix_view<T> d_expert, d_x;  // written; empty: left out
  row_view<Z> d_z;               // written; empty: left out
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    V const a = math::sigmoid(static_cast<V>(load(z[t]))), rest = V(1) - a;
    for (offset_t i = g.rank(); i < d_y.cols; i += g.size()) {
      V const d = detail::widen<V>(d_y[t][i]);
      if (d_expert.data != nullptr) d_expert[t][i] = store<T>(a * d);
      if (d_x.data != nullptr) d_x[t][i] = store<T>(rest * d);
    }
    if (!d_z.empty()) {
      V const through = tree_fold<V>(g, d_y.cols, [&](V sum, offset_t i) {
        return math::fma(detail::widen<V>(d_y[t][i]), detail::widen<V>(expert[t][i]) - detail::widen<V>(x[t][i]), sum);
      });
      if (g.rank() == 0) d_z[t] = store<Z>(a * rest * through);
    }
    g.sync();
  }
};

template <executor X, class Z, class T, element O>
status try_residual_mix(X const& run, row_view<Z> z, matrix_view<T> expert, matrix_view<T> x,
                        matrix_view<O> y) noexcept {
  checks c;
  c.must_be("z size", z.size, y.rows).must_be("expert rows", expert.rows, y.rows).must_be("x rows", x.rows, y.rows);
  c.must_be("expert columns", expert.cols, y.cols).must_be("x columns", x.cols, y.cols).strided("y", y);
  if (!c.result().ok()) return c.result();
  return run.run(y.rows, residual_mix_row<std::remove_const_t<T>, std::remove_const_t<Z>, O>{z, expert, x, y},
                 workspace{});
}
template <executor X, class Z, class T, class O>
status try_residual_mix_backward(X const& run, row_view<Z> z, matrix_view<T> expert, matrix_view<T> x,
                                 matrix_view<O> d_y, matrix_view<std::remove_const_t<T>> d_expert,
                                 matrix_view<std::remove_const_t<T>> d_x,
                                 row_view<std::remove_const_t<Z>> d_z) noexcept {
  checks c;
  c.must_be("z size", z.size, d_y.rows)
      .must_be("expert rows", expert.rows, d_y.rows)
      .must_be("x rows", x.rows, d_y.rows);
  c.must_be("expert columns", expert.cols, d_y.cols).must_be("x columns", x.cols, d_y.cols);
  if (d_expert.data != nullptr)
    c.must_be("d_expert rows", d_expert.rows, d_y.rows).must_be("d_expert columns", d_expert.cols, d_y.cols);
  if (d_x.data != nullptr) c.must_be("d_x rows", d_x.rows, d_y.rows).must_be("d_x columns", d_x.cols, d_y.cols);
  c.empty_or("d_z size", d_z, d_y.rows);
  if (!c.result().ok()) return c.result();
  using B = residual_mix_row_backward<std::remove_const_t<T>, std::remove_const_t<Z>, std::remove_const_t<O>>;
  return run.run(d_y.rows, B{z, expert, x, d_y, d_expert, d_x, d_z}, workspace{});
}
template <class... A>
void residual_mix(A const&... a) {
  throw_if_bad(try_residual_mix(a...));
}
template <class... A>
void residual_mix_backward(A const&... a) {
  throw_if_bad(try_residual_mix_backward(a...));
}

}  // namespace moeroute::inline MOEROUTE_ABI
