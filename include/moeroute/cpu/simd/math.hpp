// Decides how core/math.hpp and core/exact_sum.hpp run on vectors: the few operations they ask for, so that
// exp, sigmoid and the rest give each lane the bits the scalar function gives.
#pragma once

#include <moeroute/core/exact_sum.hpp>
#include <moeroute/cpu/simd/fma_by_doubles.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace simd {

#if !defined(MOEROUTE_FMA_BY_DOUBLES)
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> simd_fma(vec<float, N> a, vec<float, N> b, vec<float, N> c) {
  return each(
      [](auto x, auto y, auto z) MOEROUTE_SIMD_LAMBDA {
#if defined(__AVX512F__)
        if constexpr (sizeof(x.v) == 64)
          return decltype(x)(__builtin_ia32_vfmaddps512_mask(x.v, y.v, z.v, all_lanes, 4), 0);
#endif
#if defined(__aarch64__)
        return decltype(x)(neon::fused(x.v, y.v, z.v), 0);
#endif
#if defined(__FMA__)
        if constexpr (sizeof(x.v) == 32) return decltype(x)(__builtin_ia32_vfmaddps256(x.v, y.v, z.v), 0);
        if constexpr (sizeof(x.v) == 16) return decltype(x)(__builtin_ia32_vfmaddps(x.v, y.v, z.v), 0);
#endif
        auto r = x;
        for (int i = 0; i < int{sizeof(x.v) / sizeof(float)}; ++i) r.v[i] = __builtin_fmaf(x.v[i], y.v[i], z.v[i]);
        return r;
      },
      a, b, c);
}
#endif
// Rounded by itself: the barrier keeps the compiler from fusing it into a sum.
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> simd_mul(vec<float, N> a, vec<float, N> b) {
  return each(
      [](auto x, auto y) MOEROUTE_SIMD_LAMBDA {
#if defined(__clang__)
#pragma clang fp contract(off)
        return decltype(x)(x.v * y.v, 0);
#else
        auto p = x.v * y.v;
#if defined(__x86_64__)
        __asm__("" : "+v"(p));
#else
        __asm__("" : "+w"(p));
#endif
        return decltype(x)(p, 0);
#endif
      },
      a, b);
}
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> simd_max(vec<T, N> const& a, vec<T, N> const& b) {
  return simd::max(a, b);
}
template <class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> simd_min(vec<T, N> const& a, vec<T, N> const& b) {
  return simd::min(a, b);
}
template <class M, class T, int N>
MOEROUTE_SIMD_INLINE vec<T, N> simd_where(vec<M, N> const& m, vec<T, N> const& a, vec<T, N> const& b) {
  return simd::select(m, a, b);
}
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> simd_sqrt(vec<float, N> x) {
  return each(
      [](auto a) MOEROUTE_SIMD_LAMBDA {
#if defined(__clang__)
        return decltype(a)(__builtin_elementwise_sqrt(a.v), 0);
#elif defined(__aarch64__)
        return decltype(a)(neon::root(a.v), 0);
#else
#if defined(__AVX512F__)
        if constexpr (sizeof(a.v) == 64) return decltype(a)(__builtin_ia32_sqrtps512_mask(a.v, a.v, all_lanes, 4), 0);
#endif
#if defined(__AVX__)
        if constexpr (sizeof(a.v) == 32) return decltype(a)(__builtin_ia32_sqrtps256(a.v), 0);
#endif
        auto r = a;
        for (int i = 0; i < int{sizeof(a.v) / sizeof(float)}; ++i) r.v[i] = __builtin_sqrtf(a.v[i]);
        return r;
#endif
      },
      x);
}
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> simd_to_number(vec<std::int32_t, N> const& n) {
  return convert<float>(n);
}
template <class U, int M, class T, int N>
MOEROUTE_SIMD_INLINE vec<U, M> simd_as(std::type_identity<vec<U, M>>, vec<T, N> const& x) {
  return bits_as<U>(x);
}
// The nearest integer of x * 2^40, ties to even, by either way.
template <int N>
MOEROUTE_SIMD_INLINE vec<std::int64_t, N> simd_to_ticks(vec<float, N> x) {
#if defined(__AVX512DQ__)
  if constexpr (N == 8) {
    auto const zero = __builtin_bit_cast(long long __attribute__((vector_size(64))), vec<std::int64_t, 8>(0));
    auto const scaled = x * vec<float, 8>(0x1p40f);
    return __builtin_bit_cast(vec<std::int64_t, 8>, __builtin_ia32_cvtps2qq512_mask(scaled.v, zero, all_eight, 4));
  } else if constexpr (N > 8) {
    return join(simd_to_ticks(low(x)), simd_to_ticks(high(x)));
  }
#endif
  using D = vec<double, N>;
  D const shifted = convert<double>(x) * D(0x1p40) + D(0x1.8p52);
  return bits_as<std::int64_t>(shifted) - bits_as<std::int64_t>(D(0x1.8p52));
}
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> simd_from_ticks(vec<std::int64_t, N> ticks, vec<float, N> unit) {
#if !defined(__AVX512DQ__)  // no conversion of 64 bits: through doubles, which hold them exactly below 2^52
  using L = vec<std::int64_t, N>;
  L const magic = bits_as<std::int64_t>(vec<double, N>(0x1p52));
  std::int64_t large = 0;
#if defined(__aarch64__)
  L const high_bits = ticks >> 52;
  auto any = vec<std::int64_t, 2>(0);
  for_each_part<N / 2>(high_bits, [&](int, auto x) MOEROUTE_SIMD_LAMBDA { any = any | x; });
  large = any.v[0] | any.v[1];
#else
  each(
      [&](auto x) MOEROUTE_SIMD_LAMBDA {
        for (int i = 0; i < int{sizeof(x.v) / 8}; ++i) large |= x.v[i] >> 52;
        return x;
      },
      ticks);
#endif
  if (large == 0) return convert<float>(bits_as<double>(ticks | magic) - vec<double, N>(0x1p52)) / unit;
#endif
  return convert<float>(ticks) / unit;
}
#if defined(__AVX512F__)
template <int N>
  requires(N >= 16)
MOEROUTE_SIMD_INLINE vec<float, N> simd_scale_by_power(vec<float, N> p, vec<float, N> n) {
  return each(
      [](auto x, auto y)
          MOEROUTE_SIMD_LAMBDA { return decltype(x)(__builtin_ia32_scalefps512_mask(x.v, y.v, x.v, all_lanes, 4), 0); },
      p, n);
}
template <int N>
  requires(N >= 16)
MOEROUTE_SIMD_INLINE vec<float, N> rough_reciprocal(vec<float, N> d) {
  return each([](auto x)
                  MOEROUTE_SIMD_LAMBDA { return decltype(x)(__builtin_ia32_rcp14ps512_mask(x.v, x.v, all_lanes), 0); },
              d);
}
// n / d for 1 <= d <= 2. A division of 16 lanes takes 16 cycles; an approximate reciprocal, a step of Newton's and
// the remainder of the quotient give the same bits: tried for every u. The bound serves d = 2 - 2^-23, whose
// reciprocal the step rounds the wrong way.
template <int N>
  requires(N >= 16)
MOEROUTE_SIMD_INLINE vec<float, N> simd_sigmoid_quotient(vec<float, N> n, vec<float, N> d) {
  using V = vec<float, N>;
  V const rough = rough_reciprocal(d);
  auto const less = [](V c, V a, V b) MOEROUTE_SIMD_LAMBDA {  // c - a b
#if defined(__clang__)
    return simd_fma(-a, b, c);
#else
    return each(
        [](auto x, auto y, auto z) MOEROUTE_SIMD_LAMBDA {
          return decltype(x)(__builtin_ia32_vfnmaddps512_mask(x.v, y.v, z.v, all_lanes, 4), 0);
        },
        a, b, c);
#endif
  };
  V const r = max(simd_fma(less(V(1.f), d, rough), rough, rough), V(0x1.000002p-1f)), q = simd_mul(n, r);
  return simd_fma(less(n, d, q), r, q);
}
#endif

}  // namespace simd

namespace math {
template <int N>
struct bits_of<simd::vec<float, N>> {
  using type = simd::vec<std::int32_t, N>;
  using scalar = float;
};
template <int N>
struct ticks_of<simd::vec<float, N>> {
  using type = simd::vec<std::int64_t, N>;
};
}  // namespace math

namespace simd {
// So many terms in each of 16 lanes leave the parts of their sum below 2^31.
inline constexpr std::uint32_t most_narrow_terms = 64;
// Of groups in which a lane is alone.
template <class G, int N>
MOEROUTE_SIMD_INLINE vec<float, N> total_of_parts(G const&, vec<std::int32_t, N> coarse, vec<std::int32_t, N> fine) {
  return exact_sum<vec<float, N>>{(convert<std::int64_t>(coarse) << 20) + convert<std::int64_t>(fine)}.value();
}
}  // namespace simd

// Ticks in two parts of 20 bits, rounded by adding a number so large that the last bit is worth 2^-20, then
// 2^-40; the sums of the bits themselves are put right at the end. Both parts wrap modulo 2^32.
template <int N>
struct unit_sum<simd::vec<float, N>> {
  using V = simd::vec<float, N>;
  using U = simd::vec<std::uint32_t, N>;
  using I = simd::vec<std::int32_t, N>;
  using L = simd::vec<std::int64_t, N>;
  static constexpr float coarse_grid = 12, fine_grid = 0x1.8p-17f;
  U coarse = U(0u), fine = U(0u);
  std::uint32_t terms = 0;

  MOEROUTE_SIMD_INLINE void add(V x) {
    V const c = x + V(coarse_grid);
    coarse += simd::bits_as<std::uint32_t>(c);
    fine += simd::bits_as<std::uint32_t>((x - (c - V(coarse_grid))) + V(fine_grid));
    ++terms;
  }
  // e^d for d <= 0; NaN counts nothing, as does a term below half a tick. p * 2^n is never rounded: it is a term of two
  // fused sums, the second of which is the rest and the fine grid.
  MOEROUTE_SIMD_INLINE void add_exp(V d) {
    auto const [p, shifted] = math::detail::exp_in_parts(simd::max(d, V(-30.f)), 0x1.8p23f + 127);
    V const power = simd::bits_as<float>(simd::bits_as<std::int32_t>(shifted) << 23);  // 2^n
    V const c = math::multiply_add(p, power, V(coarse_grid));
    coarse += simd::bits_as<std::uint32_t>(c);
    fine += simd::bits_as<std::uint32_t>(math::multiply_add(p, power, V(coarse_grid + fine_grid) - c));
    ++terms;
  }
  MOEROUTE_SIMD_INLINE I part(U sum, float grid) const {
    return simd::bits_as<std::int32_t>(sum - U(terms * math::as<std::uint32_t>(grid)));
  }
  MOEROUTE_SIMD_INLINE L ticks() const {
    return (simd::convert<std::int64_t>(part(coarse, coarse_grid)) << 20) +
           simd::convert<std::int64_t>(part(fine, fine_grid));
  }
  template <class G>
  MOEROUTE_SIMD_INLINE V total(G const& g) const {
    if (terms > simd::most_narrow_terms) return exact_sum<V>{g.sum(ticks())}.value();
    return total_of_parts(g, part(coarse, coarse_grid), part(fine, fine_grid));
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
