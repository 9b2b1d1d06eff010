// Decides the recurrent gate: one GRU cell shared by all layers carries a state per token across depth.
// u = W1 x; r = sigmoid(W_ir u + b_ir + W_hr h + b_hr); z likewise; n = tanh(W_in u + b_in + r (W_hn h +
// b_hn)); h' = (1 - z) n + z h; logits = W2 h'. Source: RMoE (S075).
#pragma once

#include <moeroute/gate/linear.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// The shared cell: weights are state x state, row o the weights of output o; biases of length state.
template <class W>
struct gru_cell {
  matrix_view<W> w_ir{}, w_hr{}, w_iz{}, w_hz{}, w_in{}, w_hn{};
  row_view<W> b_ir{}, b_hr{}, b_iz{}, b_hz{}, b_in{}, b_hn{};
  offset_t state() const { return w_ir.rows; }
};

namespace detail {

// h' from the six products of one token; keeps r, z, n and W_hn h + b_hn for the backward.
template <class V>
struct gru_row {
  matrix_view<V> r, z, n, hn;  // in: sums; out: activations (hn stays)
  matrix_view<V const> h;
  matrix_view<V> next;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t t, scratch) const {
    for (offset_t i = g.rank(); i < h.cols; i += g.size()) {
      r[t][i] = math::sigmoid(r[t][i]);
      z[t][i] = math::sigmoid(z[t][i]);
      n[t][i] = math::tanh(n[t][i] + math::mul(r[t][i], hn[t][i]));
      next[t][i] = math::mul(V(1) - z[t][i], n[t][i]) + math::mul(z[t][i], h[t][i]);
    }
    g.sync();
  }
};
// From d h' to the gradients of the pre-activations, in place of the activations; d_h gets its direct part.
template <class V>
struct gru_row_backward {
  matrix_view<V> r, z, n, hn;  // in: activations; out: d of the sums of r, z, n, and of W_hn h + b_hn
  matrix_view<V const> h, d_next;
  matrix_view<V> d_h;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t t, scratch) const {
    for (offset_t i = g.rank(); i < h.cols; i += g.size()) {
      V const rr = r[t][i], zz = z[t][i], nn = n[t][i], d = d_next[t][i];
      V const d_n = d * (V(1) - zz) * (V(1) - math::mul(nn, nn));
      d_h[t][i] = d * zz;
      z[t][i] = d * (h[t][i] - nn) * zz * (V(1) - zz);
      r[t][i] = d_n * hn[t][i] * rr * (V(1) - rr);
      hn[t][i] = d_n * rr;
      n[t][i] = d_n;
    }
    g.sync();
  }
};

}  // namespace detail

template <element W, class Gemm>
struct gru_gate {
  matrix_view<W const> w1{};  // state x width
  matrix_view<W const> w2{};  // experts x state
  gru_cell<W const> cell{};
  matrix_view<W const> state{};  // tokens x state, before this layer
  matrix_view<W> next{};         // tokens x state, after it
  [[no_unique_address]] Gemm gemm{};

  index_t experts() const { return static_cast<index_t>(w2.rows); }
  // u, r, z, n, W_hn h + b_hn, and four gradients in the backward: each tokens x state.
  template <executor X>
  offset_t workspace_bytes(X const&, offset_t tokens) const {
    return 9 * aligned_bytes<W>(tokens * cell.state()) + workspace_alignment;
  }

  template <executor X, class H, class V>
  status operator()(X const& x, matrix_view<H> hidden, matrix_view<V> logits, workspace w) const noexcept {
    buffers b;
    if (status const s = run_cell(x, hidden, w, b); !s.ok()) return s;
    linear_gate<W, Gemm> const out{w2, {}, gemm};
    return out(x, matrix_view<W const>(next), logits, workspace{});
  }

  // What is left empty is not computed; parameter gradients are added to what is there.
  struct gradient {
    matrix_view<W> hidden{};  // tokens x width
    matrix_view<W> state{};   // tokens x state: what flows back to the layer below; required
    matrix_view<W> w1{}, w2{};
    gru_cell<W> cell{};
  };
  // d_next (tokens x state, may be empty) is what the layer above sent to `next`.
  template <executor X, class H>
  status backward(X const& x, matrix_view<H> hidden, matrix_view<W const> d_logits, matrix_view<W const> d_next,
                  gradient d, workspace w) const noexcept {
    buffers b;
    if (status const s = run_cell(x, hidden, w, b); !s.ok()) return s;
    checks c;
    c.must_be("d.state rows", d.state.rows, hidden.rows).must_be("d.state columns", d.state.cols, cell.state());
    if (!d_next.empty())
      c.must_be("d_next rows", d_next.rows, hidden.rows).must_be("d_next columns", d_next.cols, cell.state());
    if (!c.result().ok()) return c.result();
    matrix_view<W const> const after = next;
    linear_gate<W, Gemm> const out{w2, {}, gemm};
    status s = out.backward(x, after, d_logits, typename linear_gate<W, Gemm>::template gradient<W>{b.d_next});
    if (s.ok() && !d.w2.empty()) s = gemm(x, d_logits, transposed::yes, after, transposed::no, W(1), d.w2);
    if (!d_next.empty())
      for (offset_t t = 0; t < d_next.rows; ++t)
        for (offset_t i = 0; i < d_next.cols; ++i) b.d_next[t][i] += d_next[t][i];
    if (s.ok())
      s = x.run(hidden.rows, detail::gru_row_backward<W>{b.r, b.z, b.n, b.hn, state, b.d_next, d.state}, workspace{});
    auto const times = [&](matrix_view<W> from, matrix_view<W const> weight, W beta, matrix_view<W> to) {
      if (s.ok()) s = gemm(x, matrix_view<W const>(from), transposed::no, weight, transposed::no, beta, to);
    };
    times(b.r, cell.w_hr, W(1), d.state), times(b.z, cell.w_hz, W(1), d.state), times(b.hn, cell.w_hn, W(1), d.state);
    times(b.r, cell.w_ir, W(0), b.d_u), times(b.z, cell.w_iz, W(1), b.d_u), times(b.n, cell.w_in, W(1), b.d_u);
    auto const outer = [&](matrix_view<W> from, matrix_view<W const> input, matrix_view<W> to) {
      if (s.ok() && !to.empty())
        s = gemm(x, matrix_view<W const>(from), transposed::yes, input, transposed::no, W(1), to);
    };
    matrix_view<W const> const u = b.u;
    outer(b.r, u, d.cell.w_ir), outer(b.z, u, d.cell.w_iz), outer(b.n, u, d.cell.w_in);
    outer(b.r, state, d.cell.w_hr), outer(b.z, state, d.cell.w_hz), outer(b.hn, state, d.cell.w_hn);
    auto const column_sums = [&](matrix_view<W> from, row_view<W> to) {
      if (s.ok() && !to.empty()) s = x.run(from.cols, detail::sum_columns<W, W>{from, to, true}, workspace{});
    };
    column_sums(b.r, d.cell.b_ir), column_sums(b.r, d.cell.b_hr), column_sums(b.z, d.cell.b_iz);
    column_sums(b.z, d.cell.b_hz), column_sums(b.n, d.cell.b_in), column_sums(b.hn, d.cell.b_hn);
    if (!d.w1.empty() && s.ok())
      s = gemm(x, matrix_view<W const>(b.d_u), transposed::yes, hidden, transposed::no, W(1), d.w1);
    if (!d.hidden.empty()) times(b.d_u, w1, W(0), d.hidden);
    return s;
  }
  void describe(text& t) const { t.add("W2 GRU(W1 x, state of the layer below)"); }

 private:
  struct buffers {
    matrix_view<W> u, r, z, n, hn, d_next, d_u;
  };
  template <executor X, class H>
  status run_cell(X const& x, matrix_view<H> hidden, workspace w, buffers& b) const noexcept {
    offset_t const tokens = hidden.rows, size = cell.state();
    checks c;
    c.must_be("gate.w1 columns", w1.cols, hidden.cols).must_be("gate.w1 rows", w1.rows, size);
    c.must_be("gate.w2 columns", w2.cols, size).must_be("gate.state rows", state.rows, tokens);
    c.must_be("gate.state columns", state.cols, size).must_be("gate.next rows", next.rows, tokens);
    c.must_be("gate.next columns", next.cols, size);
    // Arrays by name: nvcc loses the members of a braced list in a for.
    matrix_view<W const> const weights[] = {cell.w_ir, cell.w_hr, cell.w_iz, cell.w_hz, cell.w_in, cell.w_hn};
    for (matrix_view<W const> m : weights)
      c.must_be("gate.cell weight rows", m.rows, size).must_be("gate.cell weight columns", m.cols, size);
    row_view<W const> const biases[] = {cell.b_ir, cell.b_hr, cell.b_iz, cell.b_hz, cell.b_in, cell.b_hn};
    for (row_view<W const> v : biases) c.empty_or("gate.cell bias size", v, size);
    c.at_least("workspace bytes", w.bytes, workspace_bytes(x, tokens), errc::too_small);
    if (!c.result().ok()) return c.result();
    scratch memory = aligned_scratch(w);
    for (matrix_view<W>* m : {&b.u, &b.r, &b.z, &b.n, &b.hn, &b.d_next, &b.d_u})
      *m = {memory.template take<W>(tokens * size), tokens, size};
    status s = gemm(x, hidden, transposed::no, w1, transposed::yes, W(0), b.u);
    auto const sum = [&](matrix_view<W> to, matrix_view<W const> input, matrix_view<W const> weight,
                         row_view<W const> bias, W beta) {
      if (s.ok()) s = gemm(x, input, transposed::no, weight, transposed::yes, beta, to);
      if (s.ok() && !bias.empty()) s = x.run(tokens, detail::add_row<W, W>{bias, to}, workspace{});
    };
    matrix_view<W const> const u = b.u;
    sum(b.r, u, cell.w_ir, cell.b_ir, W(0)), sum(b.r, state, cell.w_hr, cell.b_hr, W(1));
    sum(b.z, u, cell.w_iz, cell.b_iz, W(0)), sum(b.z, state, cell.w_hz, cell.b_hz, W(1));
    sum(b.n, u, cell.w_in, cell.b_in, W(0)), sum(b.hn, state, cell.w_hn, cell.b_hn, W(0));
    if (!s.ok()) return s;
    return x.run(tokens, detail::gru_row<W>{b.r, b.z, b.n, b.hn, state, next}, workspace{});
  }
};

static_assert(gate_policy<gru_gate<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
