// Decides which instructions of the first x86-64 a register of 16 bytes takes where a compiler would go lane by lane: floats
// widened and narrowed, fused sums by doubles, masks as bits.
#pragma once

#include <moeroute/core/arithmetic.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

#if defined(__x86_64__)
namespace sse2 {

typedef float floats_4 __attribute__((vector_size(16)));
typedef double doubles_2 __attribute__((vector_size(16)));
typedef std::int32_t ints_4 __attribute__((vector_size(16)));

MOEROUTE_INLINE doubles_2 low_doubles(floats_4 x) {
#if defined(__clang__)
  return __builtin_convertvector(__builtin_shufflevector(x, x, 0, 1), doubles_2);
#else
  return __builtin_ia32_cvtps2pd(x);
#endif
}
MOEROUTE_INLINE doubles_2 high_doubles(floats_4 x) { return low_doubles(__builtin_shufflevector(x, x, 2, 3, 2, 3)); }
MOEROUTE_INLINE floats_4 as_floats(doubles_2 low, doubles_2 high) {
#if defined(__clang__)
  typedef float floats_2 __attribute__((vector_size(8)));
  return __builtin_shufflevector(__builtin_convertvector(low, floats_2), __builtin_convertvector(high, floats_2), 0, 1,
                                 2, 3);
#else
  return __builtin_ia32_movlhps(__builtin_ia32_cvtpd2ps(low), __builtin_ia32_cvtpd2ps(high));
#endif
}

MOEROUTE_INLINE ints_4 lower_words(doubles_2 a, doubles_2 b) {
  return __builtin_shufflevector(__builtin_bit_cast(ints_4, a), __builtin_bit_cast(ints_4, b), 0, 2, 4, 6);
}
MOEROUTE_INLINE ints_4 upper_words(doubles_2 a, doubles_2 b) {
  return __builtin_shufflevector(__builtin_bit_cast(ints_4, a), __builtin_bit_cast(ints_4, b), 1, 3, 5, 7);
}
// math::detail::halfway of four sums.
MOEROUTE_INLINE ints_4 halfway(doubles_2 a, doubles_2 b) { return (lower_words(a, b) & 0x1fffffff) == 0x10000000; }
MOEROUTE_INLINE bool any(ints_4 mask) { return __builtin_ia32_movmskps(__builtin_bit_cast(floats_4, mask)) != 0; }

#if defined(MOEROUTE_FMA_BY_DOUBLES)
// a b + c rounded once, as by math::detail::fma_in_double, whose two conditions these are for four sums at once.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline floats_4 fma(floats_4 a, floats_4 b, floats_4 c) {
  doubles_2 const low = low_doubles(a) * low_doubles(b) + low_doubles(c);
  doubles_2 const high = high_doubles(a) * high_doubles(b) + high_doubles(c);
  // Wrapping around, zero comes to lie beside the largest numbers, opposite to the tiny ones.
  typedef std::uint32_t words_4 __attribute__((vector_size(16)));
  words_4 const magnitude = __builtin_bit_cast(words_4, upper_words(low, high) & 0x7fffffff);
  ints_4 const tiny = __builtin_bit_cast(ints_4, 0x80000000u - magnitude) > 0x7fffffff - 0x38100000 + 1;
  floats_4 sum = as_floats(low, high);
  if (__builtin_expect(any(halfway(low, high) | tiny), 0))
    for (int i = 0; i < 4; ++i) sum[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return sum;
}
#endif

// The signs of 16 lanes in four registers.
MOEROUTE_INLINE unsigned signs_of_16(ints_4 a, ints_4 b, ints_4 c, ints_4 d) {
  return static_cast<unsigned>(__builtin_ia32_pmovmskb128(
      __builtin_ia32_packsswb128(__builtin_ia32_packssdw128(a, b), __builtin_ia32_packssdw128(c, d))));
}

}  // namespace sse2
#endif

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
