// Decides the few operations on numbers that every function of the library is made of: each one rounded once, fused or
// separate, as the source says and not as a compiler likes.
//
// They take any V: float, double, or a vector type that specializes bits_of and brings fma, mul, min, max, sqrt, where,
// any, as, to_number with `simd_` before the name as functions found by argument (cpu/simd/math.hpp).
#pragma once

#include <moeroute/core/types.hpp>

// A function of the C library. <cmath> takes a tenth of a second to read: only compilers without the builtins need it.
#if defined(__CUDACC__) || !(defined(__GNUC__) || defined(__clang__))
#include <cmath>
#define MOEROUTE_LIBM(name) ::name
#else
#define MOEROUTE_LIBM(name) __builtin_##name
#endif

// No instruction for a b + c: doubles do it.
#if !defined(__CUDA_ARCH__) && defined(__SSE2__) && !defined(__FMA__)
#define MOEROUTE_FMA_BY_DOUBLES
#endif

namespace moeroute::inline MOEROUTE_ABI {
namespace math {

template <class V>
struct bits_of;  // the integers under a floating type
template <>
struct bits_of<float> {
  using type = std::int32_t;
  using scalar = float;
};
template <>
struct bits_of<double> {
  using type = std::int64_t;
  using scalar = double;
};
template <class V>
using scalar_t = typename bits_of<V>::scalar;
template <class V>
inline constexpr bool is_scalar = std::is_floating_point_v<V>;

namespace detail {
// Whether x lies halfway between two floats: the 29 bits that float lacks read 100...0.
MOEROUTE_HD MOEROUTE_INLINE bool halfway(double x) {
  return (__builtin_bit_cast(std::uint64_t, x) & 0x1fffffffu) == 0x10000000u;
}
// a * b + c rounded once, where the machine has no instruction for it. The product of two floats is exact in double.
// The sum, rounded to double and then to float, is right unless the first rounding ends halfway between two floats
// or the result is below the normal floats: those ask the library.
MOEROUTE_HD MOEROUTE_INLINE float fma_in_double(float a, float b, float c) {
  double const sum = static_cast<double>(a) * static_cast<double>(b) + static_cast<double>(c);
  std::uint64_t const bits = __builtin_bit_cast(std::uint64_t, sum);
  bool const tiny = 2 * bits - 1 < 2 * std::uint64_t{0x3810000000000000u} - 1;  // 0 < |sum| < 2^-126
  if (__builtin_expect(halfway(sum) || tiny, 0)) return __builtin_fmaf(a, b, c);
  return static_cast<float>(sum);
}
}  // namespace detail
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V fma(V a, V b, V c) {
  if constexpr (!is_scalar<V>) {
    return simd_fma(a, b, c);
  } else if constexpr (sizeof(V) == 4) {
#if defined(MOEROUTE_FMA_BY_DOUBLES)
    return detail::fma_in_double(a, b, c);
#else
    return MOEROUTE_LIBM(fmaf)(a, b, c);
#endif
  } else {
    return MOEROUTE_LIBM(fma)(a, b, c);
  }
}
// The same, or a product and a sum where the machine has no instruction for both: for products that are exact, so that the
// bits are those of fma, and for guesses and bounds.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V multiply_add(V a, V b, V c) {
#if defined(MOEROUTE_FMA_BY_DOUBLES)
  return a * b + c;
#else
  return math::fma(a, b, c);
#endif
}
namespace detail {
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V separate_product(V a, V b) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(V) == 4) return __fmul_rn(a, b);
  else return __dmul_rn(a, b);
#elif defined(__clang__)
#pragma clang fp contract(off)
  return a * b;
#elif defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)
  // g++ fuses through a barrier where it vectorizes a loop; a product that is fused already, with -0, stays one.
  if constexpr (sizeof(V) == 4) return __builtin_fmaf(a, b, -0.f);
  else return __builtin_fma(a, b, -0.);
#elif defined(__GNUC__) && __GNUC__ >= 12
  return __builtin_assoc_barrier(a * b);
#else
  V volatile p = a * b;
  return p;
#endif
}
}  // namespace detail
// A product that is rounded by itself: no compiler may fuse it into a sum.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V mul(V a, V b) {
  if constexpr (is_scalar<V>) return detail::separate_product(a, b);
  else return simd_mul(a, b);
}
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V max(V a, V b) {  // b where either is NaN
  if constexpr (is_scalar<V>) return a > b ? a : b;
  else return simd_max(a, b);
}
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V min(V a, V b) {  // b where either is NaN
  if constexpr (is_scalar<V>) return a < b ? a : b;
  else return simd_min(a, b);
}
template <class M, class V>
MOEROUTE_HD MOEROUTE_INLINE V where(M condition, V yes, V no) {
  if constexpr (std::same_as<M, bool>) return condition ? yes : no;
  else return simd_where(condition, yes, no);
}
template <class M>
MOEROUTE_HD MOEROUTE_INLINE bool any(M condition) {  // in any lane
  if constexpr (std::same_as<M, bool>) return condition;
  else return simd_any(condition);
}
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V sqrt(V x) {
  if constexpr (!is_scalar<V>) return simd_sqrt(x);
  else if constexpr (sizeof(V) == 4) return MOEROUTE_LIBM(sqrtf)(x);
  else return MOEROUTE_LIBM(sqrt)(x);
}
template <class To, class From>
MOEROUTE_HD MOEROUTE_INLINE To as(From x) {
  static_assert(sizeof(To) == sizeof(From));
  if constexpr (std::is_arithmetic_v<From>) return __builtin_bit_cast(To, x);
  else return simd_as(std::type_identity<To>{}, x);
}
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V to_number(typename bits_of<V>::type n) {
  if constexpr (is_scalar<V>) return static_cast<V>(n);
  else return simd_to_number(n);
}

}  // namespace math
}  // namespace moeroute::inline MOEROUTE_ABI
