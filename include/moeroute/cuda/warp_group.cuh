// Decides how the threads of a warp, a part of a warp or a block form a lane group. Threads are counted
// along x. A part of a warp names only its own lanes in a collective, so parts may run apart.
#pragma once

#include <moeroute/core/butterfly_group.hpp>
#include <moeroute/core/joined_group.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <index_t Lanes>
struct warp_words {
  static constexpr index_t lanes = Lanes;
  __device__ static std::uint32_t mask() {
    if constexpr (Lanes == 32) return ~0u;
    else return ((1u << Lanes) - 1) << (threadIdx.x % 32 / Lanes * Lanes);
  }
  __device__ index_t rank() const { return static_cast<index_t>(threadIdx.x % Lanes); }
  __device__ std::uint32_t shuffle_xor(std::uint32_t x, index_t d) const { return __shfl_xor_sync(mask(), x, d); }
  __device__ std::uint32_t shuffle(std::uint32_t x, index_t lane) const { return __shfl_sync(mask(), x, lane, Lanes); }
  __device__ std::uint32_t ballot(bool b) const {
    std::uint32_t const all = __ballot_sync(mask(), b);
    if constexpr (Lanes == 32) return all;
    else return all >> (threadIdx.x % 32 / Lanes * Lanes) & ((1u << Lanes) - 1);
  }
  __device__ void sync() const { __syncwarp(mask()); }
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  __device__ std::int32_t max_of(std::int32_t x) const { return __reduce_max_sync(mask(), x); }
  __device__ std::uint32_t max_of(std::uint32_t x) const { return __reduce_max_sync(mask(), x); }
#endif
};

// One warp a row, or a part of one: warp_part_group<8> puts four rows in a warp.
using warp_group = butterfly_group<warp_words<32>>;
template <index_t Lanes>
using warp_part_group = butterfly_group<warp_words<Lanes>>;

struct block_barrier {
  __device__ void operator()() const { __syncthreads(); }
};
// One block a row; the slots lie in shared memory.
using block_group = joined_group<warp_group, block_barrier>;
inline constexpr index_t block_group_slots = 2 * 32;

static_assert(lane_group<warp_group> && lane_group<warp_part_group<8>> && lane_group<block_group>);

}  // namespace moeroute::inline MOEROUTE_ABI
