// Decides when a GPU routes with rows in registers (cuda/register_rows.hpp): where the caller names the numbers
// of experts to compile for. Everything else, and every other verb, runs as on on_cuda.
//
//   route(on_registers<64, 256>{on_cuda{stream}}, router, batch, out, workspace)
#pragma once

#include <moeroute/cuda/executor.cuh>
#include <moeroute/cuda/register_rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

inline constexpr int part_threads = 256, part_blocks = 2;  // at most 128 registers

// `Lanes` threads a row, several rows a warp; parts of a warp need not march together.
template <index_t Lanes, class Body>
__global__ void __launch_bounds__(part_threads, part_blocks)
    part_kernel(offset_t rows, offset_t bytes, __grid_constant__ Body const body) {
  extern __shared__ __align__(64) unsigned char moeroute_shared[];
  constexpr offset_t per_block = part_threads / Lanes;
  auto const part = static_cast<offset_t>(threadIdx.x / Lanes);
  warp_part_group<Lanes> const g{};
  scratch const mine{reinterpret_cast<std::byte*>(moeroute_shared) + part * bytes};
  for (offset_t r = static_cast<offset_t>(blockIdx.x) * per_block + part; r < rows;
       r += static_cast<offset_t>(gridDim.x) * per_block) {
    body(g, r, mine);
    g.sync();
  }
}

template <class Body, index_t Experts>
struct registers_of {  // bodies that have no register form
  static constexpr bool possible = false;
};
template <class R, class T, class H, class Id, class W, index_t Experts>
struct registers_of<route_row<R, T, H, Id, W>, Experts> {
  using type = route_in_registers<R, T, H, Id, W, Experts>;
  static constexpr bool possible = type::possible;
};

}  // namespace detail

template <index_t... Experts>
struct on_registers {
  static constexpr bool on_device = true;
  on_cuda base{};

  offset_t workspace_bytes(offset_t scratch_bytes) const { return base.workspace_bytes(scratch_bytes); }
  template <class Body>
  MOEROUTE_HIDDEN status run(offset_t rows, Body const& body, workspace w) const noexcept {
    status s{};
    if (rows > 0 && (run_in_registers<Experts>(rows, body, s) || ...)) return s;
    return base.run(rows, body, w);
  }

 private:
  template <index_t E, class Body>
  MOEROUTE_HIDDEN bool run_in_registers(offset_t rows, Body const& body, status& s) const noexcept {
    if constexpr (detail::registers_of<Body, E>::possible) {
      using fast = typename detail::registers_of<Body, E>::type;
      fast const b{body};
      if (!b.serves()) return false;
      constexpr offset_t per_block = detail::part_threads / fast::lanes;
      offset_t const blocks = (rows + per_block - 1) / per_block, bytes = b.scratch_bytes();
      s = detail::launch("launch of rows in registers", detail::part_kernel<fast::lanes, fast>,
                         blocks < on_cuda::most_blocks ? blocks : on_cuda::most_blocks, detail::part_threads,
                         per_block * bytes, base.stream, rows, bytes, b);
      return true;
    } else {
      static_cast<void>(rows), static_cast<void>(body), static_cast<void>(s);
      return false;
    }
  }
};
static_assert(executor<on_registers<64>>);

}  // namespace moeroute::inline MOEROUTE_ABI
