// Decides membership by a threshold: every expert whose key is above it, best first. Ids are dense
// [tokens, max_experts]; unused places are empty; a token may choose nobody.
//
//   ReMoE (S096):            score relu, threshold 0, weights the scores
//   Expert Threshold (P36):  key = sigmoid(z) - c_e, threshold 0; causal, for no other token is looked at
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct above {
  float threshold = 0;
  index_t max_experts = 8;
  static constexpr key_kind keys = key_kind::value;

  MOEROUTE_HD index_t experts_per_token() const { return max_experts; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context, Row const& key, row_view<Id> out) const {
    using V = typename Row::value_type;
    take_best(g, key, out, [&](index_t e) { return key.at(e) > V(threshold); });
  }
  status validate(index_t experts) const {
    return checks{}
        .at_least("select.max_experts", max_experts, 1)
        .at_most("select.max_experts", max_experts, experts)
        .result();
  }
  void describe(text& t) const { t.add("every expert above ").add(threshold).add(", at most ").add(max_experts); }
};
static_assert(token_choice<above>);

}  // namespace moeroute::inline MOEROUTE_ABI
