// Decides how probabilities are added: in fixed point, so that the sum has the same bits in any order,
// for any number of lanes, shards or threads, on any machine.
#pragma once

#include <moeroute/core/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace math {
template <class V>
struct ticks_of {  // the integers a sum of V is held in
  using type = std::int64_t;
};
}  // namespace math

// Terms are rounded to multiples of 2^-40 (float) or 2^-bits (double), then added as integers.
// For terms of magnitude at most 1 the sum of n terms is off by at most n * 2^-41; float sums hold
// 2^22 terms, double sums 2^10 (terms times magnitude).
template <class V>
struct exact_sum {
  using scalar = math::scalar_t<V>;
  using integer = typename math::ticks_of<V>::type;
  static constexpr bool narrow = sizeof(scalar) == 4;
  static constexpr int fraction_bits = narrow ? 40 : 52;
  static constexpr scalar unit = narrow ? scalar(0x1p40) : scalar(0x1p52);
  integer ticks = integer(0);

  MOEROUTE_HD static MOEROUTE_INLINE integer to_ticks(V x) {
    if constexpr (!math::is_scalar<V>) {
      return simd_to_ticks(x);
    } else {
#if defined(__CUDA_ARCH__)
      if constexpr (narrow) return __float2ll_rn(x * unit);
      else return __double2ll_rn(x * unit);
#else
      if constexpr (narrow) {
        // Adding 1.5 * 2^52 leaves the rounded integer in the low bits; vectorizes on every level.
        double const shifted = static_cast<double>(x) * 0x1p40 + 0x1.8p52;
        return math::as<std::int64_t>(shifted) - math::as<std::int64_t>(0x1.8p52);
      } else {
        return __builtin_llrint(x * unit);
      }
#endif
    }
  }
  MOEROUTE_HD MOEROUTE_INLINE void add(V x) { ticks += to_ticks(x); }
  MOEROUTE_HD exact_sum& operator+=(exact_sum other) {
    ticks += other.ticks;
    return *this;
  }
  MOEROUTE_HD MOEROUTE_INLINE V value() const {
    if constexpr (math::is_scalar<V>) return static_cast<V>(ticks) / unit;
    else return simd_from_ticks(ticks, V(unit));
  }
};

// The same sum for terms from 0 to 1, at most 2000 additions to a lane, such as the numerators of a softmax.
// Vectors have their own way (cpu/simd/math.hpp) to the same bits.
template <class V>
struct unit_sum {
  exact_sum<V> sum{};
  MOEROUTE_HD MOEROUTE_INLINE void add(V x) { sum.add(x); }
  MOEROUTE_HD MOEROUTE_INLINE auto ticks() const { return sum.ticks; }
  // Over the lanes of a group.
  template <class G>
  MOEROUTE_HD V total(G const& g) const {
    return exact_sum<V>{g.sum(sum.ticks)}.value();
  }
};

// The sum over a row of e^(x - top), which is 1 where x = top, infinite or not. No x is above top. Rows of vectors have
// their own way (cpu/simd/exp_mass.hpp) to the same bits.
MOEROUTE_EXEC_CHECK_DISABLE
template <class G, class Row, class V>
MOEROUTE_HD MOEROUTE_INLINE V exp_mass(G const& g, Row const& z, V top) {
  unit_sum<V> mass;
  z.each(g, [&](index_t, V const& x) { mass.add(math::exp_not_positive(math::min(x - top, V(0)))); });
  return mass.total(g);
}

}  // namespace moeroute::inline MOEROUTE_ABI
