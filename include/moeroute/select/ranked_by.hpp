// Decides by numbers from outside: the base selector ranks row t of a plan (Sinkhorn, sparse transport, a
// teacher) in place of the keys. Weights still come from the token's own scores; closed experts stay closed.
//
//   Sinkhorn token choice (S088, P37): ids = top k of the plan, weights = sigmoid or softmax of the logits
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/select/top_k.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class Base = top_k<>, class P = float>
struct ranked_by {
  matrix_view<P const> plan{};  // tokens x experts
  [[no_unique_address]] Base base{};
  static constexpr key_kind keys = key_kind::rank;
  static constexpr cross_token_dependence dependence = cross_token_dependence::whole_batch;  // as the plan

  MOEROUTE_HD index_t experts_per_token() const { return base.experts_per_token(); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    using V = typename Row::value_type;
    row_view<P const> const mine = plan[c.row];
    base(g, c, mapped_row{key, [=](index_t e, V x) { return x > -infinity<V> ? static_cast<V>(mine[e]) : x; }}, out);
  }
  status validate_tokens(offset_t tokens) const {
    return checks{}
        .at_least("select.plan rows", plan.rows, tokens, errc::bad_shape)
        .also(tokens_fit(base, tokens))
        .result();
  }
  status validate(index_t experts) const {
    checks c;
    c.must_be("select.plan columns", plan.cols, experts).strided("select.plan", plan);
    c.also(experts_fit(base, experts));
    return c.result();
  }
  void describe(text& t) const {
    if constexpr (describes<Base>) base.describe(t);
    t.add(" of a given plan in place");
  }
};
static_assert(token_choice<ranked_by<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
