// Decides every bit of exp, log, sigmoid, softplus, tanh: one source whose results are the same on any
// machine, because each step is an explicit fused or an explicitly separate operation.
//
// Keys that rank experts are made of these functions, so two machines rank alike. Compile the CPU part
// for a machine with fused multiply-add (-march=x86-64-v3 or later, any Arm): elsewhere doubles give the
// same bits (core/exp_parts.hpp), several times as slowly.
// Errors in units in the last place, measured in tests/core/math_test.cpp:
// exp 1, log 2, sigmoid 2, softplus 3, tanh 3, in float and in double, tails and subnormals included.
#pragma once

#include <moeroute/core/exp_parts.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace math {

// ---- polynomials ---------------------------------------------------------------------------------------------

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
    return math::mul(p * math::power_of_two<V>(half), math::power_of_two<V>(power - half));
  }
}

namespace detail {
template <bool NotPositive, class V>
MOEROUTE_HD MOEROUTE_INLINE V exp(V x) {
  using C = constants<scalar_t<V>>;
  V a = x;
  if constexpr (!NotPositive) a = math::min(V(C::exp_most), a);
  if constexpr (!requires { simd_scale_by_power(x, x); }) a = math::max(V(C::exp_least), a);
  auto const [p, shifted] = exp_in_parts(a, C::round);
  // 0 before the scaling: a product that vanishes takes many times as long.
  return math::scale_by_power(math::where(x <= V(C::exp_least), V(0), p), shifted - V(C::round), shifted);
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
