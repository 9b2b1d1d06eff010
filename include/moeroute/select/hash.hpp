// Decides by the token's id alone: ids = table[vocabulary id]. The text around it does not matter.
//
//   Hash Layers (S121):  k = 1, weight 1, no parameter and no gradient     (weigh constant_weight)
//   DeepSeek-V4 (P09):   fixed ids, learned weights: score at those ids, renormalized, scaled
// Builders of tables: hash_tables.hpp.
#pragma once

#include <moeroute/concepts.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct hash_choice {
  matrix_view<index_t const> table{};       // vocabulary x k; no_expert allowed
  row_view<index_t const> vocabulary_id{};  // tokens
  static constexpr key_kind keys = key_kind::rank;

  MOEROUTE_HD index_t experts_per_token() const { return static_cast<index_t>(table.cols); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    offset_t const v = vocabulary_id[c.row];
    for (offset_t j = g.rank(); j < out.size; j += g.size()) {
      index_t const e = v >= 0 && v < table.rows ? table[v][j] : no_expert;
      out[j] = e >= 0 && e < key.size() ? static_cast<Id>(e) : no_expert_of<Id>;
    }
    g.sync();
  }
  status validate_tokens(offset_t tokens) const {
    return checks{}.at_least("select.vocabulary_id size", vocabulary_id.size, tokens, errc::bad_shape).result();
  }
  status validate(index_t) const {
    return checks{}.at_least("select.table columns", table.cols, 1).strided("select.table", table).result();
  }
  void describe(text& t) const { t.add(experts_per_token()).add(" by a table of the token's id"); }
};

// The same weight for every chosen expert, whatever its score; no gradient. Sources: Hash Layers, THOR.
struct constant_weight {
  float value = 1;
  static constexpr bool takes_vectors = true;
  template <class V>
  MOEROUTE_HD void operator()(row_view<V> w) const {
    for (auto& x : w) x = V(value);
  }
  template <class V>
  MOEROUTE_HD void backward(row_view<V const>, row_view<V> d) const {
    for (auto& x : d) x = 0;
  }
  void describe(text& t) const { t.add("always ").add(value); }
};

static_assert(token_choice<hash_choice> && differentiable_weigh<constant_weight>);

}  // namespace moeroute::inline MOEROUTE_ABI
