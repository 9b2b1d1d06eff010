// Decides the value of an inter-bin term and its slopes, from the sums by modality and bin.
//
//   w_m[i] = the part of modality m's sum that bin i has,   f_m[i] = d I / d w_m[i]
//     mutual information  f = (1/modalities) ln(w_m[i] / wb[i])
//     symmetric KL        f = sum over n of ln(w_m / w_n) + 1 - w_n / w_m
//
// A sample that lacks a modality (mass below min_mass) has value 0 and no gradient.
#pragma once

#include <moeroute/smoes/bin_sums.hpp>
#include <moeroute/smoes/detail/divergence.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// What the gradient of one batch needs. `totals` (3): sum of the kept samples' losses in ticks<double>, how
// many were kept, how many there were; merges over shards with `merge` before the gradient is taken.
template <class V>
struct inter_bin_result {
  row_view<double> value{};         // samples: I_b (or d), 0 if left out
  row_view<std::uint8_t> kept{};    // samples
  matrix_view<V> coefficient{};     // samples x modalities * experts: d loss_b / d p of a token all m
  row_view<std::int64_t> totals{};  // 3; added to
};
constexpr offset_t inter_bin_coefficients(index_t modalities, index_t experts) {
  return static_cast<offset_t>(modalities) * experts;
}
// The loss these totals stand for.
MOEROUTE_HD inline double inter_bin_scale(inter_bin_term const& term, std::int64_t const* totals) {
  std::int64_t const n = term.mean == sample_mean::kept ? totals[1] : totals[2];
  return n > 0 ? term.factor() / static_cast<double>(n) : 0.;
}
inline double inter_bin_loss(inter_bin_term const& term, row_view<std::int64_t const> totals) {
  return static_cast<double>(totals[0]) / ticks<double>::unit * inter_bin_scale(term, totals.data);
}

namespace detail {

template <class V>
constexpr offset_t value_scratch_bytes(index_t modalities, index_t bins) {
  offset_t const cells = static_cast<offset_t>(modalities) * bins;
  return 2 * aligned_bytes<double>(cells) + aligned_bytes<V>(cells);
}
template <class T>
struct inter_bin_value_row {  // row: a sample
  using V = compute_t<T>;
  inter_bin_term term;
  bin_batch<T> in;
  index_t bins;
  matrix_view<std::int64_t const> table;
  inter_bin_result<V> out;
  offset_t scratch_bytes() const { return value_scratch_bytes<V>(in.modality.count(), bins); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t b, scratch s) const {
    index_t const modalities = in.modality.count(), experts = static_cast<index_t>(in.p.cols);
    double* const share = s.take<double>(modalities * bins);  // w_m[i]
    double* const slope = s.take<double>(modalities * bins);
    std::int64_t const* const sum = table[b].data;
    std::int64_t const* const mass = sum + modalities * bins;
    bool kept = true;
    for (index_t m = 0; m < modalities; ++m) {
      std::int64_t whole = 0;
      for (index_t i = 0; i < bins; ++i) whole += sum[m * bins + i];
      kept = kept && whole > 0 && static_cast<double>(mass[m]) >= term.min_mass * bin_ticks<V>::unit;
      for (index_t i = g.rank(); i < bins; i += g.size())
        share[m * bins + i] = whole > 0 ? static_cast<double>(sum[m * bins + i]) / static_cast<double>(whole) : 0.;
    }
    g.sync();
    auto const w = [=, this](index_t m, index_t i) { return share[m * bins + i]; };
    for (index_t m = 0; m < modalities; ++m)
      for (index_t i = g.rank(); i < bins; i += g.size())
        slope[m * bins + i] = kept ? divergence_slope(term.divergence, w, modalities, m, i) : 0.;
    g.sync();
    double d = 0;
    if (kept && term.divergence == bin_divergence::by_definition) d = definition(g, sum, mass);
    else if (kept)
      d = divergence_value(
          g, term.divergence, w, [=, this](index_t m, index_t i) { return slope[m * bins + i]; }, modalities, bins);
    if (g.rank() == 0) out.value[b] = d, out.kept[b] = kept ? 1 : 0;
    V* const to = out.coefficient[b].data;
    V* const of_bin = s.take<V>(modalities * bins);
    for (index_t m = 0; m < modalities; ++m) {
      double const unit = kept ? term.slope(d) * bin_ticks<V>::unit / static_cast<double>(mass[m]) : 0.;
      for (index_t i = g.rank(); i < bins; i += g.size())
        of_bin[m * bins + i] = static_cast<V>(unit * slope[m * bins + i]);
    }
    g.sync();
    for (index_t e = g.rank(); e < experts; e += g.size()) {
      index_t const i = in.bin_of(e);
      bool const binned = i >= 0 && i < bins;
      for (index_t m = 0; m < modalities; ++m) to[m * experts + e] = binned ? of_bin[m * bins + i] : V(0);
    }
    g.sync();
  }

 private:
  // The paper's own words: S, the joint Pj, and both marginals. Bins are of equal size, so NB cancels.
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD double definition(G const& g, std::int64_t const* sum, std::int64_t const* mass) const {
    index_t const modalities = in.modality.count();
    auto const S = [&](offset_t c) { return static_cast<double>(sum[c]) / static_cast<double>(mass[c / bins]); };
    double const all = tree_sum<double>(g, modalities * bins, S);
    return tree_sum<double>(g, modalities * bins, [&](offset_t c) {
      double const joint = S(c) / all;
      double of_m = 0, of_i = 0;
      for (index_t i = 0; i < bins; ++i) of_m += S(c / bins * bins + i) / all;
      for (index_t m = 0; m < modalities; ++m) of_i += S(m * bins + c % bins) / all;
      return joint > 0 ? math::mul(joint, math::log(joint / (of_m * of_i))) : 0.;
    });
  }
};

template <class V>
struct inter_bin_totals_row {  // one row
  inter_bin_term term;
  inter_bin_result<V> out;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    std::int64_t sum = 0, kept = 0;
    for (offset_t b = g.rank(); b < out.value.size; b += g.size())
      if (out.kept[b] != 0) sum += ticks<double>::of(term.loss(out.value[b])), ++kept;
    sum = g.sum(sum), kept = g.sum(kept);
    if (g.rank() == 0) out.totals[0] += sum, out.totals[1] += kept, out.totals[2] += out.value.size;
    g.sync();
  }
};

}  // namespace detail

// From the (merged) sums: value, kept, coefficient of every sample; adds to totals.
template <executor X, element T>
status try_inter_bin_value(X const& x, inter_bin_term const& term, bin_batch<T> const& in,
                           matrix_view<std::int64_t const> table, inter_bin_result<compute_t<T>> const& out,
                           workspace w) noexcept {
  using V = compute_t<T>;
  auto const experts = static_cast<index_t>(in.p.cols);
  index_t const bins = term.bin_count(experts), modalities = in.modality.count();
  checks c;
  detail::bin_batch_fits(c, term, in).must_be("sums.table rows", table.rows, in.samples);
  c.must_be("sums.table columns", table.cols, bin_sum_columns(modalities, bins));
  c.must_be("result.value size", out.value.size, in.samples).must_be("result.kept size", out.kept.size, in.samples);
  c.must_be("result.coefficient rows", out.coefficient.rows, in.samples)
      .must_be("result.totals size", out.totals.size, 3);
  c.must_be("result.coefficient columns", out.coefficient.cols, inter_bin_coefficients(modalities, experts));
  if (!c.result().ok()) return c.result();
  if (status const s = x.run(in.samples, detail::inter_bin_value_row<T>{term, in, bins, table, out}, w); !s.ok())
    return s;
  return x.run(1, detail::inter_bin_totals_row<V>{term, out}, w);
}

}  // namespace moeroute::inline MOEROUTE_ABI
