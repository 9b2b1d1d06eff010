// Decides how choices are counted, ranked and placed. Integers only, no atomics: the same plan for any executor.
//
//   rank_c = #{choices of e before this one in its share of the tokens}     while each share counts
//   slot_c = first slot of e in the share + rank_c                          after a prefix over the counts
//
// The second pass waits for no count, and its choices can be placed in any order. Where ranks are counted, a lane owns
// the experts e = rank, rank + size, ... and walks all choices of its share.
#pragma once

#include <moeroute/plan/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Which ids a plan knows: [0, experts) are experts; then come identity experts, then null experts; and
// no_expert. Anything else is an error.
struct id_ranges {
  index_t experts = 0;
  index_t identity = 0;
  index_t null = 0;

  MOEROUTE_HD constexpr offset_t known() const { return static_cast<offset_t>(experts) + identity + null; }
  template <std::integral Id>
  MOEROUTE_HD constexpr bool is_expert(Id id) const {
    using U = std::make_unsigned_t<Id>;
    if constexpr (sizeof(Id) < sizeof(index_t))
      return static_cast<index_t>(static_cast<U>(id)) < experts && id >= Id(0);
    else return static_cast<U>(id) < static_cast<U>(experts);
  }
  template <std::integral Id>
  MOEROUTE_HD constexpr bool is_known(Id id) const {
    return id == no_expert_of<Id> || static_cast<std::uint64_t>(id) < static_cast<std::uint64_t>(known());
  }
  // The slot of a choice that is no expert's.
  template <std::integral Id>
  MOEROUTE_HD constexpr offset_t special_slot(Id id) const {
    return id != no_expert_of<Id> && static_cast<std::uint64_t>(id) <
                                         static_cast<std::uint64_t>(experts) + static_cast<std::uint64_t>(identity)
               ? identity_slot
               : no_slot;
  }
};

namespace detail {

// Share s of n: [first, last), in order, sizes differ by at most one.
struct share_range {
  offset_t first, last;
};
MOEROUTE_HD constexpr share_range share_range_of(offset_t size, offset_t s, offset_t n) {
  offset_t const base = size / n, extra = size % n, first = s * base + (s < extra ? s : extra);
  return {first, first + base + (s < extra ? 1 : 0)};
}

template <class G>
MOEROUTE_HD constexpr bool owns(G const& g, offset_t e) {
  if constexpr (is_serial<G>) return true;
  else return e % g.size() == g.rank();
}

// visit(t, c, id, n) for the choices of token t, the first of which is c; a padding token shows no_expert.
template <std::integral Id, class F>
MOEROUTE_HD void visit_token(choices_view<Id> const& in, choice_shape const& shape, offset_t t, F&& visit) {
  offset_t const c = shape.first(t), n = shape.last(t) - c;
  if (in.is_valid(t)) return visit(t, c, values_of(in.ids, shape, t), n);
  Id const none = no_expert_of<Id>;
  for (offset_t j = 0; j < n; ++j) visit(t, c + j, &none, offset_t{1});
}
// The plainest line of choices, token by token: each() visits a part of it in runs, which may go through many tokens
// (t is then the first). What has a count of its own is a cell, here an expert.
struct token_major {
  MOEROUTE_HD constexpr offset_t cells(index_t experts) const { return experts; }
  MOEROUTE_HD constexpr offset_t first_cell(offset_t, index_t) const { return 0; }
  MOEROUTE_HD constexpr offset_t length(choice_shape const& shape) const { return shape.tokens; }
  template <std::integral Id, class F>
  MOEROUTE_HD void each(choices_view<Id> const& in, share_range mine, F&& visit) const {
    choice_shape const shape = in.shape();
    if (in.valid.empty() && (shape.ragged() || in.ids.stride == shape.k)) {  // no gaps: one run
      offset_t const c = shape.first(mine.first);
      return visit(mine.first, c, in.ids.data + c, shape.first(mine.last) - c);
    }
    for (offset_t t = mine.first; t < mine.last; ++t) visit_token(in, shape, t, visit);
  }
};

// slot[j] = what(j) for the j of one lane, four at a time: stores to the same line are cheaper side by side.
template <class G, class Slot, class F>
MOEROUTE_HD void fill_by_fours(G const& g, Slot* slot, offset_t n, F const& what) {
  offset_t j = g.rank();
  if constexpr (is_serial<G>)
    for (; j + 4 <= n; j += 4) {
      Slot const a = what(j), b = what(j + 1), c = what(j + 2), d = what(j + 3);
      slot[j] = a, slot[j + 1] = b, slot[j + 2] = c, slot[j + 3] = d;
    }
  for (; j < n; j += g.size()) slot[j] = what(j);
}

// The ranks of a run of choices in slot[0 .. n): how many of their expert came before, which `count` knows and counts
// on; without an expert the slot that says so, and odd[0], odd[1] if it is an id that nobody knows.
template <class G, std::integral Id, std::signed_integral Slot>
MOEROUTE_HD void rank_run(G const& g, id_ranges ids, Id const* id, offset_t n, offset_t* count, Slot* slot,
                          offset_t* odd) {
  auto const rank = [&](offset_t j) {
    if (ids.is_expert(id[j])) return static_cast<Slot>(count[static_cast<index_t>(id[j])]++);
    if (odd[0] == 0 && !ids.is_known(id[j])) odd[0] = 1, odd[1] = static_cast<offset_t>(id[j]);
    return static_cast<Slot>(ids.special_slot(id[j]));
  };
  if constexpr (is_serial<G>) return fill_by_fours(g, slot, n, rank);
  for (offset_t j = 0; j < n; ++j)
    if (owns(g, ids.is_expert(id[j]) ? static_cast<offset_t>(id[j]) : ids.experts)) slot[j] = rank(j);
}

}  // namespace detail

// table[s]: how many choices each cell has in share s; slot_of_choice: the rank of each choice among them, or where it
// has no expert what says so. odd[2 s]: share s met an id it does not know, odd[2 s + 1] which.
template <std::integral Id, std::signed_integral Slot, class Line = detail::token_major>
struct rank_share {
  choices_view<Id> in;
  id_ranges ids;
  offset_t shares;
  offset_t* table;  // shares x cells
  offset_t* odd;    // shares x 2
  Slot* slot_of_choice;
  Line line{};

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    rank_share const my = *this;  // a copy: counts are written through pointers that could point here
    offset_t const cells = my.line.cells(my.ids.experts);
    offset_t *const count = my.table + s * cells, *const odd_here = my.odd + 2 * s;
    for (offset_t i = g.rank(); i < cells; i += g.size()) count[i] = 0;
    if (g.rank() == 0) *odd_here = 0;
    g.sync();
    detail::share_range const mine = detail::share_range_of(my.line.length(my.in.shape()), s, my.shares);
    my.line.each(my.in, mine, [&](offset_t t, offset_t c, Id const* id, offset_t n) {
      offset_t const cell = my.line.first_cell(t, my.ids.experts);
      detail::rank_run(g, my.ids, id, n, count + cell, my.slot_of_choice + c, odd_here);
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
  MOEROUTE_HD void place(G const& g, detail::share_range of_tokens, offset_t const* first_slot) const {
    choice_shape const shape = plan.choices;  // copies: slots are written through pointers that could point here
    offset_t const* const offsets = plan.offsets.data;
    Slot *const slot = plan.slot_of_choice.data, *const tokens = plan.token_of_slot.data;
    Slot *const choices = plan.choice_of_slot.data, *const ranks = plan.rank_of_choice.data;
    detail::token_major{}.each(in, of_tokens, [&](offset_t, offset_t c, Id const* id, offset_t n) {
      detail::fill_by_fours(g, slot + c, n, [&](offset_t j) {
        Slot const rank = slot[c + j];
        return rank < 0 ? rank : static_cast<Slot>(rank + first_slot[static_cast<index_t>(id[j])]);
      });
      for (offset_t j = g.rank(); ranks != nullptr && j < n; j += g.size())
        ranks[c + j] =
            slot[c + j] < 0 ? Slot(-1) : static_cast<Slot>(slot[c + j] - offsets[static_cast<index_t>(id[j])]);
    });
    g.sync();
    offset_t const first = shape.first(of_tokens.first), last = shape.first(of_tokens.last);
    if (tokens != nullptr)
      for (offset_t t = of_tokens.first + g.rank(); t < of_tokens.last; t += g.size())
        for (offset_t c = shape.first(t), end = shape.last(t); c < end; ++c)
          if (slot[c] >= 0) tokens[slot[c]] = static_cast<Slot>(t);
    if (choices != nullptr)
      for (offset_t c = first + g.rank(); c < last; c += g.size())
        if (slot[c] >= 0) choices[slot[c]] = static_cast<Slot>(c);
  }
  // -1 in both maps, from slot `first` on.
  template <class G>
  MOEROUTE_HD void mark(G const& g, offset_t first, offset_t last) const {
    for (row_view<Slot> const map : {plan.token_of_slot, plan.choice_of_slot})
      for (offset_t slot = first + g.rank(); slot < last && slot < map.size; slot += g.size()) map[slot] = Slot(-1);
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
