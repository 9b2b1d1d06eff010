// Decides the price of router rows that point the same way: with unit rows u_i = w_i / max(|w_i|, eps),
//   L = lambda sum_{i,j} (u_i . u_j - [i = j])^2.
// A loss of the weights of a gate, not of tokens: any batch, no sums to merge. Source: ERNIE-4.5 (P23), by
// its report; E^2 D operations.
#pragma once

#include <moeroute/loss/add_rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct orthogonal_rows {
  double lambda = 1e-3;
  double eps = 1e-12;
  void describe(text& t) const { t.add(lambda).add(" sum_ij (w_i . w_j / (|w_i| |w_j|) - [i = j])^2"); }
};

namespace detail {

// Row i: u_i in double.
template <class T>
struct unit_rows {
  matrix_view<T const> w;
  matrix_view<double> unit;
  row_view<double> length;
  double eps;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch) const {
    row_view<T const> const x = w[i];
    double const square = tree_sum<double>(g, x.size, [&](offset_t d) {
      double const v = static_cast<double>(load(x[d]));
      return math::mul(v, v);
    });
    double const norm = math::sqrt(square), by = norm > eps ? norm : eps;
    for (offset_t d = g.rank(); d < x.size; d += g.size()) unit[i][d] = static_cast<double>(load(x[d])) / by;
    if (g.rank() == 0) length[i] = norm > eps ? norm : 0.;  // 0: clamped, no gradient through the length
    g.sync();
  }
};
// Row i: its share of L and dL/dw_i = 4 lambda sum_j c_ij (u_j - c_ij u_i) / |w_i| over j != i, c = u u^T.
template <class D>
struct orthogonal_row {
  matrix_view<double const> unit;
  row_view<double const> length;
  double lambda, eps, scale;
  row_view<double> loss;
  matrix_view<D> d_w;  // or empty
  offset_t scratch_bytes() const { return aligned_bytes<double>(unit.rows); }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch s) const {
    double* const c = s.take<double>(unit.rows);
    for (offset_t j = g.rank(); j < unit.rows; j += g.size()) {
      double dot = 0;
      for (offset_t d = 0; d < unit.cols; ++d) dot = math::fma(unit[i][d], unit[j][d], dot);
      c[j] = dot;
    }
    g.sync();
    double const sum = tree_sum<double>(g, unit.rows, [&](offset_t j) {
      double const off = c[j] - (i == j ? 1. : 0.);
      return math::mul(off, off);
    });
    if (g.rank() == 0) loss[i] = lambda * sum;
    if (!d_w.empty()) {
      bool const clamped = !(length[i] > 0);
      double const factor = 4 * lambda * scale / (clamped ? eps : length[i]);
      double along = 0;
      for (offset_t j = 0; j < unit.rows; ++j)
        if (j != i) along = math::fma(c[j], c[j], along);
      for (offset_t d = g.rank(); d < unit.cols; d += g.size()) {
        double v = 0;
        for (offset_t j = 0; j < unit.rows; ++j)
          if (j != i) v = math::fma(c[j], unit[j][d], v);
        if (clamped) v = math::fma(c[i] - 1, unit[i][d], v);
        else v = math::fma(-along, unit[i][d], v);
        d_w[i][d] = static_cast<D>(static_cast<double>(d_w[i][d]) + math::mul(factor, v));
      }
    }
    g.sync();
  }
};

}  // namespace detail

template <executor X>
offset_t orthogonal_rows_workspace_bytes(X const& x, index_t experts, offset_t width) {
  return x.workspace_bytes(aligned_bytes<double>(experts)) + aligned_bytes<double>(experts * width) +
         2 * aligned_bytes<double>(experts) + workspace_alignment;
}
// *loss = L; d_weights (experts x width, may be left out) += scale dL/dw.
template <executor X, class T, class D>
status try_orthogonal_rows_loss(X const& x, orthogonal_rows const& term, matrix_view<T> weights, double* loss,
                                matrix_view<D> d_weights, workspace w, double scale = 1) noexcept {
  offset_t const experts = weights.rows, width = weights.cols;
  checks c;
  c.strided("weights", weights).strided("d_weights", d_weights);
  if (!d_weights.empty())
    c.must_be("d_weights rows", d_weights.rows, experts).must_be("d_weights columns", d_weights.cols, width);
  c.also(workspace_ok(w, orthogonal_rows_workspace_bytes(x, static_cast<index_t>(experts), width)));
  if (!c.result().ok()) return c.result();
  scratch mine = aligned_scratch(w);
  matrix_view<double> const unit{mine.take<double>(experts * width), experts, width};
  row_view<double> const length{mine.take<double>(experts), experts}, parts{mine.take<double>(experts), experts};
  workspace const rest{mine.at, w.bytes - (mine.at - w.data)};
  using E = std::remove_const_t<T>;
  status s = x.run(experts, detail::unit_rows<E>{weights, unit, length, term.eps}, rest);
  if (s.ok())
    s = x.run(experts, detail::orthogonal_row<D>{unit, length, term.lambda, term.eps, scale, parts, d_weights}, rest);
  if (s.ok()) s = x.run(1, detail::add_rows{parts, loss}, rest);
  return s;
}
template <executor X, class... A>
void orthogonal_rows_loss(X const& x, A const&... a) {
  throw_if_bad(try_orthogonal_rows_loss(x, a...));
}

}  // namespace moeroute::inline MOEROUTE_ABI
