// Decides when a GPU routes with rows in registers (cuda/register_rows.hpp): where the caller names the numbers
// of experts to compile for. Everything else, and every other verb, runs as on on_cuda.
//
//   route(on_registers<64, 256>{on_cuda{stream}}, router, batch, out, workspace)
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <moeroute/cuda/executor.cuh>
#include <moeroute/cuda/register_rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <>
inline constexpr half_format half_format_of<__nv_bfloat16> = half_format::bf16;
template <>
inline constexpr half_format half_format_of<__half> = half_format::fp16;

namespace detail {

inline constexpr int part_threads = 256;
// Blocks an SM, at least: 64 registers at most, or 128 where tokens are few.
inline constexpr int part_blocks(index_t lanes) { return lanes == 32 ? 2 : 4; }

// `Lanes` threads a row, several rows a warp, which march together: rows beyond the last march along.
template <index_t Lanes, class Body>
__global__ void __launch_bounds__(part_threads, part_blocks(Lanes))
    part_kernel(offset_t rows, offset_t bytes, __grid_constant__ Body const body) {
  extern __shared__ __align__(64) unsigned char moeroute_shared[];
  constexpr offset_t per_block = part_threads / Lanes;
  auto const part = static_cast<offset_t>(threadIdx.x / Lanes);
  warp_part_group<Lanes> const g{};
  scratch const mine{reinterpret_cast<std::byte*>(moeroute_shared) + part * bytes};
  for (offset_t first = static_cast<offset_t>(blockIdx.x) * per_block; first < rows;
       first += static_cast<offset_t>(gridDim.x) * per_block) {
    offset_t const r = first + part;
    bool const live = r < rows;
    body(g, live ? r : rows - 1, mine, live);
  }
}

}  // namespace detail

template <index_t... Experts>
struct on_registers {
  static constexpr bool on_device = true;
  on_cuda base{};
  offset_t few_tokens = 1024;  // up to here a warp a token, beyond 8 lanes: the same bits

  offset_t workspace_bytes(offset_t scratch_bytes) const { return base.workspace_bytes(scratch_bytes); }
  template <class Body>
  MOEROUTE_HIDDEN status run(offset_t rows, Body const& body, workspace w) const noexcept {
    status s{};
    if (rows > 0 && in_registers(rows, body, s)) return s;
    return base.run(rows, body, w);
  }

 private:
  template <class Body>
  MOEROUTE_HIDDEN static bool in_registers(offset_t, Body const&, status&) noexcept {
    return false;  // bodies that have no register form
  }
  template <class R, class T, class H, class Id, class W>
  MOEROUTE_HIDDEN bool in_registers(offset_t rows, route_row<R, T, H, Id, W> const& row, status& s) const noexcept {
    if constexpr (route_in_registers<R, T, H, Id, W, 32>::possible) {
      if (rows <= few_tokens)
        return (launched<route_in_registers<R, T, H, Id, W, 32, Experts>>(rows, row, s) || ...) ||
               launched<route_in_registers<R, T, H, Id, W, 32>>(rows, row, s);
      return (launched<route_in_registers<R, T, H, Id, W, 8, Experts>>(rows, row, s) || ...) ||
             launched<route_in_registers<R, T, H, Id, W, 8>>(rows, row, s) ||
             launched<route_in_registers<R, T, H, Id, W, 32>>(rows, row, s);
    } else {
      static_cast<void>(rows), static_cast<void>(row), static_cast<void>(s);
      return false;
    }
  }
  template <class Fast, class Row>
  MOEROUTE_HIDDEN bool launched(offset_t rows, Row const& row, status& s) const noexcept {
    if constexpr (Fast::possible) {
      Fast const b = Fast::of(row);
      if (!b.serves()) return false;
      constexpr offset_t per_block = detail::part_threads / Fast::lanes;
      offset_t const blocks = (rows + per_block - 1) / per_block, bytes = b.scratch_bytes();
      s = detail::launch("launch of rows in registers", detail::part_kernel<Fast::lanes, Fast>,
                         blocks < on_cuda::most_blocks ? blocks : on_cuda::most_blocks, detail::part_threads,
                         per_block * bytes, base.stream, rows, bytes, b);
      return true;
    } else {
      static_cast<void>(rows), static_cast<void>(row), static_cast<void>(s);
      return false;
    }
  }
};
static_assert(executor<on_registers<64>>);

}  // namespace moeroute::inline MOEROUTE_ABI
