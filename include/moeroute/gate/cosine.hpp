// Decides the cosine gate: logit_e = tau cos(W x + b, c_e), a low-dimensional projection compared with one
// row per expert. Sources: X-MoE (S033); Tutel (learned log-temperature, clamped); torchscale (token not
// normalized, expert rows rescaled to a fixed length, no temperature).
#pragma once

#include <moeroute/gate/linear.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class normalize_token : bool { no, yes };

namespace detail {

// One row of projections y: logits against the expert rows, each side divided by max(norm, epsilon).
template <class W, class V>
struct cosine_row {
  matrix_view<V const> y;
  matrix_view<W const> expert;
  V scale, epsilon;
  bool normalize;
  matrix_view<V> logits;
  offset_t scratch_bytes() const { return 0; }

  template <class Row>
  MOEROUTE_HD static V norm(Row const& r) {
    V sum = 0;
    for (auto x : r) sum += math::mul(static_cast<V>(load(x)), static_cast<V>(load(x)));
    return math::sqrt(sum);
  }
  MOEROUTE_HD V guarded(V n) const { return n > epsilon ? n : epsilon; }

  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t t, scratch) const {
    V const token = normalize ? guarded(norm(y[t])) : V(1);
    for (offset_t e = g.rank(); e < expert.rows; e += g.size()) {
      V dot = 0;
      for (offset_t i = 0; i < y.cols; ++i) dot += math::mul(y[t][i], static_cast<V>(load(expert[e][i])));
      logits[t][e] = scale * dot / (token * guarded(norm(expert[e])));
    }
    g.sync();
  }
};
// d y of one row; d y = sum_e scale d_e / (|y| |c_e|) (c_e - normalized part along y).
template <class W, class V>
struct cosine_row_backward {
  cosine_row<W, V> f;
  matrix_view<V const> d_logits;
  matrix_view<V> d_y;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t t, scratch) const {
    V const n = f.norm(f.y[t]), token = f.normalize ? f.guarded(n) : V(1);
    V along = 0;  // sum_e d_e logit_e, the part that only changes the length of y
    if (f.normalize && n > f.epsilon)
      for (offset_t e = 0; e < f.expert.rows; ++e) {
        V dot = 0;
        for (offset_t i = 0; i < f.y.cols; ++i) dot += math::mul(f.y[t][i], static_cast<V>(load(f.expert[e][i])));
        along += d_logits[t][e] * f.scale * dot / (token * f.guarded(f.norm(f.expert[e])));
      }
    for (offset_t i = g.rank(); i < f.y.cols; i += g.size()) {
      V sum = 0;
      for (offset_t e = 0; e < f.expert.rows; ++e)
        sum +=
            d_logits[t][e] * f.scale * static_cast<V>(load(f.expert[e][i])) / (token * f.guarded(f.norm(f.expert[e])));
      d_y[t][i] = sum - (n > V(0) ? along * f.y[t][i] / (n * n) : V(0));
    }
    g.sync();
  }
};
// d c_e of one expert, summed over tokens in order.
template <class W, class V>
struct cosine_expert_backward {
  cosine_row<W, V> f;
  matrix_view<V const> d_logits;
  matrix_view<V> d_expert;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t e, scratch) const {
    V const n = f.norm(f.expert[e]), length = f.guarded(n);
    for (offset_t i = g.rank(); i < f.expert.cols; i += g.size()) {
      V sum = 0;
      for (offset_t t = 0; t < f.y.rows; ++t) {
        V const token = f.normalize ? f.guarded(f.norm(f.y[t])) : V(1);
        V dot = 0;
        for (offset_t q = 0; q < f.y.cols; ++q) dot += math::mul(f.y[t][q], static_cast<V>(load(f.expert[e][q])));
        V const radial = n > f.epsilon ? math::mul(dot / (n * n), static_cast<V>(load(f.expert[e][i]))) : V(0);
        sum += math::mul(d_logits[t][e] * f.scale / (token * length), f.y[t][i] - radial);
      }
      d_expert[e][i] = sum;
    }
    g.sync();
  }
};

}  // namespace detail

template <element W, class Gemm>
struct cosine_gate {
  matrix_view<W const> projection{};         // dims x width
  row_view<W const> projection_bias{};       // dims, or empty
  matrix_view<W const> expert{};             // experts x dims
  double log_scale = 0;                      // logarithm of the inverse temperature
  double log_scale_max = 4.605170185988092;  // ln 100; above it the scale is clamped and gets no gradient
  normalize_token token = normalize_token::yes;
  double epsilon = 1e-12;  // norms below count as this
  [[no_unique_address]] Gemm gemm{};

  index_t experts() const { return static_cast<index_t>(expert.rows); }
  template <class V = float>
  V scale() const {
    return math::exp(static_cast<V>(log_scale < log_scale_max ? log_scale : log_scale_max));
  }
  // Projections of all tokens, and their gradient.
  template <executor X>
  offset_t workspace_bytes(X const&, offset_t tokens) const {
    return 2 * aligned_bytes<double>(tokens * projection.rows) + 2 * workspace_alignment;
  }

  template <executor X, class H, class V>
  status operator()(X const& x, matrix_view<H> hidden, matrix_view<V> logits, workspace w) const noexcept {
    matrix_view<V> y;
    if (status const s = project(x, hidden, y, w); !s.ok()) return s;
    checks c;
    c.must_be("logits rows", logits.rows, hidden.rows).must_be("logits columns", logits.cols, expert.rows);
    if (!c.strided("logits", logits).result().ok()) return c.result();
    return x.run(hidden.rows, row<V>(y, logits), workspace{});
  }

  template <class V>
  struct gradient {
    matrix_view<V> hidden{};        // tokens x width
    matrix_view<V> projection{};    // dims x width
    row_view<V> projection_bias{};  // dims
    matrix_view<V> expert{};        // experts x dims
    double* log_scale{};            // one number
  };
  template <executor X, class H, class V>
  status backward(X const& x, matrix_view<H> hidden, matrix_view<V const> d_logits, gradient<V> d,
                  workspace w) const noexcept {
    matrix_view<V> y;
    if (status const s = project(x, hidden, y, w); !s.ok()) return s;
    checks c;
    c.must_be("d_logits rows", d_logits.rows, hidden.rows).must_be("d_logits columns", d_logits.cols, expert.rows);
    if (!c.result().ok()) return c.result();
    auto const f = row<V>(y, {});
    matrix_view<V> const d_y{y.data + y.rows * y.cols, y.rows, y.cols};
    status s = x.run(hidden.rows, detail::cosine_row_backward<W, V>{f, d_logits, d_y}, workspace{});
    if (s.ok() && !d.expert.empty())
      s = x.run(expert.rows, detail::cosine_expert_backward<W, V>{f, d_logits, d.expert}, workspace{});
    linear_gate<W, Gemm> const linear{projection, projection_bias, gemm};
    if (s.ok()) s = linear.backward(x, hidden, matrix_view<V const>(d_y), {d.hidden, d.projection, d.projection_bias});
    if (s.ok() && d.log_scale != nullptr) *d.log_scale = log_scale < log_scale_max ? slope(f, d_logits) : 0;
    return s;
  }
  void describe(text& t) const {
    t.add("cosine of W x");
    if (!projection_bias.empty()) t.add(" + b");
    t.add(token == normalize_token::yes ? "" : " (token not normalized)").add(" with expert rows, times ");
    t.add(scale<double>());
  }

 private:
  template <class V>
  detail::cosine_row<W, V> row(matrix_view<V const> y, matrix_view<V> logits) const {
    return {y, expert, scale<V>(), static_cast<V>(epsilon), token == normalize_token::yes, logits};
  }
  template <class V>
  double slope(detail::cosine_row<W, V> const& f, matrix_view<V const> d_logits) const {
    double sum = 0;
    for (offset_t t = 0; t < d_logits.rows; ++t)
      for (offset_t e = 0; e < d_logits.cols; ++e) {
        double dot = 0;
        for (offset_t i = 0; i < f.y.cols; ++i)
          dot += math::mul(static_cast<double>(f.y[t][i]), static_cast<double>(load(expert[e][i])));
        V const n = f.normalize ? f.guarded(f.norm(f.y[t])) : V(1);
        sum += static_cast<double>(d_logits[t][e]) * static_cast<double>(f.scale) * dot /
               static_cast<double>(n * f.guarded(f.norm(expert[e])));
      }
    return sum;
  }
  template <executor X, class H, class V>
  status project(X const& x, matrix_view<H> hidden, matrix_view<V>& y, workspace w) const noexcept {
    checks c;
    c.must_be("gate.expert columns", expert.cols, projection.rows);
    c.at_least("workspace bytes", w.bytes, 2 * aligned_bytes<V>(hidden.rows * projection.rows) + workspace_alignment,
               errc::too_small);
    if (!c.result().ok()) return c.result();
    y = {aligned_scratch(w).template take<V>(2 * hidden.rows * projection.rows), hidden.rows, projection.rows};
    linear_gate<W, Gemm> const linear{projection, projection_bias, gemm};
    return linear(x, hidden, y, workspace{});
  }
};

// Rescales every row to `length`, in place (torchscale: 1.5 before each step, without gradient).
template <class W>
status rescale_rows(matrix_view<W> m, W length) {
  checks c;
  if (!c.strided("rows", m).result().ok()) return c.result();
  for (offset_t r = 0; r < m.rows; ++r) {
    W sum = 0;
    for (W x : m[r]) sum += math::mul(x, x);
    W const n = math::sqrt(sum);
    for (W& x : m[r]) x = n > W(0) ? x * (length / n) : W(0);
  }
  return {};
}

static_assert(gate_policy<cosine_gate<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
