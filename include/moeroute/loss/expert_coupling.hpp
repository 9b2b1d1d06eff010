// Decides the price of experts that answer to another's router row. Proxy tokens r_i (.) delta_i are pushed
// through every expert's gate projection, M_ij = |(r_i (.) delta_i) W_j|, and
//   L = lambda / E^2 sum_i sum_{j != i} [max(M_ij - alpha M_ii, 0) + max(M_ji - alpha M_ii, 0)].
// delta_i ~ U(1 - eps_i, 1 + eps_i), eps_i = |r_i - r_n| / (2 |r_i|), n the nearest other row; a constant of the
// step. Routing itself uses the clean rows. Source: ERC (S150); 2 E^2 D width operations, no tokens.
#pragma once

#include <moeroute/core/philox.hpp>
#include <moeroute/loss/orthogonal_rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct expert_coupling {
  double alpha = 1;  // smaller is stricter
  double lambda = 1;
  void describe(text& t) const {
    t.add(lambda)
        .add(" / E^2 sum_{i != j} max(M_ij - ")
        .add(alpha)
        .add(" M_ii, 0) + max(M_ji - ")
        .add(alpha)
        .add(" M_ii, 0)");
  }
};

namespace detail {

template <class T>
struct coupling_noise_bound {
  matrix_view<T const> router;
  row_view<double> epsilon;
  row_view<index_t> nearest;  // or empty
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch) const {
    auto const square = [&](offset_t j) {  // |r_i - r_j|^2, or |r_i|^2 for j = i
      double sum = 0;
      for (offset_t d = 0; d < router.cols; ++d) {
        double const x =
            static_cast<double>(load(router[i][d])) - (i == j ? 0. : static_cast<double>(load(router[j][d])));
        sum = math::fma(x, x, sum);
      }
      return sum;
    };
    ranked<key_t<double>> mine;
    for (offset_t j = g.rank(); j < router.rows; j += g.size())
      if (j != i)
        if (ranked<key_t<double>> const c{order_key(-square(j)), static_cast<index_t>(j)}; beats(c, mine)) mine = c;
    auto const best = g.best(mine);
    if (g.rank() == 0) {
      bool const alone = router.rows < 2;
      double const own = square(i);
      epsilon[i] = alone || own == 0 ? 0. : math::sqrt(square(best.id)) / (2 * math::sqrt(own));
      if (!nearest.empty()) nearest[i] = alone ? no_expert : best.id;
    }
    g.sync();
  }
};
struct coupling_noise {
  row_view<double const> epsilon;
  draws noise;
  matrix_view<float> delta;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch) const {
    for (offset_t d = g.rank(); d < delta.cols; d += g.size())
      delta[i][d] =
          static_cast<float>(1 + math::mul(epsilon[i], 2 * noise.uniform<double>(i, static_cast<index_t>(d)) - 1));
  }
};

// y = (r_i (.) delta_i) W_j in scratch, one lane a column; returns |y| to every lane.
template <class T, class G>
MOEROUTE_HD double probe_expert(G const& g, matrix_view<T const> router, matrix_view<T const> delta,
                                matrix_view<T const> gate, offset_t i, offset_t j, double* y) {
  for (offset_t c = g.rank(); c < gate.cols; c += g.size()) {
    double sum = 0;
    for (offset_t d = 0; d < router.cols; ++d)
      sum = math::fma(static_cast<double>(load(router[i][d])) * static_cast<double>(load(delta[i][d])),
                      static_cast<double>(load(gate[j * router.cols + d][c])), sum);
    y[c] = sum;
  }
  g.sync();
  double const square = tree_sum<double>(g, gate.cols, [&](offset_t c) { return math::mul(y[c], y[c]); });
  return math::sqrt(square);
}
// dL/dM_ij times E^2 / lambda.
MOEROUTE_HD inline double coupling_slope(matrix_view<double const> m, double alpha, offset_t i, offset_t j) {
  auto const over = [&](offset_t a, offset_t b, offset_t own) { return m[a][b] > alpha * m[own][own] ? 1. : 0.; };
  if (i != j) return over(i, j, i) + over(i, j, j);
  double sum = 0;
  for (offset_t n = 0; n < m.rows; ++n)
    if (n != i) sum += over(i, n, i) + over(n, i, i);
  return -alpha * sum;
}

template <class T>
struct coupling_activations {
  matrix_view<T const> router, delta, gate;
  matrix_view<double> m;
  offset_t scratch_bytes() const { return aligned_bytes<double>(gate.cols); }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch s) const {
    double* const y = s.take<double>(gate.cols);
    for (offset_t j = 0; j < m.cols; ++j) {
      double const norm = probe_expert(g, router, delta, gate, i, j, y);
      if (g.rank() == 0) m[i][j] = norm;
      g.sync();
    }
  }
};
struct coupling_loss_row {
  matrix_view<double const> m;
  double alpha, factor;
  row_view<double> loss;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch) const {
    double const own = alpha * m[i][i];
    double const sum = tree_sum<double>(g, m.rows, [&](offset_t j) {
      return j == i ? 0. : math::max(m[i][j] - own, 0.) + math::max(m[j][i] - own, 0.);
    });
    if (g.rank() == 0) loss[i] = factor * sum;
    g.sync();
  }
};
// Row i of the router: sum_j slope_ij delta_i (.) W_j y / |y|. Row j of the gates: sum_i slope_ij (r delta)^T y / |y|.
template <class T, class D>
struct coupling_gradient {
  matrix_view<T const> router, delta, gate;
  matrix_view<double const> m;
  double alpha, factor;
  matrix_view<D> d_router,
      d_gate;  // either may be empty; row: first all of the router, then all experts
  offset_t scratch_bytes() const { return aligned_bytes<double>(gate.cols); }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t row, scratch s) const {
    double* const y = s.take<double>(gate.cols);
    offset_t const experts = router.rows, width = router.cols;
    bool const of_gate = row >= experts;
    offset_t const own = of_gate ? row - experts : row;
    if (of_gate ? d_gate.empty() : d_router.empty()) return;
    for (offset_t other = 0; other < experts; ++other) {
      offset_t const i = of_gate ? other : own, j = of_gate ? own : other;
      double const slope = coupling_slope(m, alpha, i, j);
      if (slope == 0 || m[i][j] == 0) continue;
      double const each = factor * slope / probe_expert(g, router, delta, gate, i, j, y);
      for (offset_t d = g.rank(); d < width; d += g.size()) {
        double const near = static_cast<double>(load(delta[i][d]));
        if (of_gate) {
          double const x = each * near * static_cast<double>(load(router[i][d]));
          row_view<D> const out = d_gate[j * width + d];
          for (offset_t c = 0; c < gate.cols; ++c)
            out[c] = static_cast<D>(static_cast<double>(out[c]) + math::mul(x, y[c]));
        } else {
          double sum = 0;
          for (offset_t c = 0; c < gate.cols; ++c)
            sum = math::fma(static_cast<double>(load(gate[j * width + d][c])), y[c], sum);
          d_router[i][d] = static_cast<D>(static_cast<double>(d_router[i][d]) + math::mul(each * near, sum));
        }
      }
      g.sync();
    }
  }
};

}  // namespace detail

// eps_i and, if given, the nearest other row of each router row.
template <executor X, class T>
status try_expert_coupling_noise_bound(X const& x, matrix_view<T> router, row_view<double> epsilon,
                                       row_view<index_t> nearest = {}) noexcept {
  checks c;
  c.must_be("epsilon size", epsilon.size, router.rows)
      .empty_or("nearest size", nearest, router.rows)
      .strided("router", router);
  if (!c.result().ok()) return c.result();
  using E = std::remove_const_t<T>;
  return x.run(router.rows, detail::coupling_noise_bound<E>{router, epsilon, nearest}, workspace{});
}
// delta_i ~ U(1 - eps_i, 1 + eps_i), named by (row, column).
template <executor X>
status try_expert_coupling_noise(X const& x, row_view<double const> epsilon, draws noise,
                                 matrix_view<float> delta) noexcept {
  checks c;
  c.must_be("delta rows", delta.rows, epsilon.size).strided("delta", delta);
  if (!c.result().ok()) return c.result();
  return x.run(delta.rows, detail::coupling_noise{epsilon, noise, delta}, workspace{});
}

template <executor X>
offset_t expert_coupling_workspace_bytes(X const& x, index_t experts, offset_t gate_width) {
  return x.workspace_bytes(aligned_bytes<double>(gate_width)) + aligned_bytes<double>(experts) + workspace_alignment;
}
// router, delta: experts x width. gate: (experts * width) x gate width, expert j's rows at j * width.
// `activation` (experts x experts) receives M. d_router and d_gate may be left out; += scale dL/d.
template <executor X, class T, class D>
status try_expert_coupling_loss(X const& x, expert_coupling const& term, matrix_view<T> router, matrix_view<T> delta,
                                matrix_view<T> gate, matrix_view<double> activation, double* loss,
                                matrix_view<D> d_router, matrix_view<D> d_gate, workspace w,
                                double scale = 1) noexcept {
  offset_t const experts = router.rows, width = router.cols;
  checks c;
  c.must_be("delta rows", delta.rows, experts).must_be("delta columns", delta.cols, width);
  c.must_be("gate rows", gate.rows, experts * width);
  c.must_be("activation rows", activation.rows, experts).must_be("activation columns", activation.cols, experts);
  if (!d_router.empty())
    c.must_be("d_router rows", d_router.rows, experts).must_be("d_router columns", d_router.cols, width);
  if (!d_gate.empty())
    c.must_be("d_gate rows", d_gate.rows, gate.rows).must_be("d_gate columns", d_gate.cols, gate.cols);
  c.strided("router", router).strided("delta", delta).strided("gate", gate).strided("activation", activation);
  c.also(workspace_ok(w, expert_coupling_workspace_bytes(x, static_cast<index_t>(experts), gate.cols)));
  if (!c.result().ok()) return c.result();
  scratch mine = aligned_scratch(w);
  row_view<double> const parts{mine.take<double>(experts), experts};
  workspace const rest{mine.at, w.bytes - (mine.at - w.data)};
  using E = std::remove_const_t<T>;
  double const factor = experts > 0 ? term.lambda / static_cast<double>(experts * experts) : 0.;
  status s = x.run(experts, detail::coupling_activations<E>{router, delta, gate, activation}, rest);
  if (s.ok()) s = x.run(experts, detail::coupling_loss_row{activation, term.alpha, factor, parts}, rest);
  if (s.ok()) s = x.run(1, detail::add_rows{parts, loss}, rest);
  if (s.ok() && !(d_router.empty() && d_gate.empty()))
    s = x.run(
        2 * experts,
        detail::coupling_gradient<E, D>{router, delta, gate, activation, term.alpha, factor * scale, d_router, d_gate},
        rest);
  return s;
}
template <executor X, class... A>
void expert_coupling_loss(X const& x, A const&... a) {
  throw_if_bad(try_expert_coupling_loss(x, a...));
}

}  // namespace moeroute::inline MOEROUTE_ABI
