// Decides nothing anew: the stored choice of each row comes back, weights and gradients follow the current
// logits (rollout routing replay, R3, S069). Rows without a record fall back to `base`.
//
// Modes: `record` lets `base` choose and writes the choice to `trace`; `replay` reads it. A row is without a
// record where its first place holds the sentinel, where `recorded` is 0, and behind the end of `trace`. Do not move a balancing bias
// from replayed choices: they are yesterday's. Trace types: grpo/trace.hpp.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/select/top_k.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class replay_mode : std::uint8_t { record, replay };

template <class Base, std::integral TraceId>
struct replay {
  Base base{};
  matrix_view<TraceId> trace{};  // tokens x k; only read in replay
  replay_mode mode = replay_mode::replay;
  row_view<std::uint8_t const> recorded{};  // tokens, optional: 0 = fall back to base
  static constexpr key_kind keys = Base::keys;
  static constexpr cross_token_dependence dependence = dependence_of<Base>;

  MOEROUTE_HD index_t experts_per_token() const { return base.experts_per_token(); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    bool const inside = c.row < trace.rows;
    row_view<TraceId> const stored = inside ? trace[c.row] : row_view<TraceId>{};
    bool const known = mode == replay_mode::replay && inside && stored[0] != no_expert_of<TraceId> &&
                       (recorded.empty() || recorded[c.row] != 0);
    if (!known) base(g, c, key, out);
    for (offset_t j = g.rank(); j < out.size; j += g.size()) {
      if (known) out[j] = renamed<Id>(stored[j], key.size());
      else if (mode == replay_mode::record && inside) stored[j] = renamed<TraceId>(out[j], key.size());
    }
    g.sync();
  }
  status validate_tokens(offset_t tokens) const { return tokens_fit(base, tokens); }
  status validate(index_t experts) const {
    checks c;
    c.also(experts_fit(base, experts));
    c.must_be("select.trace columns", trace.cols, base.experts_per_token()).strided("select.trace", trace);
    c.empty_or("select.recorded size", recorded, trace.rows);
    auto const most = static_cast<offset_t>(largest<TraceId>) + (std::is_signed_v<TraceId> ? 1 : 0);
    return c.at_most("experts for the id type of select.trace", experts, most, errc::bad_shape).result();
  }
  void describe(text& t) const {
    t.add(mode == replay_mode::record ? "recorded: " : "replayed, else ");
    if constexpr (describes<Base>) base.describe(t);
  }

 private:
  // Another id type, the sentinel and anything out of range to the sentinel.
  template <class To, class From>
  MOEROUTE_HD static To renamed(From id, index_t experts) {
    if (id == no_expert_of<From>) return no_expert_of<To>;
    auto const n = static_cast<offset_t>(id);
    return n < 0 || n >= experts ? no_expert_of<To> : static_cast<To>(id);
  }
};
template <class B, class T>
replay(B, matrix_view<T>) -> replay<B, T>;
template <class B, class T>
replay(B, matrix_view<T>, replay_mode) -> replay<B, T>;
static_assert(token_choice<replay<>> && token_choice<replay<top_k<fixed_index<8>>, std::uint8_t>>);

}  // namespace moeroute::inline MOEROUTE_ABI
