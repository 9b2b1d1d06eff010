// Decides what one call of route reads and writes: the tokens with their context, what a NaN logit does, and
// the arrays of ids, weights and scores.
#pragma once

#include <moeroute/router.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// What a NaN logit does. It never wins over a number, and never poisons the scores of the other experts.
enum class nan_rule : std::uint8_t {
  rank_last,  // the expert ranks behind all others, its score is that of -inf
  propagate,  // as rank_last, and all weights of the row are NaN
  drop_row,   // the row chooses nobody
};

// The tokens of one call. Views that are left out count as absent.
template <element T, element H>
struct batch {
  matrix_view<T const> logits{};         // tokens x experts; or leave it out and give
  matrix_view<H const> hidden{};         // tokens x width, for a router with a gate
  row_view<offset_t const> token{};      // names of the tokens for random draws; default: the row number
  row_view<index_t const> sequence{};    // tokens
  row_view<index_t const> modality{};    // tokens
  row_view<index_t const> group{};       // tokens: isolation group
  row_view<std::uint8_t const> valid{};  // tokens: 0 = padding, chooses nobody
  nan_rule nan = nan_rule::rank_last;
  offset_t first_row = 0;  // the row number of row 0, where this is a share of a larger batch

  MOEROUTE_HD row_context context(offset_t t) const {
    offset_t const row = first_row + t;
    return {token.empty() ? row : token[t], sequence.empty() ? 0 : sequence[t], modality.empty() ? 0 : modality[t],
            group.empty() ? 0 : group[t], row};
  }
  MOEROUTE_HD bool is_valid(offset_t t) const { return valid.empty() || valid[t] != 0; }
};

// Where a token-choice router writes: tokens x k, best first; places without an expert hold the sentinel
// and weight 0. `scores` (tokens x experts) is written only if given.
template <std::integral Id, class W>
struct routing_view {
  matrix_view<Id> ids{};
  matrix_view<W> weights{};
  matrix_view<W> scores{};
};

namespace detail {

// The logits of one row after the prior, in scratch; NaN kept, for it must rank last.
template <class R, class T, class H, class G, class V>
MOEROUTE_HD memory_row<V> prepared_row(R const& r, batch<T, H> const& in, G const& g, offset_t t, V* x) {
  memory_row<V> const row{x, static_cast<index_t>(in.logits.cols)};
  row_view<T const> const from = in.logits[t];
  row.each(g, [&](index_t e, V& z) { z = load(from[e]); });
  if constexpr (!is_none<decltype(r.prior)>) r.prior(g, in.context(t), row);
  return row;
}
struct nan_to_closed {
  template <class V>
  MOEROUTE_HD V operator()(index_t, V x) const {
    return is_nan(x) ? -infinity<V> : x;
  }
};
template <class V>
MOEROUTE_HD constexpr V closed_if_nan(V x) {
  return is_nan(x) ? -infinity<V> : x;
}

}  // namespace detail

// Whether what is said of each token is said of all, or of none.
template <class T, class H>
status context_fits(batch<T, H> const& in, offset_t tokens) {
  checks c;
  c.empty_or("batch.token size", in.token, tokens).empty_or("batch.sequence size", in.sequence, tokens);
  c.empty_or("batch.modality size", in.modality, tokens).empty_or("batch.group size", in.group, tokens);
  return c.empty_or("batch.valid size", in.valid, tokens).result();
}
// Whether the arrays of the router's policies have a row for each token.
template <any_router R>
status arrays_fit(R const& r, offset_t tokens) {
  checks c;
  c.also(tokens_fit(r.prior, tokens)).also(tokens_fit(r.bias, tokens));
  return c.also(tokens_fit(r.select, tokens)).result();
}
// Whether the batch has the shapes this router reads.
template <any_router R, class T, class H>
status validate(R const& r, batch<T, H> const& in) {
  offset_t const tokens = in.logits.rows;
  if (status const s = validate(r, static_cast<index_t>(in.logits.cols)); !s.ok()) return s;
  if (status const s = checks{}.readable("batch.logits", in.logits).result(); !s.ok()) return s;
  if (status const s = context_fits(in, tokens); !s.ok()) return s;
  if (status const s = checks{}.at_least("batch.first_row", in.first_row, 0).result(); !s.ok()) return s;
  return arrays_fit(r, in.first_row + tokens);
}

// On the host also whether each row's modality is in the router's tables. On a device nobody can say so without
// waiting: there a row of an unknown modality chooses nobody.
template <executor X, any_router R, class T, class H>
status validate_modalities(X const&, R const& r, batch<T, H> const& in) {
  if constexpr (reads_modalities<R> && runs_on_host<X>) {
    offset_t const known = modalities(r);
    for (offset_t t = 0; t < in.modality.size; ++t) {
      index_t const m = in.modality[t];
      if (in.is_valid(t) && (m < 0 || m >= known))
        return {errc::bad_value, "batch.modality", m < 0 ? "must be at least" : "must be at most", m,
                m < 0 ? 0 : known - 1};
    }
  }
  static_cast<void>(r), static_cast<void>(in);
  return {};
}
template <any_router R, class T, class H>
MOEROUTE_HD bool knows_row(R const& r, batch<T, H> const& in, offset_t t) {
  if (!in.is_valid(t)) return false;
  if constexpr (reads_modalities<R>) {
    index_t const m = in.context(t).modality;
    return m >= 0 && m < modalities(r);
  }
  return true;
}

}  // namespace moeroute::inline MOEROUTE_ABI
