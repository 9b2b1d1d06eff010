// Decides by worth within a budget: experts in descending key are taken while their cost still fits.
// Source: RCR-Router (S079), budgeted greedy selection; its scores are heuristics of the caller.
//
//   S grows by the next e of descending key with  sum of costs in S + cost_e <= budget
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct budgeted_greedy {
  row_view<float const> cost{};  // experts, not negative
  float budget = 1;
  index_t max_experts = 8;  // also how many of the best are looked at
  static constexpr key_kind keys = key_kind::rank;

  MOEROUTE_HD index_t experts_per_token() const { return max_experts; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context, Row const& key, row_view<Id> out) const {
    index_t const found =
        take_best(g, key, out, [&](index_t e) { return key.at(e) > -infinity<typename Row::value_type>; });
    if (g.rank() == 0) {
      index_t kept = 0;
      float spent = 0;
      for (index_t j = 0; j < found; ++j) {
        Id const e = out[j];
        if (!(spent + cost[e] <= budget)) continue;
        spent += cost[e];
        out[kept++] = e;
      }
      for (index_t j = kept; j < found; ++j) out[j] = no_expert_of<Id>;
    }
    g.sync();
  }
  status validate(index_t experts) const {
    checks c;
    c.must_be("select.cost size", cost.size, experts).at_least("select.max_experts", max_experts, 1);
    return c.at_most("select.max_experts", max_experts, experts).result();
  }
  void describe(text& t) const { t.add("the best whose costs fit ").add(budget).add(", at most ").add(max_experts); }
};
static_assert(token_choice<budgeted_greedy>);

}  // namespace moeroute::inline MOEROUTE_ABI
