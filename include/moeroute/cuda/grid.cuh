// Decides how two bodies run one after the other in one launch: all blocks are resident and wait for each other in the
// middle. A header of its own, for cooperative_groups.h takes the compiler more than all of ours.
#pragma once

#include <cooperative_groups.h>

#include <moeroute/cuda/executor.cuh>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// A block a row, as row_kernel<block_a_row, ...>.
template <class First, class Second>
__global__ void __launch_bounds__(block_a_row::threads, block_a_row::blocks)
    block_both_kernel(offset_t rows, offset_t bytes, std::byte* spill, __grid_constant__ First const first,
                      __grid_constant__ Second const second) {
  extern __shared__ __align__(64) unsigned char moeroute_shared[];
  __shared__ joint_slot slots[block_group_slots];
  block_group const g{
      .slots = slots, .index = static_cast<index_t>(threadIdx.x / 32), .parts = static_cast<index_t>(blockDim.x / 32)};
  auto const block = static_cast<offset_t>(blockIdx.x), blocks = static_cast<offset_t>(gridDim.x);
  scratch const mine{spill == nullptr ? reinterpret_cast<std::byte*>(moeroute_shared) : spill + block * bytes};
  both_in_stripes(g, block, blocks, rows, first, second, mine, [] { cooperative_groups::this_grid().sync(); });
}

// Blocks of a cooperative launch that the current device holds at once; 0 where it has none. Asks the runtime's tables:
// nothing waits, and a stream that is captured does not notice.
MOEROUTE_HIDDEN inline offset_t resident_blocks(void const* kernel, int threads, offset_t bytes) noexcept {
  int device = 0, cooperative = 0, multiprocessors = 0, each = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&cooperative, cudaDevAttrCooperativeLaunch, device) != cudaSuccess || cooperative == 0 ||
      cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device) != cudaSuccess ||
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, threads, static_cast<std::size_t>(bytes)) !=
          cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return 0;
  }
  return static_cast<offset_t>(each) * multiprocessors;
}

}  // namespace detail

// The grid is what the device holds at once, and walks the rows in strides. Two launches with the same results where the
// device has no cooperative launch or `x.cooperative` is off.
template <class First, class Second>
MOEROUTE_HIDDEN inline status run_both(on_cuda const& x, offset_t rows, First const& first, Second const& second,
                                       workspace w) noexcept {
  static_assert(has_long_rows<First> && has_long_rows<Second>, "run_both gives a row a block");
  static_assert(std::is_trivially_copyable_v<First> && std::is_trivially_copyable_v<Second>);
  static_assert(sizeof(First) + sizeof(Second) <= 4000, "the bodies must fit in the parameters of a kernel");
  offset_t const one = first.scratch_bytes(), other = second.scratch_bytes();
  offset_t const bytes = aligned_bytes<std::byte>(one > other ? one : other);
  if (status const s = workspace_ok(w, x.workspace_bytes(bytes)); !s.ok()) return s;
  if (rows <= 0) return {};
  if (x.cooperative) {
    auto const* const kernel = reinterpret_cast<void const*>(detail::block_both_kernel<First, Second>);
    constexpr int threads = detail::block_a_row::threads;
    bool const fits = bytes <= x.shared_limit;
    offset_t const shared = fits ? bytes : 0;
    if (status const s = detail::allow_shared(kernel, shared); !s.ok()) return s;
    offset_t most = detail::resident_blocks(kernel, threads, shared);
    if (!fits && most > on_cuda::blocks_in_workspace) most = on_cuda::blocks_in_workspace;
    if (most > 0) {
      std::byte* spill = fits ? nullptr : aligned_scratch(w).at;
      void* list[] = {&rows, const_cast<offset_t*>(&bytes), &spill, const_cast<First*>(&first),
                      const_cast<Second*>(&second)};
      auto const e = cudaLaunchCooperativeKernel(kernel, dim3(static_cast<unsigned>(rows < most ? rows : most)),
                                                 dim3(threads), list, static_cast<std::size_t>(shared), x.stream);
      // A stream that owns but a part of the device takes fewer blocks than the device has room for.
      if (e != cudaErrorCooperativeLaunchTooLarge) return device_status(e, "cooperative launch of long rows");
      static_cast<void>(cudaGetLastError());
    }
  }
  status const s = x.run(rows, first, w);
  return s.ok() ? x.run(rows, second, w) : s;
}

}  // namespace moeroute::inline MOEROUTE_ABI
