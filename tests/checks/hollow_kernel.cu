// A body that calls a function for the host alone: under MOEROUTE_EXEC_CHECK_DISABLE nvcc compiles it to nothing, without a
// word, and the report of kernels is to name it.
#include <moeroute/cuda/executor.cuh>

using namespace moeroute;

namespace kernels {
inline float doubled(float x) { return x + x; }  // no MOEROUTE_HD

struct hollow_row {
  float* y;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (g.rank() == 0) y[t] = doubled(y[t]);
    g.sync();
  }
};
}  // namespace kernels

template __global__ void moeroute::detail::row_kernel<moeroute::detail::warp_a_row, kernels::hollow_row>(
    offset_t, offset_t, std::byte*, __grid_constant__ kernels::hollow_row const);
