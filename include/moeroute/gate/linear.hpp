// Decides the usual gate: logits = hidden W^T + b, with W experts x width, and its backward.
#pragma once

#include <moeroute/core/tree_sum.hpp>
#include <moeroute/gate/gemm.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class P, class V>
struct add_row {  // a[i] += b
  row_view<P const> b;
  matrix_view<V> a;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t i, scratch) const {
    for (offset_t j = g.rank(); j < a.cols; j += g.size()) a[i][j] += static_cast<V>(load(b[j]));
    g.sync();
  }
};
template <class V, class D>
struct sum_columns {  // out[j] (+)= sum_i a[i][j], in the order of tree_sum
  matrix_view<V const> a;
  row_view<D> out;
  bool accumulate;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t j, scratch) const {
    V const sum = tree_sum<V>(g, a.rows, [&](offset_t i) { return a[i][j]; });
    if (g.rank() == 0) out[j] = accumulate ? static_cast<D>(out[j] + sum) : static_cast<D>(sum);
    g.sync();
  }
};

}  // namespace detail

template <element W, class Gemm>
struct linear_gate {
  matrix_view<W const> weight{};  // experts x width
  row_view<W const> bias{};       // experts, or empty; learned by gradient, not the balance bias
  [[no_unique_address]] Gemm gemm{};

  index_t experts() const { return static_cast<index_t>(weight.rows); }
  template <executor X>
  offset_t workspace_bytes(X const&, offset_t) const {
    return 0;
  }
  template <executor X, class H, class V>
  status operator()(X const& x, matrix_view<H> hidden, matrix_view<V> logits, workspace) const noexcept {
    checks c;
    c.also(
        check_gemm("hidden", hidden, transposed::no, "gate.weight columns", weight, transposed::yes, "logits", logits));
    c.empty_or("gate.bias size", bias, weight.rows);
    if (!c.result().ok()) return c.result();
    if (status const s = gemm(x, hidden, transposed::no, weight, transposed::yes, V(0), logits); !s.ok()) return s;
    if (bias.empty()) return {};
    return x.run(logits.rows, detail::add_row<W, V>{bias, logits}, workspace{});
  }

  // What is left empty is not computed. `accumulate` adds to what is there.
  template <class V>
  struct gradient {
    matrix_view<V> hidden{};  // tokens x width
    matrix_view<V> weight{};  // experts x width
    row_view<V> bias{};       // experts
    bool accumulate = false;
  };
  template <executor X, class H, class V>
  status backward(X const& x, matrix_view<H> hidden, matrix_view<V const> d_logits, gradient<V> d) const noexcept {
    V const beta = d.accumulate ? V(1) : V(0);
    checks c;
    c.must_be("d_logits rows", d_logits.rows, hidden.rows).must_be("d_logits columns", d_logits.cols, weight.rows);
    c.must_be("gate.weight columns", weight.cols, hidden.cols).empty_or("d.bias size", d.bias, weight.rows);
    if (!c.result().ok()) return c.result();
    if (!d.hidden.empty()) {
      c.also(check_gemm("d_logits", d_logits, transposed::no, "gate.weight", weight, transposed::no, "d.hidden",
                        d.hidden));
      if (!c.result().ok()) return c.result();
      if (status const s = gemm(x, d_logits, transposed::no, weight, transposed::no, beta, d.hidden); !s.ok()) return s;
    }
    if (!d.weight.empty()) {
      c.also(check_gemm("d_logits", d_logits, transposed::yes, "hidden", hidden, transposed::no, "d.weight", d.weight));
      if (!c.result().ok()) return c.result();
      if (status const s = gemm(x, d_logits, transposed::yes, hidden, transposed::no, beta, d.weight); !s.ok())
        return s;
    }
    if (d.bias.empty()) return {};
    return x.run(d_logits.cols, detail::sum_columns<V, V>{d_logits, d.bias, d.accumulate}, workspace{});
  }
  void describe(text& t) const { t.add(bias.empty() ? "W x" : "W x + b"); }
};

static_assert(gate_policy<linear_gate<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
