// Decides how a block routes its share of the tokens and counts what it chose: the gate with rows in registers, then
// count_block over the same share, so that a plan needs one launch more. Counts, ranks and the plan are those of
// count_block on the finished ids.
#pragma once

#include <moeroute/cuda/plan_blocks.hpp>
#include <moeroute/cuda/register_rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class Gate, class Count>
struct route_and_count {
  static constexpr bool long_rows = true;
  Gate gate;
  Count count;
  offset_t rows_of_block;  // at work at a time, at most
  offset_t row_bytes;      // of scratch

  offset_t scratch_bytes() const {
    offset_t const rows = rows_of_block * row_bytes, counts = count.scratch_bytes();
    return rows > counts ? rows : counts;
  }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch memory) const {
    constexpr index_t a_warp = std::remove_cvref_t<decltype(g.part)>::static_lanes / Gate::lanes;
    auto const part = part_of<Gate::lanes>(g.part);
    offset_t const k = gate.plain.out.ids.cols;
    offset_t const first = count.share.first(s) / k, last = first + count.share.count(s) / k;
    offset_t const mine = g.index * a_warp + g.part.rank() / Gate::lanes;
    scratch const own{memory.at + mine * row_bytes};
    for (offset_t t = first; t < last; t += g.parts * a_warp)
      gate(part, t + mine < last ? t + mine : last - 1, own, t + mine < last);
    g.sync();
    count(g, s, memory);
  }
};

// Joins a gate with the counts of a plan.
template <class Gate>
struct routing_before {
  Gate gate;
  index_t warps_of_block, warp;
  offset_t choices_together = gate.plain.out.ids.cols;
  template <class Count>
  route_and_count<Gate, Count> operator()(Count const& count) const {
    return {gate, count, offset_t{warps_of_block} * (warp / Gate::lanes),
            aligned_bytes<std::byte>(gate.scratch_bytes())};
  }
};

// route and make_plan (without a capacity) in two launches, for an executor that gives every row a joined group of
// `warps_of_block` parts of `warp` lanes. errc::unsupported where rows in registers do not serve this router.
template <index_t Lanes, index_t Experts = 0, executor X, token_choice_router R, class T, class H, class Id, class W,
          std::signed_integral Slot>
status route_and_plan_by_blocks(X const& x, index_t warps_of_block, index_t warp, R const& r, batch<T, H> const& in,
                                routing_view<Id, W> out, plan_options const& options, plan_view<Slot>& plan,
                                workspace w, offset_t* odd_choice) noexcept {
  using gate = route_in_registers<R, T, H, Id, W, Lanes, Experts>;
  if (status const s = validate(r, in, out); !s.ok()) return s;
  if constexpr (gate::possible) {
    auto const fast = gate::of({r, in, out});
    if (fast.serves())
      return plan_by_blocks(x, warps_of_block,
                            choices_view<Id>{.ids = {out.ids.data, out.ids.rows, out.ids.cols, out.ids.stride}},
                            static_cast<index_t>(in.logits.cols), options, plan, w, odd_choice, largest<offset_t>,
                            false, routing_before<gate>{fast, warps_of_block, warp});
  }
  return {errc::unsupported, "experts or k (rows in registers do not serve this router)", "must be at most",
          in.logits.cols, 1024};
}

}  // namespace moeroute::inline MOEROUTE_ABI
