// Decides how part of a vector meets memory: the first lanes of one, and lanes from anywhere.
#pragma once

#include <moeroute/cpu/simd/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {
MOEROUTE_SIMD_INLINE unsigned short first_lanes(int n) {
  return static_cast<unsigned short>(n >= 16 ? 0xffffu : (1u << n) - 1);
}
// A pointer to whatever the compiler at hand wants.
struct address {
  void* p;
  template <class T>
  operator T*() const {
    return static_cast<T*>(p);
  }
};
}  // namespace detail

// The first n of 16 numbers; the other lanes hold `rest`, and their memory is not touched.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE floats load_first(float const* p, int n, float rest) {
#if defined(__AVX512F__)
  detail::address const from{const_cast<float*>(p)};
  return floats(__builtin_ia32_loadups512_mask(from, floats(rest).v, detail::first_lanes(n)), 0);
#else
  alignas(64) float part[16];
  store(part, floats(rest));
  for (int i = 0; i < n && i < 16; ++i) part[i] = p[i];
  return load<floats>(part);
#endif
}

// The first n of 16 numbers of 4 bytes; the memory behind them stays.
template <class T>
MOEROUTE_SIMD_INLINE void store_first(T* p, vec<T, 16> v, int n) {
  if (n == 16) return store(p, v);
  if (n == 8) return store(p, low(v));
#if defined(__aarch64__)  // a loop over n numbers becomes a call of memcpy
  auto half = low(v);
  if ((n & 8) != 0) store(p, half), half = high(v), p += 8;
  auto quarter = low(half);
  if ((n & 4) != 0) store(p, quarter), quarter = high(half), p += 4;
  for (int i = 0; i < 3; ++i)
    if (i < (n & 3)) p[i] = quarter.v[i];
  return;
#endif
#if defined(__AVX512F__)
  __builtin_ia32_storeups512_mask(detail::address{p}, bits_as<float>(v).v, detail::first_lanes(n));
#else
  alignas(64) T lane[16];
  store(lane, v);
  for (int i = 0; i < n; ++i) p[i] = lane[i];
#endif
}

// The same to an array of another type.
template <class U, class T>
MOEROUTE_SIMD_INLINE void store_first_as(U* p, vec<T, 16> v, int n) {
  if constexpr (std::same_as<U, T>) {
    store_first(p, v, n);
  } else {
    alignas(64) T lane[16];
    store(lane, v);
    for (int i = 0; i < n; ++i) p[i] = static_cast<U>(lane[i]);
  }
}

// Lane i is p[at[i]].
template <class T>
MOEROUTE_SIMD_INLINE vec<T, 16> gather(T const* p, ints at) {
  static_assert(sizeof(T) == 4);
#if defined(__AVX512F__)
  return bits_as<T>(floats(__builtin_ia32_gathersiv16sf(floats(0.f).v, p, at.v, all_lanes, 4), 0));
#else
  alignas(64) std::int32_t from[16];
  alignas(64) T lane[16];
  store(from, at);
#if defined(__aarch64__)
#pragma GCC unroll 16
#endif
  for (int i = 0; i < 16; ++i) lane[i] = p[from[i]];
  return load<vec<T, 16>>(lane);
#endif
}

// Lane i is lane at[i] of v, which is below 16.
template <class T>
MOEROUTE_SIMD_INLINE vec<T, 16> permute(vec<T, 16> v, ints at) {
  static_assert(sizeof(T) == 4);
#if defined(__AVX512F__) && defined(__clang__)
  return bits_as<T>(floats(__builtin_ia32_permvarsf512(bits_as<float>(v).v, at.v), 0));
#elif defined(__AVX512F__)
  return bits_as<T>(floats(__builtin_shuffle(bits_as<float>(v).v, at.v), 0));
#elif MOEROUTE_SIMD_BYTES >= 32
  using half = vec<float, 8>;
  floats const x = bits_as<float>(v);
  auto const part = [&](vec<std::int32_t, 8> i) MOEROUTE_SIMD_LAMBDA {
    half const a(__builtin_ia32_permvarsf256(x.lo.v, i.v), 0), b(__builtin_ia32_permvarsf256(x.hi.v, i.v), 0);
    return select(i > vec<std::int32_t, 8>(7), b, a);
  };
  return bits_as<T>(floats(part(at.lo), part(at.hi)));
#else
  alignas(64) T lane[16];
  store(lane, v);
  return gather(lane, at);
#endif
}
#if defined(__AVX512F__)
// Lane i is lane at[i] of a and b laid end to end; higher bits of at[i] do not count.
template <class T>
MOEROUTE_SIMD_INLINE vec<T, 16> lookup(vec<T, 16> a, vec<T, 16> b, ints at) {
#if defined(__clang__)
  return bits_as<T>(floats(__builtin_ia32_vpermi2varps512(bits_as<float>(a).v, at.v, bits_as<float>(b).v), 0));
#else
  return vec<T, 16>(__builtin_shuffle(a.v, b.v, at.v), 0);
#endif
}
#endif
// Lane i is table[at[i]] of n entries; `table` has room for 16.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE ints lookup(std::int32_t const* table, int n, ints at) {
  return n <= 16 ? permute(load<ints>(table), at) : gather(table, at);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
