// Decides how many experts a token gets from outside: the k[row] best, at most max_experts. Source: DA-MoE (S041).
//
//   I_t = importance, e.g. the mean over heads of the attention a token receives
//   K_t = clip(ceil(experts * I_t / max_j I_j), 1, max_experts)
// The paper's exact statistic and map are not public: both are the adopted reading, and yours to replace.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct per_token_k {
  row_view<index_t const> k{};  // tokens; left out: max_experts for all
  index_t max_experts = 2;
  static constexpr key_kind keys = key_kind::rank;

  MOEROUTE_HD index_t experts_per_token() const { return max_experts; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    offset_t const wanted = k.empty() ? out.size : offset_t{k[c.row]};
    offset_t const n = wanted < 0 ? 0 : wanted < out.size ? wanted : out.size;
    take_best(g, key, row_view<Id>{out.data, n});
    for (offset_t j = n + g.rank(); j < out.size; j += g.size()) out[j] = no_expert_of<Id>;
    g.sync();
  }
  status validate_tokens(offset_t tokens) const {
    return k.empty() ? status{} : checks{}.at_least("select.k size", k.size, tokens, errc::bad_shape).result();
  }
  status validate(index_t experts) const {
    return checks{}
        .at_least("select.max_experts", max_experts, 1)
        .at_most("select.max_experts", max_experts, experts)
        .result();
  }
  void describe(text& t) const { t.add("top k of the token, at most ").add(max_experts); }
};
static_assert(token_choice<per_token_k>);

// Mean over heads and queries of the attention each token receives; rows: (head, query), columns: keys. With a
// causal mask a late token has fewer queries: each sum is divided by those that may see it.
inline void attention_received(matrix_view<float const> attention, bool causal, row_view<double> importance) {
  offset_t const tokens = attention.cols;
  for (offset_t j = 0; j < importance.size; ++j) {
    double sum = 0;
    for (offset_t i = 0; i < attention.rows; ++i) sum += static_cast<double>(attention[i][j]);
    double const heads = tokens > 0 ? static_cast<double>(attention.rows) / static_cast<double>(tokens) : 1;
    importance[j] = sum / (heads * static_cast<double>(causal ? tokens - j : tokens));
  }
}

// K_t of the map above. With a budget (> 0) the cap is lowered until the sum fits, so K_t stays monotone in I_t.
inline status k_of_importance(row_view<double const> importance, index_t experts, index_t max_experts,
                              row_view<index_t> k, offset_t budget = 0) {
  checks c;
  c.must_be("k size", k.size, importance.size).at_least("max_experts", max_experts, 1);
  if (budget > 0) c.at_least("budget (one expert a token)", budget, importance.size);
  if (!c.result().ok()) return c.result();
  double most = 0;
  for (double const x : importance) most = x > most ? x : most;
  for (index_t cap = max_experts; cap >= 1; --cap) {
    offset_t total = 0;
    for (offset_t t = 0; t < k.size; ++t) {
      double const share = most > 0 ? importance[t] / most : 1;
      double const wanted = MOEROUTE_LIBM(ceil)(static_cast<double>(experts) * share);
      k[t] = wanted > cap ? cap : wanted >= 1 ? static_cast<index_t>(wanted) : 1;
      total += k[t];
    }
    if (budget <= 0 || total <= budget) break;
  }
  return {};
}

}  // namespace moeroute::inline MOEROUTE_ABI
