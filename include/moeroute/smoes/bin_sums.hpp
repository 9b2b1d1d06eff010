// Decides how a sample's probabilities are summed by modality and bin: the one reduction behind the inter-bin
// terms. Per token and bin a sum in the order of the expert ids; over tokens as integers, so a sample may be
// split over shards.
#pragma once

#include <moeroute/smoes/inter_bin_term.hpp>
#include <moeroute/smoes/ticks.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <element T>
struct bin_batch {
  matrix_view<T const> p{};                  // tokens x experts: the scores of `route`
  modality_scores<T> modality{};             // tokens
  row_view<index_t const> sample{};          // tokens, never decreasing, in [0, samples); default: all sample 0
  offset_t samples = 1;
  row_view<index_t const> bin_of_expert{};   // experts; left out with bins = 0
  row_view<std::uint8_t const> valid{};      // tokens: 0 = padding, left out of all sums (S8)

  MOEROUTE_HD bool is_valid(offset_t t) const { return valid.empty() || valid[t] != 0; }
  MOEROUTE_HD index_t sample_of(offset_t t) const { return sample.empty() ? 0 : sample[t]; }
  MOEROUTE_HD index_t bin_of(index_t e) const { return bin_of_expert.empty() ? e : bin_of_expert[e]; }
};

// table: samples x (modalities * bins + modalities): sum of M p by bin, then the mass sum of M.
// token_mass: tokens x bins: p summed by bin, kept for the gradient.
constexpr offset_t bin_sum_columns(index_t modalities, index_t bins) { return static_cast<offset_t>(modalities) * (bins + 1); }
template <class V>
struct bin_sums {
  matrix_view<std::int64_t> table{};
  matrix_view<V> token_mass{};
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
    for (index_t e = g.rank(); e < experts; e += g.size()) {
      index_t at = 0;
      for (index_t o = 0; o < experts; ++o) at += in.bin_of(o) < in.bin_of(e) || (in.bin_of(o) == in.bin_of(e) && o < e) ? 1 : 0;
      members[at] = e;
    }
    for (index_t i = g.rank(); i <= bins; i += g.size()) {
      index_t before = 0;
      for (index_t o = 0; o < experts; ++o) before += in.bin_of(o) < i ? 1 : 0;
      first[i] = before;
    }
    g.sync();
  }
};

template <class T>
struct token_mass_row {  // row: a token; a lane owns bins
  using V = compute_t<T>;
  bin_batch<T> in;
  gate_form gate;
  row_view<index_t const> members, first;
  matrix_view<V> mass;
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    T const* const p = in.p[t].data;
    V* const out = mass[t].data;
    V const share = share_of_total<V>(gate, g, in.p[t]);
    for (index_t i = g.rank(); i < static_cast<index_t>(mass.cols); i += g.size()) {
      V sum = 0;
      for (index_t r = first[i]; r < first[i + 1]; ++r) sum += load(p[members[r]]);
      out[i] = gate == gate_form::softmax ? sum : math::mul(sum, share);
    }
    g.sync();
  }
};

template <class T>
struct sample_sums_row {  // row: a sample; a lane owns bins
  using V = compute_t<T>;
  bin_batch<T> in;
  matrix_view<V const> mass;
  matrix_view<std::int64_t> table;  // added to
  offset_t scratch_bytes() const { return aligned_bytes<std::int64_t>(table.cols); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t b, scratch s) const {
    std::int64_t* const sum = s.take<std::int64_t>(table.cols);
    index_t const bins = static_cast<index_t>(mass.cols), modalities = in.modality.count();
    for (offset_t i = g.rank(); i < table.cols; i += g.size()) sum[i] = 0;
    g.sync();
    offset_t const last = begin_of(b + 1);
    for (offset_t t = begin_of(b); t < last; ++t) {
      if (!in.is_valid(t)) continue;
      V const* const part = mass[t].data;
      for (index_t m = 0; m < modalities; ++m) {
        V const weight = in.modality(t, m);
        std::int64_t* const to = sum + m * bins;
        for (index_t i = g.rank(); i < bins; i += g.size()) to[i] += ticks<V>::of(math::mul(part[i], weight));
        if (g.rank() == 0) sum[modalities * bins + m] += ticks<V>::of(weight);
      }
    }
    g.sync();
    for (offset_t i = g.rank(); i < table.cols; i += g.size()) table[b][i] += sum[i];
    g.sync();
  }

 private:
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
  c.at_most("tokens of one call", tokens, ticks<compute_t<T>>::most_terms);
  return c;
}

}  // namespace detail

template <executor X, class T = float>
offset_t bin_sums_workspace_bytes(X const& x, inter_bin_term const& term, index_t experts, index_t modalities) {
  index_t const bins = term.bin_count(experts);
  return aligned_bytes<index_t>(experts) + aligned_bytes<index_t>(bins + 1) + workspace_alignment +
         x.workspace_bytes(aligned_bytes<std::int64_t>(bin_sum_columns(modalities, bins)));
}

// Adds the batch to out.table and writes out.token_mass. Tables of shards merge with `merge`.
template <executor X, element T>
status try_bin_sums(X const& x, inter_bin_term const& term, bin_batch<T> const& in,
                    bin_sums<compute_t<T>> const& out, workspace w) noexcept {
  auto const experts = static_cast<index_t>(in.p.cols);
  index_t const bins = term.bin_count(experts);
  checks c;
  detail::bin_batch_fits(c, term, in).must_be("sums.table rows", out.table.rows, in.samples);
  c.must_be("sums.table columns", out.table.cols, bin_sum_columns(in.modality.count(), bins));
  c.must_be("sums.token_mass rows", out.token_mass.rows, in.p.rows).must_be("sums.token_mass columns", out.token_mass.cols, bins);
  c.also(workspace_ok(w, bin_sums_workspace_bytes<X, T>(x, term, experts, in.modality.count())));
  if (!c.result().ok()) return c.result();
  scratch s = aligned_scratch(w);
  row_view<index_t> const members{s.take<index_t>(experts), experts}, first{s.take<index_t>(bins + 1), bins + 1};
  offset_t const used = aligned_bytes<index_t>(experts) + aligned_bytes<index_t>(bins + 1) + workspace_alignment;
  workspace const rest{w.data + used, w.bytes - used};
  if (status const e = x.run(1, detail::bin_members_row<T>{in, bins, members, first}, rest); !e.ok()) return e;
  if (status const e = x.run(in.p.rows, detail::token_mass_row<T>{in, term.gate, members, first, out.token_mass}, rest); !e.ok()) return e;
  return x.run(in.samples, detail::sample_sums_row<T>{in, out.token_mass, out.table}, rest);
}
template <executor X, element T>
void sum_bins(X const& x, inter_bin_term const& term, bin_batch<T> const& in, bin_sums<compute_t<T>> const& out,
              workspace w) {
  throw_if_bad(try_bin_sums(x, term, in, out, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
