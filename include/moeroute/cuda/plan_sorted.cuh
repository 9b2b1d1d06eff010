// Decides how make_plan serves every queue and segment on a GPU: CUB's radix sort between the bodies of
// cuda/plan_sorted.hpp. Not part of cuda.cuh: CUB's device algorithms take the compiler seconds.
#pragma once

#include <cub/device/device_radix_sort.cuh>

#include <moeroute/cuda/executor.cuh>
#include <moeroute/cuda/plan_sorted.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// CUB's launches, in order of the stream, in memory of the caller.
struct cub_sort {
  cudaStream_t stream;
  void* memory;
  offset_t bytes;

  static status needs(offset_t choices, offset_t& bytes) noexcept {
    std::size_t n = 0;
    std::uint64_t* keys = nullptr;
    std::int32_t* items = nullptr;
    auto const e =
        cub::DeviceRadixSort::SortPairs(nullptr, n, keys, keys, items, items, static_cast<std::int32_t>(choices));
    bytes = static_cast<offset_t>(n);
    return device_status(e, "bytes of a sort");
  }
  status operator()(std::uint64_t* keys, std::uint64_t* sorted_keys, std::int32_t* items, std::int32_t* sorted,
                    offset_t n, int first_bit, int last_bit) const noexcept {
    if (n == 0) return {};
    auto space = static_cast<std::size_t>(bytes);
    return device_status(cub::DeviceRadixSort::SortPairs(memory, space, keys, sorted_keys, items, sorted,
                                                         static_cast<std::int32_t>(n), first_bit, last_bit, stream),
                         "sort of the choices");
  }
};

}  // namespace detail

// Grows with every argument. CUB is asked for its part, so a device must be there; -1 where it refuses.
inline offset_t sorted_plan_workspace_bytes(on_cuda const& x, index_t experts, offset_t choices, index_t segments = 1) {
  offset_t sort = 0;
  if (choices > largest<std::int32_t> || !detail::cub_sort::needs(choices, sort).ok()) return -1;
  return plan_by_sorting_workspace_bytes(x, experts, choices, segments) + workspace_alignment +
         aligned_bytes<std::byte>(sort);
}

// All arrays lie on the device; nothing is read by the host. Every queue, any number of segments. A choice whose id
// or segment nobody knows counts as no expert; `odd_choice` (a number on the device, or null) says which was the
// first, -1 if there was none. The plan of plan/limited.hpp, bit for bit.
template <std::integral Id, element P, std::signed_integral Slot>
status try_make_sorted_plan(on_cuda const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
                            capacity_options<P> const& limit, plan_view<Slot>& plan, workspace w,
                            offset_t* odd_choice = nullptr) noexcept {
  offset_t const choices = in.offsets.size != 0 ? in.ids.cols : in.ids.rows * in.ids.cols;
  offset_t sort = 0;
  if (choices <= largest<std::int32_t>)
    if (status const s = detail::cub_sort::needs(choices, sort); !s.ok()) return s;
  offset_t const mine = workspace_alignment + aligned_bytes<std::byte>(sort);
  if (status const s = workspace_ok(w, mine); !s.ok()) return s;
  detail::cub_sort const by{x.stream, aligned_scratch(w).at, sort};
  return plan_by_sorting(x, in, experts, options, limit, plan, workspace{w.data + mine, w.bytes - mine}, by,
                         odd_choice);
}
template <std::integral Id, element P, std::signed_integral Slot>
void make_sorted_plan(on_cuda const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
                      capacity_options<P> const& limit, plan_view<Slot>& plan, workspace w,
                      offset_t* odd_choice = nullptr) {
  throw_if_bad(try_make_sorted_plan(x, in, experts, options, limit, plan, w, odd_choice));
}

}  // namespace moeroute::inline MOEROUTE_ABI
