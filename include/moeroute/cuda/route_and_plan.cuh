// Decides how route and make_plan run as two launches on a GPU: blocks of 16 warps route a share of the tokens with rows
// in registers and count it (cuda/route_and_count.hpp), then the plan is placed. The same ids, weights and plan.
//
//   route_and_plan(on_registers<256>{on_cuda{stream}}, router, batch, out, options, plan, workspace)
#pragma once

#include <moeroute/cuda/plan.cuh>
#include <moeroute/cuda/register_rows.cuh>
#include <moeroute/cuda/route_and_count.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// One block an SM: its warps are all there are to hide the time of a load.
struct wide_block_a_row {
  static constexpr int threads = 512, blocks = 1;
};
struct on_wide_blocks {
  static constexpr bool on_device = true;
  on_cuda base{};
  offset_t workspace_bytes(offset_t scratch_bytes) const { return base.workspace_bytes(scratch_bytes); }
  template <class Body>
  MOEROUTE_HIDDEN status run(offset_t rows, Body const& body, workspace w) const noexcept {
    offset_t const bytes = aligned_bytes<std::byte>(body.scratch_bytes());
    if (bytes > base.shared_limit) return base.run(rows, body, w);
    return launch("launch of wide blocks", row_kernel<wide_block_a_row, Body>, rows, wide_block_a_row::threads, bytes,
                  base.stream, rows, bytes, static_cast<std::byte*>(nullptr), body);
  }
};
inline constexpr index_t wide_warps = wide_block_a_row::threads / 32;

}  // namespace detail

template <index_t... Experts>
offset_t route_and_plan_workspace_bytes(on_registers<Experts...> const& x, index_t experts) {
  offset_t const wide = plan_by_blocks_workspace_bytes(x.base, experts, detail::wide_warps);
  offset_t const plain = plan_workspace_bytes(x.base, experts);
  return wide > plain ? wide : plain;
}

// Without a capacity; choices are the ids of `out`. What rows in registers do not serve runs as route and make_plan.
template <index_t... Experts, token_choice_router R, class T, class H, class Id, class W, std::signed_integral Slot>
status try_route_and_plan(on_registers<Experts...> const& x, R const& r, batch<T, H> const& in, routing_view<Id, W> out,
                          plan_options const& options, plan_view<Slot>& plan, workspace w,
                          offset_t* odd_choice = nullptr) noexcept {
  status s{errc::unsupported};
  auto const joined = [&]<index_t E>(std::integral_constant<index_t, E>) {
    detail::on_wide_blocks const wide{x.base};
    if constexpr (route_in_registers<R, T, H, Id, W, 8, E>::possible)
      if (s.code == errc::unsupported)
        s = route_and_plan_by_blocks<8, E>(wide, detail::wide_warps, 32, r, in, out, options, plan, w, odd_choice);
  };
  (joined(std::integral_constant<index_t, Experts>{}), ...);
  joined(std::integral_constant<index_t, 0>{});
  if (s.code != errc::unsupported) return s;
  if (s = try_route(x, r, in, out, w); !s.ok()) return s;
  return try_make_plan(x.base, choices_view<Id>{.ids = {out.ids.data, out.ids.rows, out.ids.cols, out.ids.stride}},
                       static_cast<index_t>(in.logits.cols), options, plan, w, odd_choice);
}
template <index_t... Experts, token_choice_router R, class T, class H, class Id, class W, std::signed_integral Slot>
void route_and_plan(on_registers<Experts...> const& x, R const& r, batch<T, H> const& in, routing_view<Id, W> out,
                    plan_options const& options, plan_view<Slot>& plan, workspace w, offset_t* odd_choice = nullptr) {
  throw_if_bad(try_route_and_plan(x, r, in, out, options, plan, w, odd_choice));
}

}  // namespace moeroute::inline MOEROUTE_ABI
