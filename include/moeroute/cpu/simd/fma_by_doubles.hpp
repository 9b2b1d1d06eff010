// Decides how vectors get fused sums, and e^x, where the machine has no instruction for the former: by doubles, a call for
// four sums or for sixteen exponentials.
#pragma once

#include <moeroute/core/exp_parts.hpp>
#include <moeroute/cpu/simd/vec.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

#if defined(MOEROUTE_FMA_BY_DOUBLES)
// Calls: what a sum without an instruction takes is too much to be written out at every place.
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> simd_fma(vec<float, N> a, vec<float, N> b, vec<float, N> c) {
  return each([](auto x, auto y, auto z) MOEROUTE_SIMD_LAMBDA { return decltype(x)(sse2::fma(x.v, y.v, z.v), 0); }, a,
              b, c);
}
// Through memory: what reads a half there waits for no shuffle.
template <int N>
MOEROUTE_SIMD_INLINE vec<double, N> to_double(vec<float, N> x) {
  if constexpr (N > 4) {
    return join(to_double(x.lo), to_double(x.hi));
  } else {
    auto slot = x.v;
    __asm__("" : "+m"(slot));
    typedef double half __attribute__((may_alias));
    auto const* at = reinterpret_cast<half const*>(&slot);
    using D = vec<double, 2>;
    D::raw lo, hi;
    __asm__("cvtps2pd %1, %0" : "=x"(lo) : "m"(at[0]), "m"(slot));
    __asm__("cvtps2pd %1, %0" : "=x"(hi) : "m"(at[1]), "m"(slot));
    return join(D(lo, 0), D(hi, 0));
  }
}
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> to_float(vec<double, N> x, sse2::ints_4& doubt) {
  if constexpr (N > 4) {
    return join(to_float(x.lo, doubt), to_float(x.hi, doubt));
  } else {
    doubt |= sse2::halfway(x.lo.v, x.hi.v);
    return vec<float, 4>(sse2::as_floats(x.lo.v, x.hi.v), 0);
  }
}
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> low_word(vec<double, N> x) {
  if constexpr (N > 4) return join(low_word(x.lo), low_word(x.hi));
  else return bits_as<float>(vec<std::int32_t, 4>(sse2::lower_words(x.lo.v, x.hi.v), 0));
}
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline math::detail::exp_parts<floats> exp_of_16(floats const& x, float round) {
  sse2::ints_4 doubt{};
  auto e = math::detail::exp_by_doubles(x, round, doubt);
  if (__builtin_expect(sse2::any(doubt), 0)) {
    float p[16];
    store(p, x);
    for (float& y : p) y = math::detail::exp_by_fma(y, round).p;
    e.p = load<floats>(p);
  }
  return e;
}
template <int N>
  requires(N >= 16)
MOEROUTE_SIMD_INLINE math::detail::exp_parts<vec<float, N>> simd_exp_in_parts(vec<float, N> x, float round) {
  if constexpr (N == 16) {
    return exp_of_16(x, round);
  } else {
    auto const a = simd_exp_in_parts(x.lo, round), b = simd_exp_in_parts(x.hi, round);
    return {join(a.p, b.p), join(a.shifted, b.shifted)};
  }
}
#endif

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
