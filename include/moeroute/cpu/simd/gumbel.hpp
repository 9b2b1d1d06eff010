// Decides how Gumbel noise is made of random words on the CPU's vectors: exactly, roughly, and as a bound from above that
// takes six instructions.
//
//   u = (x + 1/2) 2^-23,  v = 1 - u,   noise G = -log(-log u) = -log v - log(-log(1 - v) / v) < -log v - v / 2
//   bound B = -log(2) L(v') - v' / 2 + margin,   v' = v - 2^-24,   L(v'): the bits of v' read as a number, a piecewise
//   linear log2 that is at most 0.0861 below it
//
// G <= B and the error of the rough noise are tested for each of the 2^23 values of x. What rounding takes from z + B is
// taken from the threshold before bounds are compared with it.
#pragma once

#include <moeroute/cpu/simd/math.hpp>
#include <moeroute/cpu/simd/philox.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> gumbel_of(vec<std::uint32_t, N> word) {
  vec<float, N> const u =
      (convert<float>(bits_as<std::int32_t>(word >> 9)) + vec<float, N>(.5f)) * vec<float, N>(0x1p-23f);
  return -math::log_of_normal(-math::log_of_normal(u));
}
// z + temperature (B - bound_constant), for the complement of the word.
inline constexpr int bound_scale = MOEROUTE_SIMD_BYTES == 64 ? 32 : 23;
inline constexpr float ln2 = 0x1.62e43p-1f, bound_constant = ln2 * (127 + bound_scale) + 4e-5f;
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> gumbel_bound(vec<float, N> z, vec<std::uint32_t, N> not_word,
                                                float temperature = 1) {
  using V = vec<float, N>;
  V v;  // 2^bound_scale v', exact
  if constexpr (bound_scale == 32) v = convert<float>(not_word & vec<std::uint32_t, N>(0xFFFFFE00u));
  else v = convert<float>(bits_as<std::int32_t>(not_word >> 9));
  V const steep = math::multiply_add(convert<float>(bits_as<std::int32_t>(v)), V(-ln2 * 0x1p-23f * temperature), z);
  return math::multiply_add(v, V((bound_scale == 32 ? -0x1p-33f : -0x1p-24f) * temperature), steep);
}
// What the bound reaches where z / temperature + G reaches `key`: eight roundings of numbers below |z / temperature| + 128
// lie between.
template <class V>
MOEROUTE_SIMD_INLINE V bound_of_key(V key, V temperature = V(1.f)) {
  return (key - V(bound_constant) - V(0x1p-21f) * (math::max(key, -key) + V(256.f))) * temperature;
}

// log(x) of a normal number, by a polynomial whose parts do not wait for each other: relative error 7.5e-6.
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> rough_log(vec<float, N> x) {
  using V = vec<float, N>;
  using I = vec<std::int32_t, N>;
  I const bits = bits_as<std::int32_t>(x), e = (bits - bits_as<std::int32_t>(V(0x1.6a09e6p-1f))) >> 23;
  V const f = bits_as<float>(bits - (e << 23)) - V(1.f), ff = math::mul(f, f);
  V const a = math::multiply_add(f, V(-.499902175f), V(1.00000456f)),
          b = math::multiply_add(f, V(-.2540327f), V(.332580227f)),
          c = math::multiply_add(f, V(-.142920677f), V(.220559349f));
  return math::multiply_add(f, math::multiply_add(ff, math::multiply_add(ff, c, b), a),
                            math::mul(convert<float>(e), V(ln2)));
}
// Within rough_gumbel_error of gumbel_of, from the complement of the word.
inline constexpr float rough_gumbel_error = 1e-5f;
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> rough_gumbel(vec<std::uint32_t, N> not_word) {
  using V = vec<float, N>;
  V const v = math::mul(convert<float>(bits_as<std::int32_t>(not_word >> 9)), V(0x1p-23f));  // v', exact as u is
  return -rough_log(-rough_log(V(1 - 0x1p-24f) - v));
}

// Experts first .. first + 63, first a multiple of 64.
MOEROUTE_ON_DEMAND
inline void gumbel_of_64(philox_words const& from, offset_t token, index_t first, float (&out)[64]) {
  std::uint32_t word[64], *const to = word;
  draw_words(from, &token, 1, first, first + 64, false, &to);
  for (int i = 0; i < 64; i += 16) store(out + i, gumbel_of(load<vec<std::uint32_t, 16>>(word + i)));
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
