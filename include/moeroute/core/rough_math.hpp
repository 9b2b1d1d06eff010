// Decides a sigmoid good enough to say which experts cannot be among the best: a few instructions, and a bound of its
// error against math::sigmoid that holds on every machine.
#pragma once

#include <moeroute/core/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace math {

// |rough_sigmoid(x) - sigmoid(x)| stays below it for every x but NaN. Tried for every float with AVX-512 and with a division,
// where it is 1/4 of the error of 2^f, 7.5e-5.
inline constexpr float rough_sigmoid_error = 1.15e-4f;

template <class V>
MOEROUTE_HD MOEROUTE_INLINE V rough_sigmoid(V x) {
  if constexpr (requires { simd_rough_sigmoid(x); }) {
    return simd_rough_sigmoid(x);
  } else if constexpr (sizeof(scalar_t<V>) == 8) {
    return math::sigmoid(x);
  } else {
    using C = constants<float>;
    using I = typename bits_of<V>::type;
    V const t = math::max(math::min(x * V(-C::log2e), V(126.f)), V(-126.f)), shifted = t + V(C::round);
    V const f = t - (shifted - V(C::round));
    V p = math::multiply_add(V(.0551716842f), f, V(.242611122f));  // 2^f for |f| <= 1/2
    p = math::multiply_add(math::multiply_add(p, f, V(.693260982f)), f, V(.999928074f));
    return V(1.f) / (V(1.f) + math::as<V>(math::as<I>(p) + (math::as<I>(shifted) << C::mantissa)));
  }
}

}  // namespace math
}  // namespace moeroute::inline MOEROUTE_ABI
