// Decides how make_plan runs on a GPU: one cooperative launch of blocks of 8 warps (cuda/plan_blocks.hpp), or two launches
// where the device has none or on_cuda{.cooperative = false}. No atomics, nothing read by the host, the same plan as on
// the CPU, bit for bit.
#pragma once

#include <moeroute/cuda/grid.cuh>
#include <moeroute/cuda/plan_blocks.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
inline constexpr index_t plan_warps = block_a_row::threads / 32;
}

// Grows with the number of experts; the number of tokens does not matter.
inline offset_t plan_workspace_bytes(on_cuda const& x, index_t experts) {
  return plan_by_blocks_workspace_bytes(x, experts, detail::plan_warps);
}

// All arrays lie on the device. Ids are not checked before they are used, for that would synchronize: one
// that nobody knows counts as no expert, and `odd_choice` (a number on the device, or null) says which
// choice was the first, -1 if there was none.
template <std::integral Id, std::signed_integral Slot>
status try_make_plan(on_cuda const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
                     plan_view<Slot>& plan, workspace w, offset_t* odd_choice = nullptr) noexcept {
  return plan_by_blocks(x, detail::plan_warps, in, experts, options, plan, w, odd_choice);
}
template <std::integral Id, std::signed_integral Slot>
void make_plan(on_cuda const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
               plan_view<Slot>& plan, workspace w, offset_t* odd_choice = nullptr) {
  throw_if_bad(try_make_plan(x, in, experts, options, plan, w, odd_choice));
}

// Under a capacity: one queue an expert, in the order of the tokens. Other queues and segments are errc::unsupported
// here and served by make_sorted_plan, cuda/plan_sorted.cuh.
template <std::integral Id, element P, std::signed_integral Slot>
status try_make_plan(on_cuda const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
                     capacity_options<P> const& limit, plan_view<Slot>& plan, workspace w,
                     offset_t* odd_choice = nullptr) noexcept {
  return limited_plan_by_blocks(x, detail::plan_warps, in, experts, options, limit, plan, w, odd_choice);
}
template <std::integral Id, element P, std::signed_integral Slot>
void make_plan(on_cuda const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
               capacity_options<P> const& limit, plan_view<Slot>& plan, workspace w, offset_t* odd_choice = nullptr) {
  throw_if_bad(try_make_plan(x, in, experts, options, limit, plan, w, odd_choice));
}

}  // namespace moeroute::inline MOEROUTE_ABI
