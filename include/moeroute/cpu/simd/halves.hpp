// Decides how 16-bit logits become floats on vectors: by their format, which a type shows in how it writes a number, not by
// its name. A type of neither format is converted one number at a time.
//
//   bfloat16   the upper half of a float
//   binary16   2^112 times the float that holds the same digits, but where the exponent is full
#pragma once

#include <moeroute/cpu/simd/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

template <half_like T>
MOEROUTE_SIMD_INLINE half_format format_of() {
  if constexpr (std::is_trivially_copyable_v<T>) {
    auto const bits = [](float x) { return std::bit_cast<std::uint16_t>(static_cast<T>(x)); };
    if (bits(1.f) == 0x3f80 && bits(-1.75f) == 0xbfe0) return half_format::bf16;
    if (bits(1.f) == 0x3c00 && bits(-1.75f) == 0xbf00) return half_format::fp16;
  }
  return half_format::unknown;
}

MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE floats widened_bfloat16(vec<std::uint16_t, 16> x) {
  return bits_as<float>(convert<std::uint32_t>(x) << 16);
}
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE floats widened_binary16(vec<std::uint16_t, 16> x) {
#if defined(__AVX512F__)
  typedef short halves __attribute__((vector_size(32)));
  return floats(__builtin_ia32_vcvtph2ps512_mask(__builtin_bit_cast(halves, x.v), floats(0.f).v, all_lanes, 4), 0);
#else
  using words = vec<std::uint32_t, 16>;
  words const h = convert<std::uint32_t>(x), digits = (h & words(0x7fffu)) << 13;
  floats const finite = bits_as<float>(digits) * floats(0x1p112f);
  ints const full = bits_as<std::int32_t>(h & words(0x7c00u)) == ints(0x7c00);
  floats const size = select(full, bits_as<float>(digits | words(0x7f800000u)), finite);
  return bits_as<float>(bits_as<std::uint32_t>(size) | (h & words(0x8000u)) << 16);
#endif
}

// 16 numbers from p on.
template <half_like T>
MOEROUTE_SIMD_INLINE floats load_halves(T const* p, half_format f) {
  vec<std::uint16_t, 16> const bits = load<vec<std::uint16_t, 16>>(reinterpret_cast<std::uint16_t const*>(p));
  if (f == half_format::bf16) return widened_bfloat16(bits);
  if (f == half_format::fp16) return widened_binary16(bits);
  alignas(64) float lane[16];
  for (int i = 0; i < 16; ++i) lane[i] = moeroute::load(p[i]);
  return load<floats>(lane);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
