// Decides how a sample's probabilities are summed by modality and bin: the one reduction behind the inter-bin
// terms. Every product M p is rounded to a whole number of ticks and added as an integer, so a sample may be
// split over lanes, shards and micro-batches, and the sum has the same bits.
#pragma once

#include <moeroute/smoes/detail/bin_rows.hpp>
#include <moeroute/smoes/inter_bin_term.hpp>
#include <moeroute/smoes/ticks.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <element T>
struct bin_batch {
  matrix_view<T const> p{};          // tokens x experts: the scores of `route`
  modality_scores<T> modality{};     // tokens
  row_view<index_t const> sample{};  // tokens, never decreasing, in [0, samples); default: all sample 0
  offset_t samples = 1;
  row_view<index_t const> bin_of_expert{};  // experts; left out with bins = 0
  row_view<std::uint8_t const> valid{};     // tokens: 0 = padding, left out of all sums (S8)

  MOEROUTE_HD bool is_valid(offset_t t) const { return valid.empty() || valid[t] != 0; }
  MOEROUTE_HD index_t sample_of(offset_t t) const { return sample.empty() ? 0 : sample[t]; }
  MOEROUTE_HD index_t bin_of(index_t e) const { return bin_of_expert.empty() ? e : bin_of_expert[e]; }
};

// The table: samples x (modalities * bins + modalities), sums of M p by bin, then of M itself.
MOEROUTE_HD constexpr offset_t bin_sum_columns(index_t modalities, index_t bins) {
  return static_cast<offset_t>(modalities) * (bins + 1);
}

// One tick is 2^-23 (float) or 2^-44 (double); a sample holds 2^38 or 2^18 tokens. `part` counts a run of
// tokens, as many to a vector register as there are numbers, before it joins the table.
template <class V>
struct bin_ticks {
  static constexpr bool narrow = sizeof(V) == 4;
  static constexpr offset_t most_tokens = offset_t{1} << (narrow ? 38 : 18);
  static constexpr offset_t run = 128;
  static constexpr double unit = narrow ? 0x1p23 : 0x1p44;
  using part = std::conditional_t<narrow, std::int32_t, std::int64_t>;
  // a b in ticks, for a b in [0, 1]; `b` comes from `scaled`, which is exact. Float: between 2^23 and 2^24 neighbors
  // lie 1 apart, so the sum with 2^23 is rounded to a tick and its bits count the ticks.
  MOEROUTE_HD static V scaled(V b) { return narrow ? b * V(0x1p23) : b; }
  MOEROUTE_HD static part of(V a, V b) {
    if constexpr (narrow) return math::as<part>(math::fma(a, b, 0x1p23f)) - math::as<part>(0x1p23f);
    else return ticks<double>::of(math::mul(a, b));
  }
};

namespace detail {

template <class T>
struct bin_members_row {  // one row: experts grouped by bin, by id inside a bin
  bin_batch<T> in;
  index_t bins;
  row_view<index_t> members;  // experts
  row_view<index_t> first;    // bins + 1
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    index_t const experts = static_cast<index_t>(in.p.cols);
    if constexpr (is_serial<G>) {  // counted: where each bin begins, then the experts in order
      for (index_t i = 0; i <= bins; ++i) first[i] = 0;
      for (index_t e = 0; e < experts; ++e)
        if (binned(e)) ++first[in.bin_of(e) + 1];
      for (index_t i = 0; i < bins; ++i) first[i + 1] += first[i];
      for (index_t e = 0; e < experts; ++e)
        if (binned(e)) members[first[in.bin_of(e)]++] = e;
      for (index_t i = bins; i > 0; --i) first[i] = first[i - 1];
      first[0] = 0;
    } else {
      for (index_t e = g.rank(); e < experts; e += g.size()) {
        index_t at = 0;
        for (index_t o = 0; o < experts; ++o)
          at += in.bin_of(o) < in.bin_of(e) || (in.bin_of(o) == in.bin_of(e) && o < e) ? 1 : 0;
        members[at] = e;
      }
      for (index_t i = g.rank(); i <= bins; i += g.size()) {
        index_t before = 0;
        for (index_t o = 0; o < experts; ++o) before += in.bin_of(o) < i ? 1 : 0;
        first[i] = before;
      }
    }
    g.sync();
  }

 private:
  MOEROUTE_HD bool binned(index_t e) const { return in.bin_of(e) >= 0 && in.bin_of(e) < bins; }
};

template <class T>
struct sample_sums_row {  // row: a sample; a lane owns experts, then bins
  using V = compute_t<T>;
  using part_t = typename bin_ticks<V>::part;
  bin_batch<T> in;
  gate_form gate;
  index_t bins;
  row_view<index_t const> members, first;
  matrix_view<std::int64_t> table;  // added to
  offset_t scratch_bytes() const {
    offset_t const cells = in.modality.count() * in.p.cols;
    return aligned_bytes<part_t>(cells) + aligned_bytes<std::int64_t>(cells + in.modality.count());
  }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t b, scratch s) const {
    index_t const modalities = in.modality.count(), experts = static_cast<index_t>(in.p.cols);
    part_t* const part = s.take<part_t>(modalities * experts);
    std::int64_t* const sum = s.take<std::int64_t>(modalities * experts + modalities);
    std::int64_t* const mass = sum + modalities * experts;  // of rank 0
    for (index_t m = 0; m < modalities; ++m) {
      for (index_t e = g.rank(); e < experts; e += g.size()) part[m * experts + e] = 0, sum[m * experts + e] = 0;
      if (g.rank() == 0) mass[m] = 0;
    }
    offset_t const last = begin_of(b + 1);
    for (offset_t begin = begin_of(b); begin < last; begin += bin_ticks<V>::run) {
      offset_t const end = begin + bin_ticks<V>::run < last ? begin + bin_ticks<V>::run : last;
      for (offset_t t = begin; t < end; ++t)
        if (in.is_valid(t)) add_token(g, t, part, mass);
      for (index_t m = 0; m < modalities; ++m)
        for (index_t e = g.rank(); e < experts; e += g.size()) {
          index_t const c = m * experts + e;
          sum[c] += part[c], part[c] = 0;
        }
    }
    g.sync();
    join_bins(g, b, sum, mass);
  }
#if defined(MOEROUTE_SIMD)
  offset_t rows_scratch_bytes() const
    requires std::same_as<T, float>
  {
    return scratch_bytes();
  }
  void rows(offset_t first_sample, offset_t last_sample, scratch s) const
    requires std::same_as<T, float>
  {
    index_t const cells = in.modality.count() * static_cast<index_t>(in.p.cols);
    offset_t end = begin_of(first_sample);
    for (offset_t b = first_sample; b < last_sample; ++b) {
      offset_t const begin = end;
      end = begin_of(b + 1);
      scratch own = s;
      if (gate != gate_form::softmax) {
        (*this)(serial_group{}, b, own);
        continue;
      }
      std::int64_t* const sum = own.take<std::int64_t>(cells + in.modality.count());
      for (index_t c = 0; c < cells + in.modality.count(); ++c) sum[c] = 0;
      simd::sum_sample<bin_ticks<float>>(in, begin, end, sum, sum + cells);
      join_bins(serial_group{}, b, sum, sum + cells);
    }
  }
#endif

 private:
  template <class G>
  MOEROUTE_HD void join_bins(G const& g, offset_t b, std::int64_t const* sum, std::int64_t const* mass) const {
    index_t const modalities = in.modality.count(), experts = static_cast<index_t>(in.p.cols);
    std::int64_t* const out = table[b].data;
    for (index_t m = 0; m < modalities; ++m) {
      for (index_t i = g.rank(); i < bins; i += g.size())
        for (index_t r = first[i]; r < first[i + 1]; ++r) out[m * bins + i] += sum[m * experts + members[r]];
      if (g.rank() == 0) out[modalities * bins + m] += mass[m];
    }
    g.sync();
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void add_token(G const& g, offset_t t, part_t* part, std::int64_t* mass) const {
    index_t const experts = static_cast<index_t>(in.p.cols);
    T const* const p = in.p[t].data;
    V const share = share_of_total<V>(gate, g, in.p[t]);
    for (index_t m = 0; m < in.modality.count(); ++m) {
      V const weight = in.modality(t, m), scaled = bin_ticks<V>::scaled(math::mul(weight, share));
      part_t* const to = part + m * experts;
      for (index_t e = g.rank(); e < experts; e += g.size()) to[e] += bin_ticks<V>::of(load(p[e]), scaled);
      if (g.rank() == 0) mass[m] += bin_ticks<V>::of(weight, bin_ticks<V>::scaled(V(1)));
    }
  }
  MOEROUTE_HD offset_t begin_of(offset_t b) const {  // the first token of sample b or later
    if (in.sample.empty()) return b <= 0 ? 0 : in.p.rows;
    offset_t low = 0, high = in.sample.size;
    while (low < high) {
      offset_t const middle = (low + high) / 2;
      if (in.sample[middle] < b) low = middle + 1;
      else high = middle;
    }
    return low;
  }
};

template <class T>
checks& bin_batch_fits(checks& c, inter_bin_term const& term, bin_batch<T> const& in) {
  offset_t const tokens = in.p.rows, experts = in.p.cols;
  c.also(term.validate(static_cast<index_t>(experts))).strided("batch.p", in.p);
  c.must_be("batch.modality rows", in.modality.of.rows, tokens).strided("batch.modality", in.modality.of);
  c.empty_or("batch.sample size", in.sample, tokens).empty_or("batch.valid size", in.valid, tokens);
  c.at_least("batch.samples", in.samples, 1);
  if (in.sample.empty()) c.must_be("batch.samples without batch.sample", in.samples, 1);
  if (term.bins != 0) c.must_be("batch.bin_of_expert size", in.bin_of_expert.size, experts);
  c.at_most("tokens of one call", tokens, bin_ticks<compute_t<T>>::most_tokens);
  return c;
}

}  // namespace detail

template <executor X, class T = float>
offset_t bin_sums_workspace_bytes(X const& x, inter_bin_term const& term, index_t experts, index_t modalities) {
  offset_t const cells = static_cast<offset_t>(modalities) * experts;
  return aligned_bytes<index_t>(experts) + aligned_bytes<index_t>(term.bin_count(experts) + 1) + workspace_alignment +
         x.workspace_bytes(aligned_bytes<typename bin_ticks<compute_t<T>>::part>(cells) +
                           aligned_bytes<std::int64_t>(cells + modalities));
}

// Adds the batch to `table`. Tables of shards merge with `merge`.
template <executor X, element T>
status try_bin_sums(X const& x, inter_bin_term const& term, bin_batch<T> const& in, matrix_view<std::int64_t> table,
                    workspace w) noexcept {
  auto const experts = static_cast<index_t>(in.p.cols);
  index_t const bins = term.bin_count(experts);
  checks c;
  detail::bin_batch_fits(c, term, in).must_be("table rows", table.rows, in.samples);
  c.must_be("table columns", table.cols, bin_sum_columns(in.modality.count(), bins));
  c.also(workspace_ok(w, bin_sums_workspace_bytes<X, T>(x, term, experts, in.modality.count())));
  if (!c.result().ok()) return c.result();
  scratch s = aligned_scratch(w);
  row_view<index_t> const members{s.take<index_t>(experts), experts}, first{s.take<index_t>(bins + 1), bins + 1};
  offset_t const used = aligned_bytes<index_t>(experts) + aligned_bytes<index_t>(bins + 1) + workspace_alignment;
  workspace const rest{w.data + used, w.bytes - used};
  if (status const e = x.run(1, detail::bin_members_row<T>{in, bins, members, first}, rest); !e.ok()) return e;
  return x.run(in.samples, detail::sample_sums_row<T>{in, term.gate, bins, members, first, table}, rest);
}
template <executor X, element T>
void sum_bins(X const& x, inter_bin_term const& term, bin_batch<T> const& in, matrix_view<std::int64_t> table,
              workspace w) {
  throw_if_bad(try_bin_sums(x, term, in, table, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
