// Decides the 32-bit keys that a sorting network ranks: larger is better, the inverted code of the place in the low
// bits. Either exact, or a filter: never smaller than `floor_of` the exact number, so that whoever belongs among the
// winners reaches the floor of the last one.
//
//   halves   16-bit logits of a known format that are ranked themselves: exact, two at a time
//   ordered  any number: its order key, low bits given up for the code
//   fixed    a rough score in [0, 1] plus a bias, in fixed point: only multiplications and additions
#pragma once

#include <moeroute/route.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// ---- halves -----------------------------------------------------------------------------------------------

namespace detail {

// -x of both halves of a word, 0 for either zero, 0x7fff for any NaN.
template <half_format F>
MOEROUTE_HD inline std::uint32_t negated_halves(std::uint32_t w) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  std::uint32_t y;  // fma: -x + 0
  if constexpr (F == half_format::bf16)
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(y) : "r"(w), "r"(0xbf80bf80u), "r"(0u));
  else asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(y) : "r"(w), "r"(0xbc00bc00u), "r"(0u));
  return y;
#else
  std::uint32_t const infinite = F == half_format::bf16 ? 0x7f80u : 0x7c00u;
  std::uint32_t y = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    std::uint32_t const h = w >> shift & 0xffffu, magnitude = h & 0x7fffu;
    y |= (magnitude > infinite ? 0x7fffu : magnitude == 0 ? 0u : h ^ 0x8000u) << shift;
  }
  return y;
#endif
}
// 0xffff in each half with its sign bit set.
MOEROUTE_HD inline std::uint32_t signs_of_halves(std::uint32_t w) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(w, 0, 0xbb99);
#else
  return (w >> 15 & 1u ? 0xffffu : 0u) | (w >> 31 ? 0xffff0000u : 0u);
#endif
}

}  // namespace detail

// Both halves in the order of their numbers, as unsigned integers; 0 is NaN.
template <half_format F>
MOEROUTE_HD inline std::uint32_t ordered_halves(std::uint32_t w) {
  std::uint32_t const y = detail::negated_halves<F>(w);
  return ~(y ^ (detail::signs_of_halves(y) | 0x80008000u));
}
// The low half of an exact key: bit 15 tells a NaN from a place without an expert.
inline constexpr std::uint32_t real_half = 0x8000u;

// ---- ordered ----------------------------------------------------------------------------------------------

MOEROUTE_HD inline std::uint32_t ordered(std::int32_t order) { return static_cast<std::uint32_t>(order) ^ 0x80000000u; }
// ordered(order_key(x)) in two steps, but for -0, which comes just below 0, and NaN, which is at either end.
MOEROUTE_HD inline std::uint32_t ordered_number(float x) {
  auto const bits = math::as<std::int32_t>(x);
  return static_cast<std::uint32_t>(bits) ^ (static_cast<std::uint32_t>(bits >> 31) | 0x80000000u);
}
// No ordered_number of a number at least as large lies below. NaN ranks last, so that one among the winners lets
// every key reach this.
MOEROUTE_HD inline std::uint32_t floor_of_ordered(std::int32_t order) { return ordered(order == 0 ? -1 : order); }

// ---- fixed ------------------------------------------------------------------------------------------------

// A score near the exact one by the device's own approximations: |rough - exact| <= error for logits that are not NaN, both in
// [0, 1]; of NaN it may be anything. Specialize for a score of your own.
template <class Score>
struct rough_on_device {
  static constexpr bool known = false;
};
template <>
struct rough_on_device<sigmoid> {
  static constexpr bool known = true;
  static constexpr float error = 0x1p-21f;  // ex2 and rcp: 2^-22.5 and 2^-23; a quarter of the first, rounding
  MOEROUTE_HD static float of(sigmoid const& exact, float x) {
#if defined(__CUDA_ARCH__)
    static_cast<void>(exact);
    float u, y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(u) : "f"(x * -math::constants<float>::log2e));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(1.f + u));
    return y;
#else
    // An adversary stands in for the hardware.
    float const s = exact(x);
    std::uint32_t const h = (math::as<std::uint32_t>(s) ^ 0x5bd1e995u) * 0x9e3779b1u;
    float const y = s + error * (static_cast<float>(h >> 8) * 0x1p-23f - 1.f);
    return y < 0.f ? 0.f : y > 1.f ? 1.f : y;
#endif
  }
};
namespace detail {
template <class P>
bool rows_on_vectors(correction_bias<P> const&, index_t) {
  return true;
}
template <class P>
bool rows_on_vectors(modality_bias<P> const& b, index_t n) {
  return b.per_modality.stride % n == 0;
}
}  // namespace detail

// Keys from -4 to 4 in steps of 2^-20; beyond, all are equal.
struct fixed_point {
  static constexpr float range = 4, inverse = 1 / (2 * range), step = 0x1p-20f;
  float stretch;  // below a power of two by one step, so that 1 + stretch stays below 2

  MOEROUTE_HD static constexpr fixed_point of(index_t bits) {
    // 23 bits of fraction stand below the exponent's last; beyond 9 bits of code some are given up.
    return {0x1.fffffcp-1f / static_cast<float>(bits <= 9 ? 1 : 1 << (bits - 9))};
  }
  // What a rough score and the roundings on the way may hide: two sums (2^-23), three products (2^-22), one difference.
  MOEROUTE_HD static constexpr float margin(float error) { return error + 1.5f * step; }
  // 0 to 1 over the range; 0 for NaN.
  MOEROUTE_HD static float saturated(float v) {
#if defined(__CUDA_ARCH__)
    return __saturatef(__fmaf_rn(v, inverse, .5f));
#else
    float const u = math::fma(v, inverse, .5f);
    return u > 0.f ? (u < 1.f ? u : 1.f) : 0.f;
#endif
  }
  // Times 2^bits it is a key.
  MOEROUTE_HD std::uint32_t operator()(float v) const {
    return math::as<std::uint32_t>(math::fma(saturated(v), stretch, 1.f));
  }
};

// ---- the number itself ------------------------------------------------------------------------------------

namespace detail {
// What route_row ranks: the logit, or the (biased) score of an open expert.
template <class R, class V>
MOEROUTE_HD V key_of(R const& r, row_context const& c, index_t e, V z, V score) {
  if (ranks_logits<R> || is_nan(z) || z == -infinity<V>) return z;
  if constexpr (is_none<decltype(R::bias)>) return score;
  else return r.bias(score, static_cast<V>(r.bias.parameters(c)[e]));
}
// A row that nobody knows may name a modality that no table has.
template <class Batch>
MOEROUTE_HD row_context context_of(Batch const& in, offset_t t, bool known) {
  row_context c = in.context(t);
  if (!known) c.modality = 0;
  return c;
}
}  // namespace detail

}  // namespace moeroute::inline MOEROUTE_ABI
