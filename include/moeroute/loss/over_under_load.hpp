// Decides StableMoE's balance loss: the scores of the chosen, priced by how far their expert is from the mean load.
//
//   L = alpha sum_e (n_e / mean n - 1) sum_{t chose e} s_te        the load ratio is a constant of the gradient
// It pushes the scores of crowded experts down and of idle ones up. Source: StableMoE (S050), stage 1: sigmoid, top-1.
#pragma once

#include <moeroute/loss/segment_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct over_under_load {
  using is_regularizer = void;
  double alpha = .3;

  // For each expert: choices, mass of the scores of those who chose it.
  MOEROUTE_HD offset_t sums(index_t experts) const { return 2 * offset_t{experts}; }
  MOEROUTE_HD offset_t coefficients(index_t experts) const { return experts; }
  bool wants_ids() const { return true; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    row.scores.each(g, [&](index_t e, auto const& s) {
      index_t const n = times_chosen(row, e);
      if (n == 0) return;
      sums[e] += std::int64_t{n};
      for (index_t i = 0; i < n; ++i) sums[row.experts + e].add(static_cast<double>(s));
    });
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> sums, row_view<double> out) const {
    double const all = tree_sum<double>(g, experts, [&](offset_t e) { return static_cast<double>(sums[e].count()); });
    auto const price = [&](offset_t e) {
      return all > 0 ? alpha * (static_cast<double>(sums[e].count()) * experts / all - 1) : 0.;
    };
    if (!out.empty())
      for (offset_t e = g.rank(); e < experts; e += g.size()) out[e] = price(e);
    return tree_sum<double>(g, experts, [&](offset_t e) { return math::mul(price(e), sums[experts + e].value()); });
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> price) const {
    using V = typename Row::value_type;
    row.d_scores.each(g, [&](index_t e, V& d) {
      d += static_cast<V>(math::mul(price[e], static_cast<double>(times_chosen(row, e))));
    });
  }
  void describe(text& t) const { t.add(alpha).add(" sum_e (n_e / mean n - 1) times the scores of those who chose e"); }

 private:
  template <class Row>
  MOEROUTE_HD static index_t times_chosen(Row const& row, index_t e) {
    index_t n = 0;
    for (offset_t j = 0; j < row.ids.size; ++j)
      n += detail::names_expert(row.ids[j], row.experts) && static_cast<index_t>(row.ids[j]) == e;
    return n;
  }
};
static_assert(loss_term<over_under_load>);

}  // namespace moeroute::inline MOEROUTE_ABI
