// Decides every bit of exp, log, sigmoid, softplus, tanh: one source whose results are the same on any
// machine, because each step is an explicit fused or an explicitly separate operation.
//
// Keys that rank experts are made of these functions, so two machines rank alike. Compile the CPU part
// for a machine with fused multiply-add (-march=x86-64-v3 or later, any Arm): elsewhere they are right
// but slow. Errors in units in the last place, measured in tests/core/math_test.cpp:
// exp 1, log 2, sigmoid 2, softplus 3, tanh 3, in float and in double, tails and subnormals included.
#pragma once

#include <moeroute/core/arithmetic.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace math {

// ---- polynomials ---------------------------------------------------------------------------------------------

// A polynomial by Horner's rule: the coefficient of the highest power comes first.
template <class V, class S, class... C>
MOEROUTE_HD MOEROUTE_INLINE V polynomial(V x, S highest, C... lower) {
  V p(highest);
  ((p = math::fma(p, x, V(lower))), ...);
  return p;
}

// (e^r - 1 - r) / r^2 for |r| <= log(2) / 2.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V exp_tail(V r) {
  if constexpr (sizeof(scalar_t<V>) == 4)
    return math::polynomial(r, .001381446706f, .008368780411f, .04166839421f, .1666652011f, .4999999341f);
  else
    return math::polynomial(r, 2.0826533961035145e-9, 2.5112144432828057e-8, 2.7557582803514972e-7,
                            2.7557234558972452e-6, 2.4801586924595254e-5, .00019841269896680747, .0013888888889117269,
                            .0083333333333169171, .041666666666666089, .16666666666666684, .5);
}
// (2 atanh(s) - 2 s) / s^3 with z = s^2 <= 1/9.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V atanh_tail(V z) {
  if constexpr (sizeof(scalar_t<V>) == 4)
    return math::polynomial(z, .2180034225f, .171454576f, .2230176614f, .285683828f, .4000005329f, .6666666636f);
  else
    return math::polynomial(z, .15558608289881236, .036807328210348803, .088883282537815598, .08559423792096792,
                            .095381506130494217, .1052524728952873, .11764762862009917, .13333331164667149,
                            .1538461544259933, .1818181818076227, .22222222222234654, .28571428571428485, .4,
                            .66666666666666667);
}
// (tanh(x) / x - 1) / x^2 with z = x^2 <= 0.39.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V tanh_tail(V z) {
  if constexpr (sizeof(scalar_t<V>) == 4)
    return math::polynomial(z, .0021475397f, -.008182677176f, .02170296855f, -.05394720456f, .1333320977f,
                            -.3333333091f);
  else
    return math::polynomial(z, -2.2767170544460101e-6, 1.1807115982826761e-5, -3.6639551553448259e-5,
                            9.5760215885095246e-5, -.00023877465820549535, .00058995030923682674, -.0014558225017692943,
                            .0035921267582960276, -.0088632354367465139, .021869488531783487, -.053968253968132775,
                            .13333333333333164, -.33333333333333333);
}

// ---- the functions -------------------------------------------------------------------------------------------

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

// 2^n, n within the exponents of V.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V power_of_two(typename bits_of<V>::type n) {
  using C = constants<scalar_t<V>>;
  return math::as<V>((n + C::bias) << C::mantissa);
}

// p * 2^n, rounded once, for p near 1 and whole n from -151 to 129; `shifted` is n + round.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V scale_by_power(V p, V n, V shifted) {
  using C = constants<scalar_t<V>>;
  using I = typename bits_of<V>::type;
  if constexpr (requires { simd_scale_by_power(p, n); }) {
    return simd_scale_by_power(p, n);
  } else {
    I const power = math::as<I>(shifted) - math::as<I>(V(C::round)),
            half = power >> 1;  // two steps: subnormals
    return p * math::power_of_two<V>(half) * math::power_of_two<V>(power - half);
  }
}

namespace detail {
// e^x = p * 2^n: n + round, whose last digit is worth 1, and p.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V shifted_exponent(V x, V round) {
  return math::fma(x, V(constants<scalar_t<V>>::log2e), round);
}
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V exp_significand(V x, V n) {
  using C = constants<scalar_t<V>>;
  V const r = math::fma(n, V(-C::ln2_low), math::multiply_add(n, V(-C::ln2), x));
  return math::fma(math::mul(r, r), math::exp_tail(r), r) + V(1);
}
template <bool NotPositive, class V>
MOEROUTE_HD MOEROUTE_INLINE V exp(V x) {
  using C = constants<scalar_t<V>>;
  V a = x;
  if constexpr (!NotPositive) a = math::min(V(C::exp_most), a);
  if constexpr (!requires { simd_scale_by_power(x, x); }) a = math::max(V(C::exp_least), a);
  V const shifted = shifted_exponent(a, V(C::round)), n = shifted - V(C::round), p = exp_significand(a, n);
  // 0 before the scaling: a product that vanishes takes many times as long.
  return math::scale_by_power(math::where(x <= V(C::exp_least), V(0), p), n, shifted);
}
}  // namespace detail
// e^x. NaN stays NaN; +inf above the range, 0 below it.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V exp(V x) {
  return detail::exp<false>(x);
}
// The same for x <= 0.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V exp_not_positive(V x) {
  return detail::exp<true>(x);
}
// -|x|.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V minus_magnitude(V x) {
  using I = typename bits_of<V>::type;
  return math::as<V>(math::as<I>(x) | I(least<typename bits_of<scalar_t<V>>::type>));
}

// log(x 2^-less) for 0 < x < inf that is not subnormal.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V log_of_normal(V x, V less = V(0)) {
  using S = scalar_t<V>;
  using C = constants<S>;
  using I = typename bits_of<V>::type;
  I const bits = math::as<I>(x), sqrt_half = math::as<I>(V(S(0.70710678118654752)));
  I const e = (bits - sqrt_half) >> C::mantissa;
  V const m = math::as<V>(bits - (e << C::mantissa));  // in [sqrt(1/2), sqrt(2))
  V const k = math::to_number<V>(e) - less;
  V const f = m - V(1), s = f / (m + V(1)), z = math::mul(s, s);
  V const r = math::fma(math::mul(s, z), math::atanh_tail(z), s + s);
  return math::multiply_add(k, V(C::ln2), math::fma(k, V(C::ln2_low), r));
}
// log(x) for x >= 0: -inf at 0, NaN below.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V log(V x) {
  using S = scalar_t<V>;
  using C = constants<S>;
  auto const tiny = x < V(C::smallest_normal);
  V const y =
      math::log_of_normal(math::where(tiny, x * V(C::into_normal), x), math::where(tiny, V(C::into_normal_log2), V(0)));
  V const rest = math::where(x == V(0), V(-infinity<S>), V(not_a_number<S>));
  return math::where(x > V(0), math::where(x == V(infinity<S>), x, y), rest);
}

// n / (1 + u) for 0 <= u <= 1 and n = u or 1.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V over_one_plus(V n, V u) {
  V const d = V(1) + u;
  if constexpr (requires { simd_sigmoid_quotient(n, d); }) return simd_sigmoid_quotient(n, d);
  else return n / d;
}

// log(1 + u) for 0 <= u <= 1.
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V log1p_unit(V u) {
  V const s = u / (u + V(2)), z = math::mul(s, s);
  return math::fma(math::mul(s, z), math::atanh_tail(z), s + s);
}

template <class V>
MOEROUTE_HD MOEROUTE_INLINE V sigmoid(V x) {
  V const u = math::exp_not_positive(math::minus_magnitude(x));
  return math::over_one_plus(math::where(x < V(0), u, V(1)), u);
}
// log(1 + e^x).
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V softplus(V x) {
  V const u = math::exp_not_positive(math::minus_magnitude(x));
  return math::where(x > V(0), x, V(0)) + math::log1p_unit(u);
}
template <class V>
MOEROUTE_HD MOEROUTE_INLINE V tanh(V x) {
  V const a = math::where(x < V(0), -x, x), z = math::mul(x, x);
  V const near = math::fma(math::mul(x, z), math::tanh_tail(z), x);
  V const y = V(1) - V(2) / (math::exp(a + a) + V(1));
  return math::where(a < V(scalar_t<V>(0.6)), near, math::where(x < V(0), -y, y));
}

}  // namespace math
}  // namespace moeroute::inline MOEROUTE_ABI
