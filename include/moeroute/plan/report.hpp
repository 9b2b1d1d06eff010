// Decides what a plan says of itself: the memory its layouts take, known before anything is allocated, and
// where in their sequences tokens were dropped (OpenMoE, S124: position priority drops towards the end).
#pragma once

#include <moeroute/plan/kept_weights.hpp>
#include <moeroute/plan/limited.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Bytes of the grouped rows: at most, for either layout under a rule, and of a plan that is made.
constexpr offset_t grouped_bytes_bound(capacity_rule const& rule, row_layout rows, capacity_sizes const& sizes,
                                       offset_t width, offset_t element_bytes, index_t segments = 1,
                                       offset_t align = 1) {
  return limited_rows_bound(rule, rows, sizes, segments, align) * width * element_bytes;
}
template <std::signed_integral Slot>
constexpr offset_t grouped_bytes(plan_view<Slot> const& plan, offset_t width, offset_t element_bytes) {
  return plan.offsets[plan.experts()] * width * element_bytes;
}

// chosen[p] += choices of tokens at position p, dropped[p] += those that were dropped. Positions outside the
// arrays are left out. Sums of calls are the sums of batches; on the host.
template <std::signed_integral Slot>
status try_add_drops_by_position(plan_view<Slot> const& plan, row_view<index_t const> position,
                                 row_view<offset_t> chosen, row_view<offset_t> dropped) noexcept {
  checks c;
  detail::check_plan_in_use(serial{}, c, plan);
  c.must_be("position size", position.size, plan.choices.tokens).must_be("dropped size", dropped.size, chosen.size);
  if (!c.result().ok()) return c.result();
  for (offset_t t = 0; t < plan.choices.tokens; ++t) {
    index_t const p = position[t];
    if (p < 0 || p >= chosen.size) continue;
    for (offset_t i = plan.choices.first(t); i < plan.choices.last(t); ++i) {
      offset_t const slot = plan.slot_of_choice[i];
      if (slot != no_slot) ++chosen[p];
      if (slot == dropped_slot) ++dropped[p];
    }
  }
  return {};
}
template <std::signed_integral Slot>
void add_drops_by_position(plan_view<Slot> const& plan, row_view<index_t const> position, row_view<offset_t> chosen,
                           row_view<offset_t> dropped) {
  throw_if_bad(try_add_drops_by_position(plan, position, chosen, dropped));
}

}  // namespace moeroute::inline MOEROUTE_ABI
