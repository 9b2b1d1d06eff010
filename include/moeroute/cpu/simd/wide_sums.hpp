// Decides how the shares of a row are added to wide sums on the CPU's vectors: four sums a step, with the bits of one after
// the other.
#pragma once

#include <moeroute/core/wide_sum.hpp>
#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

using sum_words = vec<std::uint64_t, 8>;  // four sums: whole, ticks, whole, ticks, ...

namespace detail {
// 0, a[0], 0, a[1], ...
template <int N>
MOEROUTE_SIMD_INLINE vec<std::uint64_t, 2 * N> behind_zeros(vec<std::uint64_t, N> a) {
  if constexpr (!one_register<std::uint64_t, N>) {
    return join(behind_zeros(a.lo), behind_zeros(a.hi));
  } else {
    vec<std::uint64_t, N> const zero(std::uint64_t{0});
    if constexpr (one_register<std::uint64_t, 2 * N>)
      return shuffle<2 * N>(a, zero, [](int i) { return i % 2 != 0 ? i / 2 : N; });
    else
      return join(shuffle<N>(a, zero, [](int i) { return i % 2 != 0 ? i / 2 : N; }),
                  shuffle<N>(a, zero, [](int i) { return i % 2 != 0 ? (N + i) / 2 : N; }));
  }
}
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE sum_words in_turn(std::uint64_t whole, std::uint64_t ticks) {
  std::uint64_t const both[8] = {whole, ticks, whole, ticks, whole, ticks, whole, ticks};
  return load<sum_words>(both);
}
}  // namespace detail

// to[i] += x[i] / per for 16 numbers. False, and nothing done, where a quotient is not a number from 0 to 1. The sums are
// canonical.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE bool add_16_shares(wide_sum* to, float const* x, double per) {
  using doubles = vec<double, 16>;
  doubles share = convert<double>(load<floats>(x));
  if (per != 1) share = share / doubles(per);
  if (lane_bits((doubles(0.) <= share) & (share <= doubles(1.))) != 0xffff) return false;
  sum_words const keep = detail::in_turn(~std::uint64_t{0}, (std::uint64_t{1} << wide_sum::fraction_bits) - 1);
  sum_words const whole = detail::in_turn(~std::uint64_t{0}, 0);
  // At 1.5 2^52 a number counts in ones: its low bits are the ticks, to nearest.
  for_each_part<4>(share * doubles(0x1p50) + doubles(0x1.8p52), [&](int q, vec<double, 4> part) MOEROUTE_SIMD_LAMBDA {
    auto* const at = reinterpret_cast<std::uint64_t*>(to + 4 * q);
    auto const ticks = bits_as<std::uint64_t>(part) - bits_as<std::uint64_t>(vec<double, 4>(0x1.8p52));
    sum_words const sum = load<sum_words>(at) + detail::behind_zeros(ticks);
    store(at, (sum & keep) + (swap<1>(sum >> wide_sum::fraction_bits) & whole));
  });
  return true;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
