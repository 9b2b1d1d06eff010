// Decides how a token may ask for less: the last `nulls` columns are null experts, which return 0 and cost
// nothing. They are ranked like the rest and never carry weight. Source: AdaMoE (S065, S162).
//
//   p = softmax over E + N columns; top k; weights of the true experts divided by their sum (0 if there is none)
// Expected true experts per token at balance: k E / (E + N).
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/select/top_k.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// What stands where a null expert was chosen: its id (for loads and losses over all columns), or nobody (for
// a plan over the true experts).
enum class null_place : std::uint8_t { id, empty };

template <class Base = top_k<>>
struct null_experts {
  index_t nulls = 1;
  [[no_unique_address]] Base base{};
  null_place place = null_place::id;
  static constexpr key_kind keys = Base::keys;
  static constexpr cross_token_dependence dependence = dependence_of<Base>;

  MOEROUTE_HD index_t experts_per_token() const { return base.experts_per_token(); }
  MOEROUTE_HD bool weighs(index_t id, index_t experts) const { return id < experts - nulls; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    base(g, c, key, out);
    if (place == null_place::empty && g.rank() == 0)
      for (auto& id : out)
        if (id != no_expert_of<Id> && !weighs(static_cast<index_t>(id), key.size())) id = no_expert_of<Id>;
    g.sync();
  }
  status validate_tokens(offset_t tokens) const { return tokens_fit(base, tokens); }
  status validate(index_t experts) const {
    checks c;
    c.at_least("select.nulls", nulls, 0).at_most("select.nulls", nulls, experts - 1);
    c.also(experts_fit(base, experts));
    return c.result();
  }
  void describe(text& t) const {
    if constexpr (describes<Base>) base.describe(t);
    t.add(", the last ").add(nulls).add(" columns null");
  }
};
static_assert(token_choice<null_experts<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
