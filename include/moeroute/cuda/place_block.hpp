// Decides how a block of warps places its share of the choices: it adds the counts of the shares it needs, so that shares
// need not talk, scans the aligned totals, and writes both maps and the padding.
#pragma once

#include <moeroute/cuda/count_block.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// Choices c, c + step, ... of tokens with k each, whose ids lie one after another: the token is divided for once and
// counted on from there.
template <std::integral Id>
struct walk_in_rows {
  choice_shares<Id> const& share;
  index_t c, step;
  index_t k = static_cast<index_t>(share.in.ids.cols);
  index_t token = c / k, rest = c % k, tokens_on = step / k, rest_on = step % k;

  MOEROUTE_HD Id id() const { return share.plain[c]; }
  MOEROUTE_HD index_t token_of_choice() const { return token; }
  MOEROUTE_HD void next() {
    c += step, token += tokens_on, rest += rest_on;
    if (rest >= k) rest -= k, ++token;
  }
};
// Any others: looked up one by one.
template <std::integral Id>
struct walk_looked_up {
  choice_shares<Id> const& share;
  index_t c, step;

  MOEROUTE_HD Id id() const { return share.id(c); }
  MOEROUTE_HD offset_t token_of_choice() const { return share.token_of(c); }
  MOEROUTE_HD void next() { c += step; }
};

}  // namespace detail

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
  // The capacity as a rank is compared with it; no rank comes near the largest.
  std::uint32_t most = capacity < largest<index_t> ? static_cast<std::uint32_t>(capacity) : largest<std::uint32_t>;

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
    MOEROUTE_UNROLL_BY(1)
    for (offset_t e = g.rank(); e < experts; e += g.size()) {
      std::uint32_t all = 0;
      std::uint32_t const* from = counts + e;
      auto const add = [&](offset_t how_many) {
        MOEROUTE_UNROLL_BY(8)
        for (auto n = static_cast<index_t>(how_many); n > 0; --n, from += experts) all += *from;
      };
      add(s);
      std::uint32_t const earlier = all;
      add(shares - s);
      total[e] = all;
      before[e] = earlier;
    }
    g.sync();
    if (g.index == 0) scan(g.part, experts, total, start);
    g.sync();
    if (s == 0) {
      summary(g, experts, total, start);  // seldom
    }
    MOEROUTE_UNROLL_BY(1)
    for (offset_t e = s; e < experts; e += shares) clear(g, start[e] + kept(total[e]), start[e + 1]);
    clear_beyond(g, s, start[experts]);

    auto const first = static_cast<index_t>(share.first(s)), last = first + static_cast<index_t>(share.count(s));
    if (share.plain != nullptr && share.in.offsets.size == 0) {
      place(detail::walk_in_rows<Id>{share, first + g.rank(), g.size()}, last, before, start);
    } else {
      place(detail::walk_looked_up<Id>{share, first + g.rank(), g.size()}, last, before, start);  // seldom
    }
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
    MOEROUTE_UNROLL_BY(1)
    for (offset_t e = from; e < to; ++e) own += start[e] = rows(total[e]);
    offset_t at = warp.sum_before(own);
    MOEROUTE_UNROLL_BY(1)
    for (offset_t e = from; e < to; ++e) {
      offset_t const rows_of_expert = start[e];
      start[e] = at;
      at += rows_of_expert;
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
  template <class Walk>
  MOEROUTE_HD void place(Walk walk, index_t last, std::uint32_t const* before, offset_t const* start) const {
    MOEROUTE_UNROLL_BY(1)
    for (; walk.c < last; walk.next()) {
      Id const id = walk.id();
      Slot& slot = plan.slot_of_choice[walk.c];
      if (!share.ids.is_expert(id)) {
        no_place(walk.c, id, slot);  // seldom
        continue;
      }
      auto const e = static_cast<std::uint32_t>(id);
      std::uint32_t const rank = before[e] + static_cast<std::uint32_t>(slot);
      auto const at = static_cast<Slot>(start[e] + rank);
      if (!plan.rank_of_choice.empty()) plan.rank_of_choice[walk.c] = static_cast<Slot>(rank);
      if (rank >= most) {
        slot = static_cast<Slot>(dropped_slot);  // seldom
        continue;
      }
      slot = at;
      if (!plan.token_of_slot.empty()) plan.token_of_slot[at] = static_cast<Slot>(walk.token_of_choice());
      if (!plan.choice_of_slot.empty()) plan.choice_of_slot[at] = static_cast<Slot>(walk.c);
    }
  }
  MOEROUTE_HD void no_place(index_t c, Id id, Slot& slot) const {
    slot = static_cast<Slot>(share.ids.special_slot(id));
    if (!plan.rank_of_choice.empty()) plan.rank_of_choice[c] = Slot(-1);  // seldom
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
