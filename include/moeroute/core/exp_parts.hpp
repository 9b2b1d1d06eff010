// Decides e^x as p * 2^n, bit for bit: in five fused sums and a polynomial of four, or the same numbers from doubles where the
// machine has no fused sum.
//
// There a product of two floats is exact and its sum with a third is rounded to double, then to float. Where the sum's
// exponent is known, a large number added with it leaves float's digits: rounded once. Elsewhere the second rounding is
// wrong only if the first ends halfway between two floats; then the fused steps are taken, by the C library. No step meets
// a float below the normal ones that it would have to round.
#pragma once

#include <moeroute/core/arithmetic.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace math {

template <class S>
struct constants;
template <>
struct constants<float> {
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float round = 0x1.8p23f, log2e = 1.44269504f, ln2 = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f,
                         exp_least = -104.f, exp_most = 89.f, smallest_normal = 0x1p-126f, into_normal = 0x1p24f,
                         into_normal_log2 = 24;
};
template <>
struct constants<double> {
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double round = 0x1.8p52, log2e = 1.4426950408889634, ln2 = 0x1.62e42fefa38p-1,
                          ln2_low = 0x1.ef35793c7673p-45, exp_least = -746., exp_most = 710.,
                          smallest_normal = 0x1p-1022, into_normal = 0x1p54, into_normal_log2 = 54;
};

// A polynomial by Horner's rule: the coefficient of the highest power comes first.
template <class V, class S, class... C>
MOEROUTE_HD MOEROUTE_INLINE V polynomial(V x, S highest, C... lower) {
  V p(highest);
  ((p = math::fma(p, x, V(lower))), ...);
  return p;
}

namespace detail {
// e^x = p * 2^n, and n + round, whose last digit is worth 1.
template <class V>
struct exp_parts {
  V p, shifted;
};

// (e^r - 1 - r) / r^2 for |r| <= log(2) / 2.
struct exp_tail_of_float {
  static constexpr float c4 = .001381446706f, c3 = .008368780411f, c2 = .04166839421f, c1 = .1666652011f,
                         c0 = .4999999341f;
};
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V exp_tail(V r) {
  if constexpr (sizeof(scalar_t<V>) == 4) {
    using T = exp_tail_of_float;
    return math::polynomial(r, T::c4, T::c3, T::c2, T::c1, T::c0);
  } else {
    return math::polynomial(r, 2.0826533961035145e-9, 2.5112144432828057e-8, 2.7557582803514972e-7,
                            2.7557234558972452e-6, 2.4801586924595254e-5, .00019841269896680747, .0013888888889117269,
                            .0083333333333169171, .041666666666666089, .16666666666666684, .5);
  }
}
template <class V>
MOEROUTE_HD MOEROUTE_INLINE exp_parts<V> exp_by_fma(V x, V round) {
  using C = constants<scalar_t<V>>;
  V const shifted = math::fma(x, V(C::log2e), round), n = shifted - round;
  V const r = math::fma(n, V(-C::ln2_low), math::multiply_add(n, V(-C::ln2), x));
  return {math::fma(math::mul(r, r), exp_tail(r), r) + V(1), shifted};
}

#if defined(MOEROUTE_FMA_BY_DOUBLES)
MOEROUTE_HD inline double to_double(float x) { return static_cast<double>(x); }
MOEROUTE_HD inline float to_float(double x, bool& doubt) {
  doubt |= halfway(x);
  return static_cast<float>(x);
}
MOEROUTE_HD inline float low_word(double x) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(__builtin_bit_cast(std::uint64_t, x)));
}
// What rounds a sum from 2^E to 2^(E+1) to float's digits, when it is added and taken away again.
template <int E>
inline constexpr double grid = 0x1.8p29 / (1 << -E);
template <class V, class Doubt>
MOEROUTE_HD MOEROUTE_INLINE exp_parts<V> exp_by_doubles(V x, float round, Doubt& doubt) {
  using C = constants<float>;
  using D = decltype(to_double(x));
  using T = exp_tail_of_float;
  // The lower word of n + words is what the float n + round is made of.
  double const words = 0x1.8p52 + 0x4A800000 + to_double(round);
  D const w = to_double(x), shifted = w * D(to_double(C::log2e)) + D(words), n = shifted - D(words);
  V const r = to_float(w - n * D(to_double(C::ln2)) - n * D(to_double(C::ln2_low)), doubt), rr = math::mul(r, r);
  D const d = to_double(r);
  D tail = D(to_double(T::c4));
  tail = (tail * d + D(to_double(T::c3) + grid<-7>)) - D(grid<-7>);
  tail = (tail * d + D(to_double(T::c2) + grid<-5>)) - D(grid<-5>);
  tail = (tail * d + D(to_double(T::c1) + grid<-3>)) - D(grid<-3>);
  tail = to_double(to_float(tail * d + D(to_double(T::c0)), doubt));
  return {to_float(to_double(rr) * tail + d, doubt) + V(1), low_word(shifted)};
}
MOEROUTE_ON_DEMAND
MOEROUTE_HD [[gnu::noinline]] inline exp_parts<float> exp_of_one(float x, float round) {
  bool doubt = false;
  exp_parts<float> const e = exp_by_doubles(x, round, doubt);
  return __builtin_expect(doubt, 0) ? exp_by_fma(x, round) : e;
}
#endif

// For floats x from -104 to 89, or NaN.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE exp_parts<V> exp_in_parts(V x, scalar_t<V> round) {
#if defined(MOEROUTE_FMA_BY_DOUBLES)
  if constexpr (std::same_as<V, float>) return exp_of_one(x, round);
  else if constexpr (requires { simd_exp_in_parts(x, round); }) return simd_exp_in_parts(x, round);
  else
#endif
    return exp_by_fma(x, V(round));
}
}  // namespace detail

}  // namespace math
}  // namespace moeroute::inline MOEROUTE_ABI
