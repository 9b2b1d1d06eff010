// Decides by chance alone: k experts uniformly at random for each token, each sequence, or the whole batch, among
// those that are open. Source: THOR (S090): training draws one expert for the batch, evaluation one a token or
// sequence; weights are constant, and there is no router to train.
// The agreement of two passes: loss/symmetric_kl.hpp.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>
#include <moeroute/core/philox.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class draw_for_each : std::uint8_t { token, sequence, batch };

template <class K = index_t>
struct uniform_random {
  [[no_unique_address]] K k{};
  draw_for_each unit = draw_for_each::token;
  draws random{.purpose = 0x54484F52};  // a new step, a new draw
  static constexpr key_kind keys = key_kind::rank;

  MOEROUTE_HD index_t experts_per_token() const { return k; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    using V = typename Row::value_type;
    offset_t const who = unit == draw_for_each::token ? c.token : unit == draw_for_each::sequence ? c.sequence : 0;
    auto const luck = mapped_row{key, [=, this](index_t e, V) { return random.template uniform<V>(who, e); }};
    take_best(g, luck, out, [&](index_t e) { return key.at(e) > -infinity<V>; });
  }
  status validate(index_t experts) const {
    return checks{}.at_least("select.k", k, 1).at_most("select.k", k, experts).result();
  }
  void describe(text& t) const {
    t.add(static_cast<index_t>(k)).add(" at random for each ");
    t.add(unit == draw_for_each::token ? "token" : unit == draw_for_each::sequence ? "sequence" : "batch");
  }
};
static_assert(token_choice<uniform_random<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
