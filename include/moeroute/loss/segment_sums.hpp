// Decides what most balance terms keep for a segment of tokens: how many tokens, how many slots, and for each
// expert how many choices and how much score. And how a price on each expert's score becomes a gradient.
#pragma once

#include <moeroute/loss/term.hpp>

#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/wide_sums.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {

// wide_sum numbers of one segment: tokens, slots, counts of E, score mass of E.
MOEROUTE_HD constexpr offset_t segment_sums_of(index_t experts) { return 2 + 2 * offset_t{experts}; }

// The segment of a token, or -1; a number beyond `segments` is counted in `beyond`, which spoils L loudly.
template <class G>
MOEROUTE_HD index_t segment_in(G const& g, index_t at, index_t segments, wide_sum& beyond) {
  if (at < segments) return at < 0 ? -1 : at;
  if (g.rank() == 0) beyond += std::int64_t{1};
  return -1;
}

namespace detail {
// to[e] += scores[e] / per.
template <class G, class V>
MOEROUTE_HD void add_shares(G const& g, memory_row<V> const& scores, double per, wide_sum* to) {
  index_t first = 0;
#if defined(MOEROUTE_SIMD)
  if constexpr (is_serial<G> && std::same_as<V, float>)
    while (first + 16 <= scores.count && simd::add_16_shares(to + first, scores.data + first, per)) first += 16;
#endif
  for (index_t e = first + g.rank(); e < scores.count; e += g.size())
    to[e].add(static_cast<double>(scores.data[e]) / per);
}
}  // namespace detail

template <class Sum>
struct segment_sums {
  row_view<Sum> all;
  index_t experts = 0;
  index_t segment = 0;

  MOEROUTE_HD Sum* base() const { return all.data + segment * segment_sums_of(experts); }
  MOEROUTE_HD std::int64_t tokens() const { return base()[0].count(); }
  MOEROUTE_HD std::int64_t slot_count() const { return base()[1].count(); }
  MOEROUTE_HD std::int64_t count(index_t e) const { return base()[2 + e].count(); }
  MOEROUTE_HD double mass(index_t e) const { return base()[2 + experts + e].value(); }

  MOEROUTE_HD Sum& slots() const { return base()[1]; }
  MOEROUTE_HD Sum& counts(index_t e) const { return base()[2 + e]; }

  // One token and its scores; every lane calls it.
  template <class G, class Row>
  MOEROUTE_HD void add_scores(G const& g, Row const& row, bool normalize, double eps) const {
    double const per = score_divisor(g, row, normalize, eps);
    detail::add_shares(g, row.scores, per, base() + 2 + experts);
    if (g.rank() == 0) base()[0] += std::int64_t{1};
  }
  // The first `columns` choices of the token; rank 0 calls it.
  template <class Row>
  MOEROUTE_HD void add_choices(Row const& row, offset_t columns) const {
    slots() += columns;
    for (offset_t j = 0; j < columns; ++j)
      if (detail::names_expert(row.ids[j], experts)) counts(static_cast<index_t>(row.ids[j])) += std::int64_t{1};
  }

  // What the scores of a row are divided by so that they sum to 1; 1 for scores that do.
  template <class G, class Row>
  MOEROUTE_HD static double score_divisor(G const& g, Row const& row, bool normalize, double eps) {
    if constexpr (Row::sums_to_one) return 1;
    if (!normalize) return 1;
    auto const& y = row.scores.data;
    return tree_sum<double>(g, row.experts, [&](offset_t e) { return static_cast<double>(y[e]); }) + eps;
  }
};

// d_scores += price(e) for terms that are linear in the (normalized) scores q_e = s_e / (sum s + eps):
// dL/ds_e = (price_e - sum_j price_j q_j) / (sum s + eps).
template <class G, class Row, class Price>
MOEROUTE_HD void add_score_gradient(G const& g, Row const& row, bool normalize, double eps, Price const& price) {
  using V = typename Row::value_type;
  double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
  double mean = 0;
  if (!Row::sums_to_one && normalize)
    mean = tree_sum<double>(g, row.experts,
                            [&](offset_t e) {
                              return math::mul(price(static_cast<index_t>(e)), static_cast<double>(row.scores.data[e]));
                            }) /
           per;
  row.d_scores.each(g, [&](index_t e, V& d) { d += static_cast<V>((price(e) - mean) / per); });
}

}  // namespace moeroute::inline MOEROUTE_ABI
