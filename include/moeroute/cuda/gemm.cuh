// Decides how a gate multiplies matrices on a GPU: cuBLAS, with products and sums in float (double for
// double), never in TF32 or 16 bits. Pairs of element types that cuBLAS does not know run our own loops.
//
//   router r{.gate = linear_gate<__nv_bfloat16, cublas_gemm>{.weight = w, .gemm = {handle}}, ...};
//
// cuBLAS chooses its kernel by the sizes: logits of a token may differ in the last bits between batches of
// different size. Where that must not be, take plain_gemm.
#pragma once

#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <moeroute/cuda/executor.cuh>
#include <moeroute/gate/linear.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

inline status blas_status(cublasStatus_t s, char const* call) {
  if (s == CUBLAS_STATUS_SUCCESS) return {};
  return {errc::device, call, cublasGetStatusString(s), static_cast<std::int64_t>(s), 0};
}
template <class T>
inline constexpr bool blas_knows = false;
template <>
inline constexpr bool blas_knows<float> = true;
template <>
inline constexpr bool blas_knows<double> = true;
template <>
inline constexpr bool blas_knows<__nv_bfloat16> = true;
template <>
inline constexpr bool blas_knows<__half> = true;
template <class T>
inline constexpr cudaDataType_t blas_type = std::same_as<T, double>          ? CUDA_R_64F
                                            : std::same_as<T, __nv_bfloat16> ? CUDA_R_16BF
                                            : std::same_as<T, __half>        ? CUDA_R_16F
                                                                             : CUDA_R_32F;
}  // namespace detail

// Satisfies gemm for on_cuda. The handle is the caller's, one a thread; it is set to the executor's stream.
// Give `memory` (cuBLAS asks for 32 MB on sm_90) to keep cuBLAS from allocating, as a graph capture wants.
struct cublas_gemm {
  cublasHandle_t handle{};
  workspace memory{};

  template <class A, class B, class V>
  MOEROUTE_HIDDEN status operator()(on_cuda const& x, matrix_view<A> a, transposed op_a, matrix_view<B> b,
                                    transposed op_b, V beta, matrix_view<V> c) const noexcept {
    using Ta = std::remove_const_t<A>;
    using Tb = std::remove_const_t<B>;
    constexpr bool doubles = std::same_as<V, double>;
    if constexpr (std::same_as<Ta, Tb> && detail::blas_knows<Ta> && doubles == std::same_as<Ta, double>) {
      if (c.empty()) return {};
      if (status const s = detail::blas_status(cublasSetStream(handle, x.stream), "cublasSetStream"); !s.ok()) return s;
      if (memory.data != nullptr) {
        auto const e = cublasSetWorkspace(handle, memory.data, static_cast<std::size_t>(memory.bytes));
        if (status const s = detail::blas_status(e, "cublasSetWorkspace"); !s.ok()) return s;
      }
      // Row-major C = op(A) op(B) is column-major C^T = op(B)^T op(A)^T over the same memory.
      V const one = 1;
      offset_t const inner = op_a == transposed::yes ? a.rows : a.cols;
      auto const op = [](transposed t) { return t == transposed::yes ? CUBLAS_OP_T : CUBLAS_OP_N; };
      return detail::blas_status(
          cublasGemmEx_64(handle, op(op_b), op(op_a), c.cols, c.rows, inner, &one, b.data, detail::blas_type<Tb>,
                          b.stride, a.data, detail::blas_type<Ta>, a.stride, &beta, c.data, detail::blas_type<V>,
                          c.stride, doubles ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
    } else {
      return plain_gemm{}(x, a, op_a, b, op_b, beta, c);
    }
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
