// Decides how the choices of a dropless plan are ranked and placed. Integers only, no atomics: the same plan for any
// executor.
//
//   rank_c = #{choices of e before this one in its share of the tokens}     while each share counts
//   slot_c = first slot of e in the share + rank_c                          after a prefix over the counts
//
// Ranks wait in slot_of_choice. The second pass waits for no count, and may place choices in any order.
#pragma once

#include <moeroute/plan/count.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// The choices of some tokens in runs: work(c, id, n) for the n choices from c on. A padding token has no id: null.
template <std::integral Id, class F>
MOEROUTE_HD MOEROUTE_INLINE void each_run(choices_view<Id> const& in, share_range tokens, F const& work) {
  choice_shape const shape = in.shape();
  bool const gaps = !in.valid.empty() || (!shape.ragged() && in.ids.stride != shape.k);
  offset_t const at_once = gaps ? 1 : tokens.last - tokens.first;
  for (offset_t t = tokens.first; t < tokens.last; t += at_once) {
    offset_t const c = shape.first(t);
    work(c, in.is_valid(t) ? values_of(in.ids, shape, t) : nullptr, shape.first(t + at_once) - c);
  }
}
// to[j] = what(j), four at a time on one lane: stores to the same line are cheaper side by side.
template <class G, class T, class F>
MOEROUTE_HD MOEROUTE_INLINE void fill_by_fours(G const& g, T* to, offset_t n, F const& what) {
  offset_t j = g.rank();
  if constexpr (is_serial<G>)
    for (; j + 4 <= n; j += 4) {
      T const a = what(j), b = what(j + 1), c = what(j + 2), d = what(j + 3);
      to[j] = a, to[j + 1] = b, to[j + 2] = c, to[j + 3] = d;
    }
  for (; j < n; j += g.size()) to[j] = what(j);
}

}  // namespace detail

// table[s][e]: how many choices of e share s has; slot_of_choice: the rank of each choice among them, or what says that
// it has no expert. odd as in count_share. A lane owns the experts e = rank, rank + size, ... and walks all choices.
template <std::integral Id, std::signed_integral Slot>
struct rank_share {
  choices_view<Id> in;
  id_ranges ids;
  offset_t shares;
  offset_t* table;  // shares x experts
  offset_t* odd;    // shares x 2
  Slot* slot_of_choice;

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    id_ranges const known = ids;  // copies: counts are written through pointers that could point here
    Slot* const slot = slot_of_choice;
    offset_t *const count = table + s * known.experts, *const strange = odd + 2 * s;
    for (offset_t e = g.rank(); e < known.experts; e += g.size()) count[e] = 0;
    if (g.rank() == 0) *strange = 0;
    g.sync();
    auto const rank = [=](Id id) {
      if (known.is_expert(id)) return static_cast<Slot>(count[static_cast<index_t>(id)]++);
      if (*strange == 0 && !known.is_known(id)) strange[0] = 1, strange[1] = static_cast<offset_t>(id);
      return static_cast<Slot>(known.special_slot(id));
    };
    auto const share = detail::share_range_of(in.shape().tokens, s, shares);
    detail::each_run(in, share, [&](offset_t c, Id const* id, offset_t n) {
      if (id == nullptr) return detail::fill_by_fours(g, slot + c, n, [](offset_t) { return Slot(no_slot); });
      if constexpr (is_serial<G>) {
        detail::fill_by_fours(g, slot + c, n, [=](offset_t j) { return rank(id[j]); });
      } else {
        for (offset_t j = 0; j < n; ++j)
          if (detail::owns(g, known.is_expert(id[j]) ? static_cast<offset_t>(id[j]) : known.experts))
            slot[c + j] = rank(id[j]);
      }
    });
    g.sync();
  }
};

// Counts of the shares become first slots, in place, and the ends of the experts behind them; counts, kept and offsets
// are written. table: (shares + 1) x experts.
template <std::signed_integral Slot>
void offsets_of_counts(plan_view<Slot> const& plan, offset_t align, offset_t shares, offset_t* table) {
  index_t const experts = plan.experts();
  offset_t slot = 0;
  for (index_t e = 0; e < experts; ++e) {
    offset_t const first = slot;
    plan.offsets[e] = first;
    for (offset_t s = 0; s < shares; ++s) {
      offset_t& entry = table[s * experts + e];
      offset_t const n = entry;
      entry = slot;
      slot += n;
    }
    table[shares * experts + e] = slot;
    if (!plan.counts.empty()) plan.counts[e] = slot - first;
    if (!plan.kept.empty()) plan.kept[e] = slot - first;
    slot = first + round_up(slot - first, align);
  }
  plan.offsets[experts] = slot;
}

// Ranks become slots, and the maps from slots back are written, padding marked: a share of the tokens, and a share of
// the experts. table: as offsets_of_counts leaves it.
template <std::integral Id, std::signed_integral Slot>
struct place_ranked {
  choices_view<Id> in;
  plan_view<Slot> plan;
  offset_t shares;
  offset_t const* table;

  static constexpr offset_t tokens_at_once = 16;  // their slots stay near until the maps are written
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    index_t const experts = plan.experts();
    detail::share_range const mine = detail::share_range_of(plan.choices.tokens, s, shares);
    for (offset_t t = mine.first; t < mine.last; t += tokens_at_once)
      place(g, {t, mine.last - t < tokens_at_once ? mine.last : t + tokens_at_once}, table + s * experts);
    detail::share_range const some = detail::share_range_of(experts, s, shares);
    for (offset_t e = some.first; e < some.last; ++e) mark(g, table[shares * experts + e], plan.offsets[e + 1]);
    if (s + 1 == shares) mark(g, plan.offsets[experts], largest<offset_t>);
    g.sync();
  }

 private:
  template <class G>
  MOEROUTE_HD void place(G const& g, detail::share_range some, offset_t const* first_slot) const {
    choice_shape const shape = plan.choices;  // copies: slots are written through pointers that could point here
    offset_t const* const offsets = plan.offsets.data;
    Slot *const slots = plan.slot_of_choice.data, *const tokens = plan.token_of_slot.data;
    Slot *const choices = plan.choice_of_slot.data, *const ranks = plan.rank_of_choice.data;
    detail::each_run(in, some, [&](offset_t c, Id const* id, offset_t n) {
      Slot* const slot = slots + c;
      detail::fill_by_fours(g, slot, n, [=](offset_t j) {
        return slot[j] < 0 ? slot[j] : static_cast<Slot>(slot[j] + first_slot[static_cast<index_t>(id[j])]);
      });
      if (ranks != nullptr)
        detail::fill_by_fours(g, ranks + c, n, [=](offset_t j) {
          return slot[j] < 0 ? Slot(-1) : static_cast<Slot>(slot[j] - offsets[static_cast<index_t>(id[j])]);
        });
    });
    g.sync();
    if (tokens != nullptr)
      for (offset_t t = some.first + g.rank(); t < some.last; t += g.size())
        for (offset_t c = shape.first(t), end = shape.last(t); c < end; ++c)
          if (slots[c] >= 0) tokens[slots[c]] = static_cast<Slot>(t);
    if (choices != nullptr)
      for (offset_t c = shape.first(some.first) + g.rank(), end = shape.first(some.last); c < end; c += g.size())
        if (slots[c] >= 0) choices[slots[c]] = static_cast<Slot>(c);
  }
  // -1 in both maps, from slot `first` on.
  template <class G>
  MOEROUTE_HD void mark(G const& g, offset_t first, offset_t last) const {
    mark(g, plan.token_of_slot, first, last);
    mark(g, plan.choice_of_slot, first, last);
  }
  template <class G>
  MOEROUTE_HD static void mark(G const& g, row_view<Slot> map, offset_t first, offset_t last) {
    for (offset_t slot = first + g.rank(); slot < last && slot < map.size; slot += g.size()) map[slot] = Slot(-1);
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
