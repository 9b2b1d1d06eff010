// Decides which Arm instructions a register of 16 bytes takes where a compiler would go lane by lane: g++ 12 moves every
// lane through a general register to widen, narrow or multiply 64-bit lanes, and calls the C library for a square root.
//
// Registers come and go as the compiler's vectors of vec.hpp; both are 128 bits of the same lanes.
#pragma once

#if defined(__aarch64__)

#include <arm_neon.h>

#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd::neon {

// The largest of a register's lanes that both hold numbers: one instruction, where a comparison takes two. A quiet NaN
// loses; which zero is the larger is not that of `a > b ? a : b`.
template <class V>
MOEROUTE_INLINE V larger_number(V a, V b) {
  if constexpr (sizeof(a[0]) == 4)
    return __builtin_bit_cast(V, vmaxnmq_f32(__builtin_bit_cast(float32x4_t, a), __builtin_bit_cast(float32x4_t, b)));
  else
    return __builtin_bit_cast(V, vmaxnmq_f64(__builtin_bit_cast(float64x2_t, a), __builtin_bit_cast(float64x2_t, b)));
}
template <class V>
MOEROUTE_INLINE V smaller_number(V a, V b) {
  if constexpr (sizeof(a[0]) == 4)
    return __builtin_bit_cast(V, vminnmq_f32(__builtin_bit_cast(float32x4_t, a), __builtin_bit_cast(float32x4_t, b)));
  else
    return __builtin_bit_cast(V, vminnmq_f64(__builtin_bit_cast(float64x2_t, a), __builtin_bit_cast(float64x2_t, b)));
}
template <class V>
MOEROUTE_INLINE V fused(V a, V b, V c) {  // a b + c
  return __builtin_bit_cast(V, vfmaq_f32(__builtin_bit_cast(float32x4_t, c), __builtin_bit_cast(float32x4_t, a),
                                         __builtin_bit_cast(float32x4_t, b)));
}
template <class V>
MOEROUTE_INLINE V root(V a) {
  return __builtin_bit_cast(V, vsqrtq_f32(__builtin_bit_cast(float32x4_t, a)));
}

// Two lanes to another width.
template <class From, class To>
inline constexpr bool converts_pairs =
    (std::same_as<From, std::int32_t> && std::same_as<To, std::int64_t>) ||
    (std::same_as<From, std::int64_t> && std::same_as<To, std::int32_t>) ||
    (std::same_as<From, std::uint64_t> && std::same_as<To, std::int32_t>) ||
    (std::same_as<From, float> && std::same_as<To, double>) || (std::same_as<From, double> && std::same_as<To, float>);
template <class From, class To, class Out, class In>
MOEROUTE_INLINE Out converted_pair(In a) {
  if constexpr (std::same_as<From, std::int32_t>)
    return __builtin_bit_cast(Out, vmovl_s32(__builtin_bit_cast(int32x2_t, a)));
  else if constexpr (std::same_as<From, float>)
    return __builtin_bit_cast(Out, vcvt_f64_f32(__builtin_bit_cast(float32x2_t, a)));
  else if constexpr (std::same_as<From, double>)
    return __builtin_bit_cast(Out, vcvt_f32_f64(__builtin_bit_cast(float64x2_t, a)));
  else return __builtin_bit_cast(Out, vmovn_s64(__builtin_bit_cast(int64x2_t, a)));
}

// The halves of the products of four numbers and one.
struct halves {
  uint32x4_t low, high;
};
MOEROUTE_INLINE halves product(uint32x4_t a, std::uint32_t m) {
  uint32x4_t const first = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(a), vdup_n_u32(m)));
  uint32x4_t const last = vreinterpretq_u32_u64(vmull_high_u32(a, vdupq_n_u32(m)));
  return {vuzp1q_u32(first, last), vuzp2q_u32(first, last)};
}

// Masks of 16 lanes of 32 bits in four registers, as bytes; and 16 or 64 such bytes as bits.
template <class V>
MOEROUTE_INLINE uint8x16_t as_bytes(V a, V b, V c, V d) {
  auto const pair = [](V x, V y) {
    return vuzp1q_u16(__builtin_bit_cast(uint16x8_t, x), __builtin_bit_cast(uint16x8_t, y));
  };
  return vuzp1q_u8(vreinterpretq_u8_u16(pair(a, b)), vreinterpretq_u8_u16(pair(c, d)));
}
MOEROUTE_INLINE uint8x16_t weighted(uint8x16_t bytes) {  // bit i % 8 where byte i is set
  return vandq_u8(bytes, vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u)));
}
MOEROUTE_INLINE unsigned bits_of_16(uint8x16_t bytes) {
  uint8x16_t sum = weighted(bytes);
  for (int i = 0; i < 3; ++i) sum = vpaddq_u8(sum, sum);
  return vgetq_lane_u16(vreinterpretq_u16_u8(sum), 0);
}
MOEROUTE_INLINE std::uint64_t bits_of_64(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
  uint8x16_t const sum = vpaddq_u8(vpaddq_u8(weighted(a), weighted(b)), vpaddq_u8(weighted(c), weighted(d)));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)), 0);
}

}  // namespace simd::neon
}  // namespace moeroute::inline MOEROUTE_ABI

#endif
