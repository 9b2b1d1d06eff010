// Decides how blocks of warps make a plan: count_block, then place_block, the same plan as plan/make.hpp on the CPU. Rows
// of work are shares of the choices, one a block; the executor waits for all of them in between.
#pragma once

#include <moeroute/cuda/place_block.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// How choices are cut: shares of at least 512, so few that all their counts are read by every share at
// little cost (shares^2 * experts numbers), and warps whose counters fit in 48 KB, one at least.
struct plan_cut {
  offset_t shares;
  offset_t per_share;
  index_t warps;

  static constexpr offset_t least_share = 512, most_shares = 132;
  static constexpr offset_t shares_bound(index_t experts) {
    offset_t n = most_shares;
    while (n > 1 && n * n * experts > (offset_t{1} << 23)) --n;
    return n;
  }
  static constexpr plan_cut of(offset_t choices, index_t experts, index_t warps_of_block) {
    offset_t const bound = shares_bound(experts);
    offset_t const even = (choices + bound - 1) / bound, per_share = even > least_share ? even : least_share;
    offset_t const room = 48 * 1024 / (offset_t{4} * experts);
    index_t const warps = room >= warps_of_block ? warps_of_block : (room < 1 ? 1 : static_cast<index_t>(room));
    offset_t const shares = (choices + per_share - 1) / per_share;
    return {shares < 1 ? 1 : shares, per_share, warps};
  }
  // The same with `together` choices never apart: no more shares.
  constexpr plan_cut of_whole(offset_t together, offset_t choices) const {
    offset_t const each = (per_share + together - 1) / together * together, n = (choices + each - 1) / each;
    return {n < 1 ? 1 : n, each, warps};
  }
};

template <executor X>
offset_t plan_by_blocks_workspace_bytes(X const& x, index_t experts, index_t warps_of_block) {
  offset_t const shares = plan_cut::shares_bound(experts);
  offset_t const warps = plan_cut::of(0, experts, warps_of_block).warps;
  offset_t const count = aligned_bytes<std::uint32_t>(warps * experts);
  offset_t const place = 2 * aligned_bytes<std::uint32_t>(experts) + aligned_bytes<offset_t>(offset_t{experts} + 1);
  return workspace_alignment + aligned_bytes<std::uint32_t>(shares * experts) + aligned_bytes<offset_t>(shares) +
         x.workspace_bytes(count > place ? count : place);
}

// What runs before the places: the counts alone, or joined with what writes the ids (cuda/route_and_count.hpp).
struct counts_alone {
  static constexpr offset_t choices_together = 1;  // that stay in one share
  template <class Count>
  Count operator()(Count const& count) const {
    return count;
  }
};

// make_plan for an executor that gives every row a joined group of `warps_of_block` parts. Nothing is read
// on the host. An id that nobody knows counts as no expert; `odd_choice` (one number, or null) receives
// the first such choice, or -1. With a capacity, choices beyond it in the order of the tokens are dropped.
template <executor X, std::integral Id, std::signed_integral Slot, class First = counts_alone>
status plan_by_blocks(X const& x, index_t warps_of_block, choices_view<Id> const& in, index_t experts,
                      plan_options const& options, plan_view<Slot>& plan, workspace w, offset_t* odd_choice,
                      offset_t capacity = largest<offset_t>, bool fixed_rows = false,
                      First const& first = {}) noexcept {
  id_ranges const ids{experts, options.identity, options.null};
  plan.choices = in.shape();
  bool const ragged = plan.choices.ragged();
  offset_t const choices = ragged ? in.ids.cols : in.ids.rows * in.ids.cols;
  checks c;
  c.at_least("experts", experts, 1).at_least("plan.align", options.align, 1);
  c.at_least("plan.identity", ids.identity, 0).at_least("plan.null", ids.null, 0);
  c.empty_or("choices.valid size", in.valid, plan.choices.tokens).strided("choices.ids", in.ids);
  if (ragged) c.must_be("choices.ids rows of ragged choices", in.ids.rows, 1);
  c.at_most("choices of a plan on a device", choices, largest<index_t>, errc::unsupported);
  if (!c.result().ok()) return c.result();
  offset_t const all_rows = plan_rows_bound(choices, experts, options.align);
  offset_t const most = fixed_rows || capacity < choices ? capacity : choices;
  if (fixed_rows) c.at_most("capacity (of fixed rows)", capacity, (offset_t{1} << 60) / experts);
  if (!c.result().ok()) return c.result();
  offset_t const limited = experts * round_up(most, options.align);
  c.also(detail::check_plan(plan, choices, experts, fixed_rows || limited < all_rows ? limited : all_rows));
  c.also(workspace_ok(w, plan_by_blocks_workspace_bytes(x, experts, warps_of_block)));
  if (!c.result().ok()) return c.result();

  plan_cut const cut = plan_cut::of(choices, experts, warps_of_block).of_whole(first.choices_together, choices);
  scratch mine = aligned_scratch(w);
  auto* const counts = mine.take<std::uint32_t>(cut.shares * experts);
  auto* const odd = mine.take<offset_t>(cut.shares);
  workspace const rest{mine.at, w.data + w.bytes - mine.at};
  detail::choice_shares<Id> const share{in, ids, choices, cut.per_share};
  count_block<Id, Slot> const count{share, cut.warps, counts, odd, plan.slot_of_choice.data};
  place_block<Id, Slot> const place{share, cut.shares, options.align, counts,    odd,
                                    plan,  odd_choice, capacity,      fixed_rows};
  return run_both(x, cut.shares, first(count), place, rest);
}

// make_plan under a capacity, for what blocks serve: one queue an expert, in the order of the tokens, and a
// formula whose numbers are known on the host.
template <executor X, std::integral Id, element P, std::signed_integral Slot>
status limited_plan_by_blocks(X const& x, index_t warps_of_block, choices_view<Id> const& in, index_t experts,
                              plan_options const& options, capacity_options<P> const& limit, plan_view<Slot>& plan,
                              workspace w, offset_t* odd_choice) noexcept {
  auto const formula = limit.rule.formula;
  checks c;
  c.also(limit.rule.validate()).at_least("experts", experts, 1);
  c.must_be("capacity.queue.order on a device", static_cast<offset_t>(limit.queue.order),
            static_cast<offset_t>(queue_order::position), errc::unsupported);
  c.must_be("capacity.segments on a device", limit.segments, 1, errc::unsupported);
  c.must_be("capacity.segment size on a device", limit.segment.size, 0, errc::unsupported);
  c.must_be("capacity.before size on a device", limit.before.size, 0, errc::unsupported);
  bool const without = formula == capacity_formula::unlimited;
  if (formula != capacity_formula::given && !without)
    c.must_be("choices.valid size on a device (with a formula; count the tokens and give the slots)", in.valid.size, 0,
              errc::unsupported);
  if (formula == capacity_formula::tutel && !(limit.rule.factor > 0))
    c.must_be("capacity.factor on a device is above 0 (0: no, 1: yes)", 0, 1, errc::unsupported);
  bool const fixed_rows = limit.rows == row_layout::fixed;
  if (fixed_rows && without) c.must_be("capacity.formula (fixed rows need a capacity)", 0, 1, errc::bad_value);
  if (!c.result().ok()) return c.result();
  bool const ragged = in.offsets.size != 0;
  capacity_sizes const sizes{ragged ? in.offsets.size - 1 : in.ids.rows,
                             ragged ? in.ids.cols : in.ids.rows * in.ids.cols, experts, 0};
  return plan_by_blocks(x, warps_of_block, in, experts, options, plan, w, odd_choice, capacity(limit.rule, sizes),
                        fixed_rows);
}

}  // namespace moeroute::inline MOEROUTE_ABI
