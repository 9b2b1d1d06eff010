// Decides how close the choices were: the router margin of a token is the score of its last choice minus the
// best score left out, 1 at most for probabilities; negative where a bias, a group limit or a replay decided.
// A statistic (loss/term.hpp): observe(x, margin_histogram{...}, router, batch, ids, sums, w).
#pragma once

#include <moeroute/loss/term.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Bins of equal width on [low, high), values outside in the end bins; the last number sums the margins.
struct margin_histogram {
  index_t bins = 64;
  double low = -1, high = 1;

  MOEROUTE_HD offset_t sums(index_t) const { return bins + 1; }
  bool wants_ids() const { return true; }
  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    using V = typename Row::value_type;
    V left_out = -infinity<V>, last = infinity<V>;
    bool chose = false;
    for (offset_t j = 0; j < row.ids.size; ++j)
      if (detail::names_expert(row.ids[j], row.experts)) {
        last = math::min(row.scores.data[static_cast<offset_t>(row.ids[j])], last);
        chose = true;
      }
    row.scores.each(g, [&](index_t e, auto const& s) {
      bool chosen = false;
      for (offset_t j = 0; j < row.ids.size; ++j)
        chosen = chosen || (detail::names_expert(row.ids[j], row.experts) && static_cast<index_t>(row.ids[j]) == e);
      if (!chosen) left_out = math::max(s, left_out);
    });
    left_out = g.max(left_out);
    if (g.rank() != 0 || !chose || left_out == -infinity<V>) return;
    double const m = static_cast<double>(last) - static_cast<double>(left_out);
    double const at = (m - low) * bins / (high - low);
    sums[!(at > 0) ? 0 : at >= bins ? bins - 1 : static_cast<index_t>(at)] += std::int64_t{1};
    sums[bins].add(m);
  }
  // Mean margin; 0 without tokens.
  double mean(row_view<wide_sum const> sums) const {
    std::int64_t tokens = 0;
    for (index_t i = 0; i < bins; ++i) tokens += sums[i].count();
    return tokens > 0 ? sums[bins].value() / static_cast<double>(tokens) : 0;
  }
  // The low edge of the bin of the margin of rank q (tokens - 1), q from 0 to 1; 0 without tokens.
  double quantile(double q, row_view<wide_sum const> sums) const {
    std::int64_t tokens = 0, before = 0;
    for (index_t i = 0; i < bins; ++i) tokens += sums[i].count();
    if (tokens == 0) return 0;
    auto const rank = static_cast<std::int64_t>(q * static_cast<double>(tokens - 1));
    index_t i = 0;
    while ((before += sums[i].count()) <= rank) ++i;
    return low + math::mul(high - low, 1. * i) / bins;
  }
  status validate(index_t) const {
    return checks{}
        .at_least("margin_histogram.bins", bins, 1)
        .at_least("margin_histogram.high (must exceed low)", high > low ? 1 : 0, 1)
        .result();
  }
};
static_assert(statistic<margin_histogram>);

}  // namespace moeroute::inline MOEROUTE_ABI
