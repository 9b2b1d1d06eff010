// Decides what a vector of numbers is on the CPU: N lanes in one register or in two halves, by the vector
// extensions of g++ and clang; one source for AVX-512, AVX2, SSE2, NEON.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include <moeroute/core/types.hpp>
#include <moeroute/cpu/simd/neon.hpp>
#include <moeroute/cpu/simd/sse2.hpp>

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define MOEROUTE_SIMD_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__)
#define MOEROUTE_SIMD_BYTES 32
#else
#define MOEROUTE_SIMD_BYTES 16
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // forced inlining takes minutes there
#define MOEROUTE_SIMD_INLINE inline
#define MOEROUTE_SIMD_LAMBDA
#define MOEROUTE_SIMD_FLATTEN
#else
#define MOEROUTE_SIMD_INLINE inline __attribute__((always_inline))
#define MOEROUTE_SIMD_LAMBDA __attribute__((always_inline))
#define MOEROUTE_SIMD_FLATTEN __attribute__((flatten))  // a user's policies are inlined as ours are
#endif

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr int register_bytes = MOEROUTE_SIMD_BYTES;
// How often loops over single numbers are unrolled: 16 lanes are four small registers already.
inline constexpr int unrolled = register_bytes == 16 ? 1 : 4;
template <class T, int N>
inline constexpr bool one_register = N * int{sizeof(T)} <= register_bytes;
template <class T>
using lane_mask = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;  // 0 or -1

template <class T, int N, bool = one_register<T, N>>
struct vec;

// Integers wrap around: they are added as unsigned numbers.
template <class T>
struct wrapping {
  using type = T;
};
template <std::signed_integral T>
struct wrapping<T> {
  using type = std::make_unsigned_t<T>;
};

#define MOEROUTE_SIMD_WRAPPING(F) F(+) F(-) F(*)
#define MOEROUTE_SIMD_PLAIN(F) F(/) F(&) F(|) F(^)
#define MOEROUTE_SIMD_OPERATORS(F) MOEROUTE_SIMD_WRAPPING(F) MOEROUTE_SIMD_PLAIN(F)
#define MOEROUTE_SIMD_COMPARISONS(F) F(<) F(>) F(<=) F(==)

template <class T, int N>
struct vec<T, N, true> {
  typedef T raw __attribute__((vector_size(N * sizeof(T))));
  typedef typename wrapping<T>::type wrap __attribute__((vector_size(N * sizeof(T))));
  raw v;

  vec() = default;
  MOEROUTE_SIMD_INLINE explicit vec(T x) : v(x - raw{}) {}
  MOEROUTE_SIMD_INLINE explicit vec(raw x, int) : v(x) {}
#define F(op)                                                                                         \
  friend MOEROUTE_SIMD_INLINE vec operator op(vec a, vec b) {                                         \
    return vec(reinterpret_cast<raw>(reinterpret_cast<wrap>(a.v) op reinterpret_cast<wrap>(b.v)), 0); \
  }
  MOEROUTE_SIMD_WRAPPING(F)
#undef F
#define F(op) \
  friend MOEROUTE_SIMD_INLINE vec operator op(vec a, vec b) { return vec(a.v op b.v, 0); }
  MOEROUTE_SIMD_PLAIN(F)
#undef F
#define F(op)                                                                  \
  friend MOEROUTE_SIMD_INLINE vec<lane_mask<T>, N> operator op(vec a, vec b) { \
    return vec<lane_mask<T>, N>(a.v op b.v, 0);                                \
  }
  MOEROUTE_SIMD_COMPARISONS(F)
#undef F
  friend MOEROUTE_SIMD_INLINE vec operator-(vec a) {
    return vec(reinterpret_cast<raw>(-reinterpret_cast<wrap>(a.v)), 0);
  }
  friend MOEROUTE_SIMD_INLINE vec operator~(vec a) { return vec(~a.v, 0); }
  friend MOEROUTE_SIMD_INLINE vec operator<<(vec a, int n) { return vec(a.v << n, 0); }
  friend MOEROUTE_SIMD_INLINE vec operator>>(vec a, int n) { return vec(a.v >> n, 0); }
  friend MOEROUTE_SIMD_INLINE vec operator<<(vec a, vec n) { return vec(a.v << n.v, 0); }
  friend MOEROUTE_SIMD_INLINE vec operator>>(vec a, vec n) { return vec(a.v >> n.v, 0); }
  friend MOEROUTE_SIMD_INLINE vec operator+(vec a, T b) { return a + vec(b); }
  MOEROUTE_SIMD_INLINE vec& operator+=(vec b) { return *this = *this + b; }
  MOEROUTE_SIMD_INLINE vec& operator*=(vec b) { return *this = *this * b; }
};
template <class T, int N>
struct vec<T, N, false> {
  using half = vec<T, N / 2>;
  half lo, hi;

  vec() = default;
  MOEROUTE_SIMD_INLINE explicit vec(T x) : lo(x), hi(x) {}
  MOEROUTE_SIMD_INLINE explicit vec(half a, half b) : lo(a), hi(b) {}
#define F(op) \
  friend MOEROUTE_SIMD_INLINE vec operator op(vec a, vec b) { return vec(a.lo op b.lo, a.hi op b.hi); }
  MOEROUTE_SIMD_OPERATORS(F)
#undef F
#define F(op)                                                                  \
  friend MOEROUTE_SIMD_INLINE vec<lane_mask<T>, N> operator op(vec a, vec b) { \
    return vec<lane_mask<T>, N>(a.lo op b.lo, a.hi op b.hi);                   \
  }
  MOEROUTE_SIMD_COMPARISONS(F)
#undef F
  friend MOEROUTE_SIMD_INLINE vec operator-(vec a) { return vec(-a.lo, -a.hi); }
  friend MOEROUTE_SIMD_INLINE vec operator~(vec a) { return vec(~a.lo, ~a.hi); }
  friend MOEROUTE_SIMD_INLINE vec operator<<(vec a, int n) { return vec(a.lo << n, a.hi << n); }
  friend MOEROUTE_SIMD_INLINE vec operator>>(vec a, int n) { return vec(a.lo >> n, a.hi >> n); }
  friend MOEROUTE_SIMD_INLINE vec operator<<(vec a, vec n) { return vec(a.lo << n.lo, a.hi << n.hi); }
  friend MOEROUTE_SIMD_INLINE vec operator>>(vec a, vec n) { return vec(a.lo >> n.lo, a.hi >> n.hi); }
  friend MOEROUTE_SIMD_INLINE vec operator+(vec a, T b) { return a + vec(b); }
  MOEROUTE_SIMD_INLINE vec& operator+=(vec b) { return *this = *this + b; }
  MOEROUTE_SIMD_INLINE vec& operator*=(vec b) { return *this = *this * b; }
};
#undef MOEROUTE_SIMD_OPERATORS
#undef MOEROUTE_SIMD_WRAPPING
#undef MOEROUTE_SIMD_PLAIN
#undef MOEROUTE_SIMD_COMPARISONS

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
