// Decides the gradient of an inter-bin term, and what one call of sums, value and gradient needs.
//
//   d I_b / d p[j, e] = sum_m f_m[i(e)] M[j, m] / sum_j' M[j', m],   f_m[i] = d I / d w_m[i] (inter_bin_value.hpp)
//
// then through the softmax (detail/gate_rows.hpp). No gradient through M, the bins or the samples' choice.
#pragma once

#include <moeroute/smoes/inter_bin_value.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class T, class D>
struct inter_bin_backward_row {  // row: a token
  using V = compute_t<T>;
  inter_bin_term term;
  bin_batch<T> in;
  inter_bin_result<V> result;
  matrix_view<D> d_logits;
  bool accumulate;
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    index_t const b = in.sample_of(t), modalities = in.modality.count();
    offset_t const experts = in.p.cols;
    V const scale = pulls(t) ? scale_of(result.totals.data) : V(0);
    if (scale == V(0)) return no_gradient(g, d_logits[t], accumulate);
    V const* const f0 = result.coefficient[b].data;
    V const* const f1 = f0 + experts;
    if (in.modality.of.cols == 1) {  // u alone: a = scale (f0 + u (f1 - f0))
      V const u = in.modality(t, text_modality);
      pull(g, t, [=](offset_t e) { return math::fma(u, math::mul(scale, f1[e] - f0[e]), math::mul(scale, f0[e])); });
    } else if (modalities == 2) {
      V const m0 = math::mul(scale, in.modality(t, 0)), m1 = math::mul(scale, in.modality(t, 1));
      pull(g, t, [=](offset_t e) { return math::fma(m1, f1[e], math::mul(m0, f0[e])); });
    } else {
      pull(g, t, [&](offset_t e) {
        V sum = 0;
        for (index_t m = 0; m < modalities; ++m) sum = math::fma(in.modality(t, m), f0[m * experts + e], sum);
        return math::mul(scale, sum);
      });
    }
  }
#if defined(MOEROUTE_SIMD)
  offset_t rows_scratch_bytes() const
    requires std::same_as<T, float> && std::same_as<D, float>
  {
    return 0;
  }
  void rows(offset_t first, offset_t last, scratch) const
    requires std::same_as<T, float> && std::same_as<D, float>
  {
    simd::pull_rows(*this, first, last);
  }
#endif

  // Whether a token is of a sample that counts.
  MOEROUTE_HD bool pulls(offset_t t) const {
    index_t const b = in.sample_of(t);
    return in.is_valid(t) && b >= 0 && b < in.samples && result.kept[b] != 0;
  }
  // inter_bin_scale in V: one division a token.
  MOEROUTE_HD V scale_of(std::int64_t const* totals) const {
    std::int64_t const n = term.mean == sample_mean::kept ? totals[1] : totals[2];
    return n > 0 ? static_cast<V>(term.factor()) / static_cast<V>(n) : V(0);
  }

 private:
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G, class A>
  MOEROUTE_HD void pull(G const& g, offset_t t, A const& a) const {
    row_view<T const> const p = in.p[t];
    V const share = share_of_total<V>(term.gate, g, p);
    V const dot = tree_fold<V>(g, p.size, [&](V sum, offset_t e) { return math::fma(load(p[e]), a(e), sum); });
    add_gate_gradient(term.gate, g, p, share, math::mul(dot, share), d_logits[t], accumulate, a);
  }
};

}  // namespace detail

// d_logits (+)= the gradient of inter_bin_loss for this batch's tokens.
template <executor X, element T, class D>
status try_inter_bin_backward(X const& x, inter_bin_term const& term, bin_batch<T> const& in,
                              inter_bin_result<compute_t<T>> const& result, matrix_view<D> d_logits, workspace w,
                              bool accumulate = false) noexcept {
  checks c;
  detail::bin_batch_fits(c, term, in).must_be("d_logits rows", d_logits.rows, in.p.rows);
  c.must_be("result.coefficient columns", result.coefficient.cols,
            inter_bin_coefficients(in.modality.count(), static_cast<index_t>(in.p.cols)));
  c.must_be("d_logits columns", d_logits.cols, in.p.cols).strided("d_logits", d_logits);
  if (!c.result().ok()) return c.result();
  return x.run(in.p.rows, detail::inter_bin_backward_row<T, D>{term, in, result, d_logits, accumulate}, w);
}

// ---- all at once, for one machine --------------------------------------------------------------------------

template <class T = float, executor X>
offset_t inter_bin_workspace_bytes(X const& x, inter_bin_term const& term, offset_t, index_t experts,
                                   index_t modalities, offset_t samples) {
  using V = compute_t<T>;
  index_t const bins = term.bin_count(experts);
  offset_t const body = detail::value_scratch_bytes<V>(modalities, bins);
  offset_t const sums = bin_sums_workspace_bytes<X, T>(x, term, experts, modalities);
  return workspace_alignment + aligned_bytes<std::int64_t>(samples * bin_sum_columns(modalities, bins)) +
         aligned_bytes<V>(samples * inter_bin_coefficients(modalities, experts)) +
         (sums > x.workspace_bytes(body) ? sums : x.workspace_bytes(body));
}

// Value per sample, kept, totals (overwritten), and, unless empty, d_logits (+)= gradient.
template <executor X, element T, class D>
status try_inter_bin(X const& x, inter_bin_term const& term, bin_batch<T> const& in, row_view<double> value,
                     row_view<std::uint8_t> kept, row_view<std::int64_t> totals, matrix_view<D> d_logits, workspace w,
                     bool accumulate = false) noexcept {
  using V = compute_t<T>;
  auto const experts = static_cast<index_t>(in.p.cols);
  index_t const bins = term.bin_count(experts), modalities = in.modality.count();
  checks c;
  c.also(term.validate(experts)).must_be("totals size", totals.size, 3);
  c.also(workspace_ok(w, inter_bin_workspace_bytes<T>(x, term, in.p.rows, experts, modalities, in.samples)));
  if (!c.result().ok()) return c.result();
  scratch s = aligned_scratch(w);
  offset_t const columns = bin_sum_columns(modalities, bins),
                 coefficients = inter_bin_coefficients(modalities, experts);
  matrix_view<std::int64_t> const table{s.take<std::int64_t>(in.samples * columns), in.samples, columns};
  inter_bin_result<V> const result{
      value, kept, {s.take<V>(in.samples * coefficients), in.samples, coefficients}, totals};
  workspace const rest{s.at, w.bytes - (s.at - w.data)};
  if (status const e = x.run(1, detail::clear_row{{table.data, in.samples * columns}, totals}, rest); !e.ok()) return e;
  if (status const e = try_bin_sums(x, term, in, table, rest); !e.ok()) return e;
  if (status const e = try_inter_bin_value<X, T>(x, term, in, table, result, rest); !e.ok()) return e;
  if (d_logits.empty()) return {};
  return try_inter_bin_backward<X, T, D>(x, term, in, result, d_logits, rest, accumulate);
}
template <executor X, element T, class D>
double inter_bin(X const& x, inter_bin_term const& term, bin_batch<T> const& in, row_view<double> value,
                 row_view<std::uint8_t> kept, row_view<std::int64_t> totals, matrix_view<D> d_logits, workspace w,
                 bool accumulate = false) {
  throw_if_bad(try_inter_bin(x, term, in, value, kept, totals, d_logits, w, accumulate));
  return inter_bin_loss(term, totals);
}

}  // namespace moeroute::inline MOEROUTE_ABI
