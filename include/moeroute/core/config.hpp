// Decides how the library meets the compiler: version, ABI namespace, host/device marks.
#pragma once

#define MOEROUTE_VERSION_MAJOR 0
#define MOEROUTE_VERSION_MINOR 1
#define MOEROUTE_VERSION_PATCH 0

// One inline namespace for each version and, under nvcc, each architecture list: two shared
// libraries built for different architectures never share a kernel launcher.
#define MOEROUTE_DETAIL_JOIN_(a, b) a##b
#define MOEROUTE_DETAIL_JOIN(a, b) MOEROUTE_DETAIL_JOIN_(a, b)
// The vector level of the CPU part: objects built for two levels never share an inline function.
#if defined(__CUDACC__) || defined(MOEROUTE_PLAIN)
#define MOEROUTE_LEVEL plain
#elif defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#if defined(__AVX512VBMI2__)
#define MOEROUTE_LEVEL avx512_vbmi2
#else
#define MOEROUTE_LEVEL avx512
#endif
#define MOEROUTE_SIMD 1
#elif defined(__AVX2__) && defined(__FMA__)
#define MOEROUTE_LEVEL avx2
#define MOEROUTE_SIMD 1
#elif defined(__aarch64__)
#define MOEROUTE_LEVEL neon
#define MOEROUTE_SIMD 1
#elif defined(__x86_64__)
#define MOEROUTE_LEVEL sse2
#define MOEROUTE_SIMD 1
#else
#define MOEROUTE_LEVEL plain
#endif

#if !defined(MOEROUTE_ABI)
#if defined(__CUDACC__) && defined(__CUDA_ARCH_LIST__)
#define MOEROUTE_DETAIL_ARCH_N(a, b, c, d, ...) v0_1_sm##a##_##b##_##c##_##d
#define MOEROUTE_DETAIL_ARCH(...) MOEROUTE_DETAIL_ARCH_N(__VA_ARGS__, 0, 0, 0, 0)
#define MOEROUTE_ABI MOEROUTE_DETAIL_ARCH(__CUDA_ARCH_LIST__)
#else
#define MOEROUTE_ABI MOEROUTE_DETAIL_JOIN(v0_1_, MOEROUTE_LEVEL)
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
// A function that is seldom called, and so kept out of those that call it.
#if defined(__CUDACC__)
#define MOEROUTE_COLD
#else
#define MOEROUTE_COLD [[gnu::noinline, gnu::cold]]
#endif
// Before a loop over an array that must stay in registers; before one that is unrolled by a number.
#if defined(__CUDA_ARCH__)
#define MOEROUTE_UNROLL _Pragma("unroll")
#define MOEROUTE_DETAIL_PRAGMA(text) _Pragma(#text)
#define MOEROUTE_UNROLL_BY(n) MOEROUTE_DETAIL_PRAGMA(unroll(n))
#else
#define MOEROUTE_UNROLL
#define MOEROUTE_UNROLL_BY(n)
#endif

// On the line before a function that would be no template: what it calls is made where it is called itself, not in
// every unit that reads its header.
#define MOEROUTE_ON_DEMAND template <class = void>

#if defined(__GNUC__) || defined(__clang__)
#define MOEROUTE_INLINE inline __attribute__((always_inline))
#else
#define MOEROUTE_INLINE inline
#endif
