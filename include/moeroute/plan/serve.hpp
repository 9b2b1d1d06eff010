// Decides how lines of choices are served under limits: the rank of each, whether it fits, and its slot, in the order of
// the line or in that of the tokens.
#pragma once

#include <moeroute/plan/queue.hpp>
#include <moeroute/plan/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

struct limits {
  offset_t* load;      // segments x experts: choices
  offset_t* start;     // segments x experts: slot of rank 0
  offset_t* capacity;  // segments
  offset_t* tokens;    // segments: valid tokens
};

template <std::signed_integral Slot>
MOEROUTE_HD void fill_slot(plan_view<Slot> const& plan, offset_t slot, offset_t t, offset_t c) {
  if (!plan.token_of_slot.empty()) plan.token_of_slot[slot] = static_cast<Slot>(t);
  if (!plan.choice_of_slot.empty()) plan.choice_of_slot[slot] = static_cast<Slot>(c);
}

// Serves the line: rank, slot, and (in the order of the line) the maps.
template <std::integral Id, std::signed_integral Slot>
struct serve_choices {
  choices_view<Id> in;
  id_ranges ids;
  plan_view<Slot> plan;
  queue_line line;
  limits limit;
  offset_t shares;
  offset_t* table;  // rank of the next choice of a cell in this share
  bool in_order;    // slots follow the line; otherwise kept choices are only marked, with 0

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    offset_t const cells = line.cells(ids.experts);
    offset_t* const next = table + s * (cells + 1);
    line.each(in, s, shares, [&](offset_t t, offset_t c, Id id) {
      if (!ids.is_expert(id)) {
        if (!owns(g, cells)) return;
        plan.slot_of_choice[c] = static_cast<Slot>(ids.special_slot(id));
        if (!plan.rank_of_choice.empty()) plan.rank_of_choice[c] = Slot(-1);
        return;
      }
      offset_t const i = line.cell(t, static_cast<index_t>(id), ids.experts);
      if (!owns(g, i)) return;
      offset_t const rank = next[i]++;
      if (!plan.rank_of_choice.empty()) plan.rank_of_choice[c] = static_cast<Slot>(rank);
      bool const fits = rank < limit.capacity[line.segment_of(t)];
      offset_t const slot = !fits ? dropped_slot : in_order ? limit.start[i] + rank : 0;
      plan.slot_of_choice[c] = static_cast<Slot>(slot);
      if (fits && in_order) fill_slot(plan, slot, t, c);
    });
    g.sync();
  }
};

// Gives marked choices their slots in the order of the tokens; counts them first where `placing` is off.
template <std::integral Id, std::signed_integral Slot>
struct place_marked {
  choices_view<Id> in;
  id_ranges ids;
  plan_view<Slot> plan;
  queue_line line;  // only its cells are read
  bool by_segment;  // fixed rows: every segment has its own part of an expert's rows
  bool placing;
  offset_t shares;
  offset_t* table;  // counts, or the next slot of a cell in this share

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    offset_t const cells = line.cells(ids.experts);
    offset_t* const next = table + s * (cells + 1);
    if (!placing)
      for (offset_t i = g.rank(); i <= cells; i += g.size()) next[i] = 0;
    g.sync();
    token_major{}.each(in, s, shares, [&](offset_t t, offset_t c, Id id) {
      if (!ids.is_expert(id)) return;
      index_t const e = static_cast<index_t>(id);
      offset_t const i = by_segment ? line.cell(t, e, ids.experts) : e;
      if (!owns(g, i) || plan.slot_of_choice[c] < 0) return;
      offset_t const slot = next[i]++;
      if (!placing) return;
      plan.slot_of_choice[c] = static_cast<Slot>(slot);
      fill_slot(plan, slot, t, c);
    });
    g.sync();
  }
};

// Counts of shares become the first number of each share, from `first` on; returns the total.
inline offset_t spread_over_shares(offset_t* table, offset_t stride, offset_t shares, offset_t first) {
  offset_t at = first;
  for (offset_t s = 0; s < shares; ++s) {
    offset_t const n = table[s * stride];
    table[s * stride] = at;
    at += n;
  }
  return at - first;
}

}  // namespace detail

}  // namespace moeroute::inline MOEROUTE_ABI
