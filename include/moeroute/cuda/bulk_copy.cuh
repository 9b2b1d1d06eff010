// Decides how sm_90 copies runs of bytes in bulk: cp.async.bulk moves a piece between global and shared memory by itself,
// in steps of 16 bytes; an mbarrier tells of its arrival, a group of stores of its departure. Other devices take the
// body's own form, in the same launch.
#pragma once

#include <moeroute/cuda/bulk_copy.hpp>
#include <moeroute/cuda/warp_group.cuh>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

inline constexpr int bulk_warps = 4;  // of a block
// Shared memory of a warp: two buffers, then the words that tell of their arrival.
constexpr offset_t bulk_warp_bytes(offset_t run_bytes) { return 2 * bulk_piece_of(run_bytes) + 64; }

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
struct bulk_machine {
  std::uint32_t buffers, arrivals;  // addresses in shared memory
  std::uint32_t piece;
  mutable std::uint32_t phases = 0;  // bit b: the phase of buffer b that is waited for

  // Every lane; one of them makes the words ready for itself and for the copies.
  __device__ void start(warp_group const& g) const {
    if (g.rank() == 0) {
      for (std::uint32_t b = 0; b < 2; ++b)
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(arrivals + 8 * b) : "memory");
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    g.sync();
  }
  __device__ void fetch(index_t b, std::byte const* from, offset_t bytes) const {
    std::uint32_t const word = arrivals + 8 * static_cast<std::uint32_t>(b), n = static_cast<std::uint32_t>(bytes);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(word), "r"(n) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     buffers + static_cast<std::uint32_t>(b) * piece),
                 "l"(__cvta_generic_to_global(from)), "r"(n), "r"(word)
                 : "memory");
  }
  __device__ void arrived(index_t b) const {
    std::uint32_t const word = arrivals + 8 * static_cast<std::uint32_t>(b), phase = phases >> b & 1u;
    std::uint32_t done = 0;
    while (done == 0)
      asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                   : "=r"(done)
                   : "r"(word), "r"(phase)
                   : "memory");
    phases ^= 1u << b;
  }
  __device__ void store(std::byte* to, index_t b, offset_t bytes) const {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(__cvta_generic_to_global(to)),
                 "r"(buffers + static_cast<std::uint32_t>(b) * piece), "r"(static_cast<std::uint32_t>(bytes))
                 : "memory");
  }
  __device__ void sent() const { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
  __device__ void all_read() const { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
};
#endif

// A warp a row, as row_kernel<warp_a_row, Body>.
template <class Body>
__global__ void __launch_bounds__(32 * bulk_warps, 6)
    warp_bulk_kernel(offset_t rows, offset_t bytes, __grid_constant__ Body const body) {
  extern __shared__ __align__(128) unsigned char moeroute_bulk[];
  auto const warp = static_cast<offset_t>(threadIdx.x / 32);
  offset_t const first = static_cast<offset_t>(blockIdx.x) * bulk_warps + warp;
  offset_t const step = static_cast<offset_t>(gridDim.x) * bulk_warps;
  warp_group const g{};
#if __CUDA_ARCH__ >= 900
  auto const mine = static_cast<std::uint32_t>(__cvta_generic_to_shared(moeroute_bulk + warp * bytes));
  auto const piece = static_cast<std::uint32_t>(bulk_piece_of(body.run_bytes()));
  bulk_machine const machine{mine, mine + 2 * piece, piece};
  machine.start(g);
  copy_runs(g, first, step, rows, body, machine);
#else
  for (offset_t r = first; r < rows; r += step) {
    body(g, r, scratch{});
    g.sync();
  }
  static_cast<void>(bytes), static_cast<void>(moeroute_bulk);
#endif
}

}  // namespace detail

}  // namespace moeroute::inline MOEROUTE_ABI
