// Decides how rows run on a GPU: a warp a row, a block for a long row, 8 lanes for a short one, with scratch in shared
// memory where it fits. One kernel for every body of the library; a launch is all that happens.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/cuda/bulk_copy.cuh>
#include <moeroute/cuda/error.cuh>
#include <moeroute/cuda/warp_group.cuh>

// A launcher is never merged with that of another shared library.
#define MOEROUTE_HIDDEN __attribute__((visibility("hidden")))

namespace moeroute::inline MOEROUTE_ABI {

// A body may say that a warp is too few for its rows:  static constexpr bool long_rows = true.
template <class Body>
inline constexpr bool has_long_rows = false;
template <class Body>
  requires requires { Body::long_rows; }
inline constexpr bool has_long_rows<Body> = Body::long_rows;
// It may also say how long its rows are, about:  offset_t row_length() const.
template <class Body>
concept tells_length = requires(Body const& b) {
  { b.row_length() } -> std::same_as<offset_t>;
};

namespace detail {

struct warp_a_row {
  static constexpr int threads = 128, blocks = 6;  // at least so many an SM: at most 80 registers
  static constexpr index_t lanes = 32;
};
struct part_a_row {
  static constexpr int threads = 128, blocks = 6;
  static constexpr index_t lanes = 8;
  static constexpr offset_t longest = 2 * lanes;
};
struct block_a_row {
  static constexpr int threads = 256, blocks = 3;
};

// Rows first, first + step, ... of the grid; `bytes` of scratch a row, in `spill` if it is not null.
template <class Lanes, class Body>
__global__ void __launch_bounds__(Lanes::threads, Lanes::blocks)
    row_kernel(offset_t rows, offset_t bytes, std::byte* spill, __grid_constant__ Body const body) {
  extern __shared__ __align__(64) unsigned char moeroute_shared[];
  auto* const shared = reinterpret_cast<std::byte*>(moeroute_shared);
  auto const block = static_cast<offset_t>(blockIdx.x), blocks = static_cast<offset_t>(gridDim.x);
  if constexpr (requires { Lanes::lanes; }) {
    auto const warps = static_cast<offset_t>(blockDim.x / Lanes::lanes);
    auto const warp = static_cast<offset_t>(threadIdx.x / Lanes::lanes);
    lone_part_group<Lanes::lanes> const g{};
    scratch const mine{shared + warp * bytes};
    for (offset_t r = block * warps + warp; r < rows; r += blocks * warps) {
      body(g, r, mine);
      g.sync();  // the scratch is used again
    }
  } else {
    __shared__ joint_slot slots[block_group_slots];
    block_group const g{.slots = slots,
                        .index = static_cast<index_t>(threadIdx.x / 32),
                        .parts = static_cast<index_t>(blockDim.x / 32)};
    scratch const mine{spill == nullptr ? shared : spill + block * bytes};
    for (offset_t r = block; r < rows; r += blocks) {
      body(g, r, mine);
      g.sync();
    }
  }
}

// The major compute capability of the current device, 0 if there is none.
MOEROUTE_HIDDEN inline int generation() noexcept {
  int device = 0, major = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess)
    static_cast<void>(cudaGetLastError());
  return major;
}
// Lets blocks of `kernel` have so many bytes of shared memory: above 48 KB it must be asked for.
MOEROUTE_HIDDEN inline status allow_shared(void const* kernel, offset_t bytes) noexcept {
  if (bytes <= 48 * 1024) return {};
  return device_status(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
      "more than 48 KB of shared memory for a block");
}
// Launches `kernel`. The error of this launch is read here; errors of the running kernel show at the caller's next
// synchronization.
template <class... Parameters, class... Arguments>
MOEROUTE_HIDDEN inline status launch(char const* what, void (*kernel)(Parameters...), offset_t blocks, int threads,
                                     offset_t bytes, cudaStream_t stream, Arguments const&... arguments) noexcept {
  auto const* const f = reinterpret_cast<void const*>(kernel);
  if (status const s = allow_shared(f, bytes); !s.ok()) return s;
  void* list[] = {const_cast<void*>(static_cast<void const*>(&arguments))...};
  return device_status(cudaLaunchKernel(f, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)),
                                        list, static_cast<std::size_t>(bytes), stream),
                       what);
}

}  // namespace detail

// Rows on the device of the calling thread, in order of the stream. Never synchronizes or allocates; may
// be captured in a graph. Views and workspace are device memory. Sizes do not depend on the device, so
// a workspace measured on one machine serves on another.
struct on_cuda {
  static constexpr bool on_device = true;  // arrays are not read by the host
  cudaStream_t stream{};
  offset_t shared_limit = 96 * 1024;  // bytes a block may take; a row that needs more lies in the workspace
  bool cooperative = true;            // run_both may be one cooperative launch
  bool bulk_copies = true;            // sm_90 may copy rows on 16 bytes in bulk (permute)

  static constexpr offset_t most_blocks = 1 << 16;       // of a grid; rows beyond are walked in strides
  static constexpr offset_t blocks_in_workspace = 264;   // rows at work at a time when scratch is there
  static constexpr offset_t long_row_bytes = 16 * 1024;  // of scratch: from here on a row gets a block

  offset_t workspace_bytes(offset_t scratch_bytes) const {
    offset_t const bytes = aligned_bytes<std::byte>(scratch_bytes);
    return bytes <= shared_limit ? 0 : blocks_in_workspace * bytes + workspace_alignment;
  }

  template <class Body>
  MOEROUTE_HIDDEN status run(offset_t rows, Body const& body, workspace w) const noexcept {
    static_assert(std::is_trivially_copyable_v<Body>, "a body travels to the device by value");
    static_assert(sizeof(Body) <= 4000, "a body must fit in the parameters of a kernel");
    offset_t const bytes = aligned_bytes<std::byte>(body.scratch_bytes());
    if (status const s = workspace_ok(w, workspace_bytes(bytes)); !s.ok()) return s;
    if (rows <= 0) return {};
    std::byte* spill = nullptr;
    if constexpr (bulk_body<Body>) {
      offset_t const each = detail::bulk_warp_bytes(body.run_bytes()), shared = detail::bulk_warps * each;
      if (bulk_copies && body.suits_bulk() && shared <= shared_limit && detail::generation() >= 9) {
        offset_t const blocks = (rows + detail::bulk_warps - 1) / detail::bulk_warps;
        return detail::launch("launch of bulk copies", detail::warp_bulk_kernel<Body>,
                              blocks < most_blocks ? blocks : most_blocks, 32 * detail::bulk_warps, shared, stream,
                              rows, each, body);
      }
    }
    if constexpr (tells_length<Body> && !has_long_rows<Body>) {
      using part = detail::part_a_row;
      if (bytes == 0 && body.row_length() <= part::longest) {
        offset_t const each = part::threads / part::lanes, blocks = (rows + each - 1) / each;
        return detail::launch("launch of short rows", detail::row_kernel<part, Body>,
                              blocks < most_blocks ? blocks : most_blocks, part::threads, 0, stream, rows, bytes, spill,
                              body);
      }
    }
    if constexpr (!has_long_rows<Body>) {
      if (bytes <= long_row_bytes) {
        offset_t const warps = bytes <= long_row_bytes / 2 ? 4 : 2, blocks = (rows + warps - 1) / warps;
        return detail::launch("launch of rows", detail::row_kernel<detail::warp_a_row, Body>,
                              blocks < most_blocks ? blocks : most_blocks, static_cast<int>(32 * warps), warps * bytes,
                              stream, rows, bytes, spill, body);
      }
    }
    bool const fits = bytes <= shared_limit;
    offset_t const most = fits ? most_blocks : blocks_in_workspace;
    if (!fits) spill = aligned_scratch(w).at;
    return detail::launch("launch of long rows", detail::row_kernel<detail::block_a_row, Body>,
                          rows < most ? rows : most, detail::block_a_row::threads, fits ? bytes : 0, stream, rows,
                          bytes, spill, body);
  }
};
static_assert(executor<on_cuda>);

}  // namespace moeroute::inline MOEROUTE_ABI
