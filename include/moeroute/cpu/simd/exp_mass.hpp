// Decides how the denominators of softmaxes are summed on the CPU's vectors: one fused step after the other, as few as the
// bits of core/exact_sum.hpp allow.
#pragma once

#include <moeroute/cpu/simd/rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// The elements of a row, with NaN where it has some and does not need to close them.
template <class G, class Row, class F>
MOEROUTE_SIMD_INLINE void each_raw(G const& g, Row const& z, F f) {
  if constexpr (requires { z.each_raw(g, f); }) z.each_raw(g, f);
  else z.each(g, f);
}

template <class G, class Row, int N>
MOEROUTE_SIMD_INLINE vec<float, N> exp_mass(G const& g, Row const& z, vec<float, N> top) {
  using V = vec<float, N>;
  unit_sum<V> mass;
  if (math::any(top == V(infinity<float>)))
    z.each(g, [&](index_t, V const& x)
                  MOEROUTE_SIMD_LAMBDA { mass.add(math::exp_not_positive(math::min(x - top, V(0.f)))); });
  else each_raw(g, z, [&](index_t, V const& x) MOEROUTE_SIMD_LAMBDA { mass.add_exp(x - top); });
  return mass.total(g);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
