// Decides how the library meets the compiler: version, ABI namespace, host/device marks.
#pragma once

#define MOEROUTE_VERSION_MAJOR 0
#define MOEROUTE_VERSION_MINOR 1
#define MOEROUTE_VERSION_PATCH 0

// One inline namespace for each version and, under nvcc, each architecture list: two shared
// libraries built for different architectures never share a kernel launcher.
#define MOEROUTE_DETAIL_JOIN_(a, b) a##b
#define MOEROUTE_DETAIL_JOIN(a, b) MOEROUTE_DETAIL_JOIN_(a, b)
#if !defined(MOEROUTE_ABI)
#if defined(__CUDACC__) && defined(__CUDA_ARCH_LIST__)
#define MOEROUTE_DETAIL_ARCH_N(a, b, c, d, ...) v0_1_sm##a##_##b##_##c##_##d
#define MOEROUTE_DETAIL_ARCH(...) MOEROUTE_DETAIL_ARCH_N(__VA_ARGS__, 0, 0, 0, 0)
#define MOEROUTE_ABI MOEROUTE_DETAIL_ARCH(__CUDA_ARCH_LIST__)
#else
#define MOEROUTE_ABI v0_1
#endif
#endif

#if defined(__CUDACC__)
#define MOEROUTE_HD __host__ __device__
// On the line before a template that calls a policy, which may be for the host alone.
#define MOEROUTE_EXEC_CHECK_DISABLE _Pragma("nv_exec_check_disable")
#else
#define MOEROUTE_HD
#define MOEROUTE_EXEC_CHECK_DISABLE
#endif

#if defined(__GNUC__) || defined(__clang__)
#define MOEROUTE_INLINE inline __attribute__((always_inline))
#else
#define MOEROUTE_INLINE inline
#endif
