// Decides how a block of warps places its share of the choices: it adds the counts of the shares it needs, so that shares
// need not talk, scans the aligned totals, and writes both maps and the padding.
#pragma once

#include <moeroute/cuda/count_block.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <std::integral Id, std::signed_integral Slot>
struct place_block {
  static constexpr bool long_rows = true;
  detail::choice_shares<Id> share;
  offset_t shares;
  offset_t align;
  std::uint32_t const* counts;            // shares x experts
  offset_t const* odd;                    // shares
  plan_view<Slot> plan;                   // slot_of_choice holds the ranks of count_block
  offset_t* odd_choice;                   // one number or null: the first choice with an id that nobody knows, or -1
  offset_t capacity = largest<offset_t>;  // choices of an expert that get a row: the first of its queue
  bool fixed_rows = false;                // every expert has rows for its capacity

  offset_t scratch_bytes() const {
    offset_t const experts = share.ids.experts;
    return 2 * aligned_bytes<std::uint32_t>(experts) + aligned_bytes<offset_t>(experts + 1);
  }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch memory) const {
    offset_t const experts = share.ids.experts;
    auto* const total = memory.take<std::uint32_t>(experts);   // choices of an expert
    auto* const before = memory.take<std::uint32_t>(experts);  // of these, in earlier shares
    auto* const start = memory.take<offset_t>(experts + 1);    // its first slot
    for (offset_t e = g.rank(); e < experts; e += g.size()) {
      std::uint32_t all = 0, earlier = 0;
      for (offset_t q = 0; q < shares; ++q) {
        std::uint32_t const c = counts[q * experts + e];
        all += c;
        earlier += q < s ? c : 0u;
      }
      total[e] = all;
      before[e] = earlier;
    }
    g.sync();
    if (g.index == 0) scan(g.part, experts, total, start);
    g.sync();
    if (s == 0) summary(g, experts, total, start);
    for (offset_t e = s; e < experts; e += shares) clear(g, start[e] + kept(total[e]), start[e + 1]);
    clear_beyond(g, s, start[experts]);

    offset_t const first = share.first(s), last = first + share.count(s);
    for (offset_t c = first + g.rank(); c < last; c += g.size()) place(c, before, start);
    g.sync();
  }

 private:
  MOEROUTE_HD offset_t kept(std::uint32_t count) const { return count < capacity ? count : capacity; }
  MOEROUTE_HD offset_t rows(std::uint32_t count) const { return round_up(fixed_rows ? capacity : kept(count), align); }
  // A run of experts a lane; one scan over the lanes.
  template <class W>
  MOEROUTE_HD void scan(W const& warp, offset_t experts, std::uint32_t const* total, offset_t* start) const {
    offset_t const run = (experts + W::static_lanes - 1) / W::static_lanes;
    offset_t const from = warp.rank() * run < experts ? warp.rank() * run : experts;
    offset_t const to = from + run < experts ? from + run : experts;
    offset_t own = 0;
    for (offset_t e = from; e < to; ++e) own += rows(total[e]);
    offset_t at = warp.sum_before(own);
    for (offset_t e = from; e < to; ++e) {
      start[e] = at;
      at += rows(total[e]);
    }
    if (warp.rank() == W::static_lanes - 1) start[experts] = at;
  }
  template <class G>
  MOEROUTE_HD void summary(G const& g, offset_t experts, std::uint32_t const* total, offset_t const* start) const {
    for (offset_t e = g.rank(); e < experts; e += g.size()) {
      if (!plan.counts.empty()) plan.counts[e] = total[e];
      if (!plan.kept.empty()) plan.kept[e] = kept(total[e]);
      plan.offsets[e] = start[e];
    }
    if (g.rank() != 0) return;
    plan.offsets[experts] = start[experts];
    if (odd_choice == nullptr) return;
    offset_t found = largest<offset_t>;
    for (offset_t q = 0; q < shares; ++q) found = odd[q] < found ? odd[q] : found;
    *odd_choice = found == largest<offset_t> ? -1 : found;
  }
  template <class G>
  MOEROUTE_HD void clear(G const& g, offset_t from, offset_t to) const {
    for (offset_t slot = from + g.rank(); slot < to; slot += g.size()) {
      if (!plan.token_of_slot.empty()) plan.token_of_slot[slot] = Slot(-1);
      if (!plan.choice_of_slot.empty()) plan.choice_of_slot[slot] = Slot(-1);
    }
  }
  template <class G>
  MOEROUTE_HD void clear_beyond(G const& g, offset_t s, offset_t used) const {
    offset_t const first = used + s * g.size() + g.rank(), step = shares * g.size();
    for (offset_t slot = first; slot < plan.token_of_slot.size; slot += step) plan.token_of_slot[slot] = Slot(-1);
    for (offset_t slot = first; slot < plan.choice_of_slot.size; slot += step) plan.choice_of_slot[slot] = Slot(-1);
  }
  MOEROUTE_HD void place(offset_t c, std::uint32_t const* before, offset_t const* start) const {
    Id const id = share.id(c);
    std::uint32_t const e = share.expert(id);
    if (e == static_cast<std::uint32_t>(share.ids.experts)) {
      plan.slot_of_choice[c] = static_cast<Slot>(share.ids.special_slot(id));
      if (!plan.rank_of_choice.empty()) plan.rank_of_choice[c] = Slot(-1);
      return;
    }
    offset_t const rank = static_cast<offset_t>(before[e]) + plan.slot_of_choice[c], slot = start[e] + rank;
    bool const fits = rank < capacity;
    plan.slot_of_choice[c] = static_cast<Slot>(fits ? slot : dropped_slot);
    if (!plan.rank_of_choice.empty()) plan.rank_of_choice[c] = static_cast<Slot>(rank);
    if (!fits) return;
    if (!plan.token_of_slot.empty()) plan.token_of_slot[slot] = static_cast<Slot>(share.token_of(c));
    if (!plan.choice_of_slot.empty()) plan.choice_of_slot[slot] = static_cast<Slot>(c);
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
