// Decides how the threads of a warp, a part of a warp or a block form a lane group. Threads are counted
// along x. The parts of a warp either march together, so that a collective is called by all of them at once and a branch
// that holds one is taken on any_near(), or run apart, each naming only its own lanes.
#pragma once

#include <moeroute/core/butterfly_group.hpp>
#include <moeroute/core/joined_group.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <index_t Lanes, bool Apart = false>
struct warp_words {
  static constexpr index_t lanes = Lanes;
  __device__ static std::uint32_t all() {
    if constexpr (Lanes == 32 || !Apart) return ~0u;
    else return ((1u << Lanes) - 1) << (threadIdx.x % 32 / Lanes * Lanes);
  }
  __device__ index_t rank() const { return static_cast<index_t>(threadIdx.x % Lanes); }
  __device__ std::uint32_t shuffle_xor(std::uint32_t x, index_t d) const { return __shfl_xor_sync(all(), x, d); }
  __device__ std::uint32_t shuffle(std::uint32_t x, index_t lane) const { return __shfl_sync(all(), x, lane, Lanes); }
  __device__ std::uint32_t ballot(bool b) const {
    std::uint32_t const votes = __ballot_sync(all(), b);
    if constexpr (Lanes == 32) return votes;
    else return votes >> (threadIdx.x % 32 / Lanes * Lanes) & ((1u << Lanes) - 1);
  }
  __device__ bool any_near(bool b) const { return __any_sync(all(), b) != 0; }
  __device__ void sync() const { __syncwarp(all()); }
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  __device__ std::int32_t max_of(std::int32_t x) const
    requires(Lanes == 32)
  {
    return __reduce_max_sync(all(), x);
  }
  __device__ std::uint32_t max_of(std::uint32_t x) const
    requires(Lanes == 32)
  {
    return __reduce_max_sync(all(), x);
  }
#endif
};

// One warp a row, or a part of one: warp_part_group<8> puts four rows in a warp, which march together,
// lone_part_group<8> four that need not.
using warp_group = butterfly_group<warp_words<32>>;
template <index_t Lanes>
using warp_part_group = butterfly_group<warp_words<Lanes>>;
template <index_t Lanes>
using lone_part_group = butterfly_group<warp_words<Lanes, true>>;

struct block_barrier {
  __device__ void operator()() const { __syncthreads(); }
};
// One block a row; the slots lie in shared memory.
using block_group = joined_group<warp_group, block_barrier>;
inline constexpr index_t block_group_slots = 2 * 32;

static_assert(lane_group<warp_group> && lane_group<warp_part_group<8>> && lane_group<block_group>);

}  // namespace moeroute::inline MOEROUTE_ABI
