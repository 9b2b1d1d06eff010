// Decides what a vector of numbers is on the CPU: N lanes in one register or in two halves, by the vector
// extensions of g++ and clang; one source for AVX-512, AVX2, NEON.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include <moeroute/core/types.hpp>
#include <moeroute/cpu/simd/neon.hpp>

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
#define MOEROUTE_SIMD_SHIFTS(F) F(<<) F(>>)

// Vectors come by reference, and results are filled in place: every copy and every constructor on the way is code that
// the compiler first inlines and then removes again.
template <class T, int N>
struct vec<T, N, true> {
  typedef T raw __attribute__((vector_size(N * sizeof(T))));
  typedef typename wrapping<T>::type wrap __attribute__((vector_size(N * sizeof(T))));
  using mask = vec<lane_mask<T>, N>;
  raw v;

  vec() = default;
  MOEROUTE_SIMD_INLINE explicit vec(T x) : v(x - raw{}) {}
  MOEROUTE_SIMD_INLINE explicit vec(raw x, int) : v(x) {}
#define F(op)                                                                                \
  friend MOEROUTE_SIMD_INLINE vec operator op(vec const& a, vec const& b) {                  \
    vec r;                                                                                   \
    r.v = reinterpret_cast<raw>(reinterpret_cast<wrap>(a.v) op reinterpret_cast<wrap>(b.v)); \
    return r;                                                                                \
  }
  MOEROUTE_SIMD_WRAPPING(F)
#undef F
#define F(op)                                                               \
  friend MOEROUTE_SIMD_INLINE vec operator op(vec const& a, vec const& b) { \
    vec r;                                                                  \
    r.v = a.v op b.v;                                                       \
    return r;                                                               \
  }
  MOEROUTE_SIMD_PLAIN(F)
  MOEROUTE_SIMD_SHIFTS(F)
#undef F
#define F(op)                                                                \
  friend MOEROUTE_SIMD_INLINE mask operator op(vec const& a, vec const& b) { \
    mask r;                                                                  \
    r.v = a.v op b.v;                                                        \
    return r;                                                                \
  }
  MOEROUTE_SIMD_COMPARISONS(F)
#undef F
#define F(op)                                                        \
  friend MOEROUTE_SIMD_INLINE vec operator op(vec const& a, int n) { \
    vec r;                                                           \
    r.v = a.v op n;                                                  \
    return r;                                                        \
  }
  MOEROUTE_SIMD_SHIFTS(F)
#undef F
  friend MOEROUTE_SIMD_INLINE vec operator-(vec const& a) {
    vec r;
    r.v = reinterpret_cast<raw>(-reinterpret_cast<wrap>(a.v));
    return r;
  }
  friend MOEROUTE_SIMD_INLINE vec operator~(vec const& a) {
    vec r;
    r.v = ~a.v;
    return r;
  }
  friend MOEROUTE_SIMD_INLINE vec operator+(vec const& a, T b) { return a + vec(b); }
  MOEROUTE_SIMD_INLINE vec& operator+=(vec const& b) { return *this = *this + b; }
  MOEROUTE_SIMD_INLINE vec& operator*=(vec const& b) { return *this = *this * b; }
};
template <class T, int N>
struct vec<T, N, false> {
  using half = vec<T, N / 2>;
  using mask = vec<lane_mask<T>, N>;
  half lo, hi;

  vec() = default;
  MOEROUTE_SIMD_INLINE explicit vec(T x) : lo(x), hi(lo) {}
  MOEROUTE_SIMD_INLINE explicit vec(half const& a, half const& b) : lo(a), hi(b) {}
#define F(op)                                                               \
  friend MOEROUTE_SIMD_INLINE vec operator op(vec const& a, vec const& b) { \
    vec r;                                                                  \
    r.lo = a.lo op b.lo;                                                    \
    r.hi = a.hi op b.hi;                                                    \
    return r;                                                               \
  }
  MOEROUTE_SIMD_OPERATORS(F)
  MOEROUTE_SIMD_SHIFTS(F)
#undef F
#define F(op)                                                                \
  friend MOEROUTE_SIMD_INLINE mask operator op(vec const& a, vec const& b) { \
    mask r;                                                                  \
    r.lo = a.lo op b.lo;                                                     \
    r.hi = a.hi op b.hi;                                                     \
    return r;                                                                \
  }
  MOEROUTE_SIMD_COMPARISONS(F)
#undef F
#define F(op)                                                        \
  friend MOEROUTE_SIMD_INLINE vec operator op(vec const& a, int n) { \
    vec r;                                                           \
    r.lo = a.lo op n;                                                \
    r.hi = a.hi op n;                                                \
    return r;                                                        \
  }
  MOEROUTE_SIMD_SHIFTS(F)
#undef F
#define F(op)                                                 \
  friend MOEROUTE_SIMD_INLINE vec operator op(vec const& a) { \
    vec r;                                                    \
    r.lo = op a.lo;                                           \
    r.hi = op a.hi;                                           \
    return r;                                                 \
  }
  F(-)
  F(~)
#undef F
  friend MOEROUTE_SIMD_INLINE vec operator+(vec const& a, T b) { return a + vec(b); }
  MOEROUTE_SIMD_INLINE vec& operator*=(vec const& b) { return *this = *this * b; }
  MOEROUTE_SIMD_INLINE vec& operator+=(vec const& b) { return *this = *this + b; }
};
#undef MOEROUTE_SIMD_OPERATORS
#undef MOEROUTE_SIMD_WRAPPING
#undef MOEROUTE_SIMD_PLAIN
#undef MOEROUTE_SIMD_COMPARISONS
#undef MOEROUTE_SIMD_SHIFTS

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
