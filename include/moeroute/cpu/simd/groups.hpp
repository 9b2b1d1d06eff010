// Decides which expert groups stay open, for one row in registers: the two best keys of every group in one
// pass, then ranks by comparison; the keys of the open groups move together for the filter.
#pragma once

#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {
// Folds G groups of S lanes' pairs (best h, second l) until each group owns 16 / G lanes: sum of both.
template <int G, int S, bool Sum, class V>
MOEROUTE_SIMD_INLINE auto fold_two_best(V h, V l) {
  auto const merged = [](auto a, auto b, auto c, auto d) MOEROUTE_SIMD_LAMBDA {
    if constexpr (G > 1)
      return fold_two_best<G / 2, S / 2, Sum>(max(a, c), max(min(a, c), max(b, d)));
    else
      return fold_two_best<1, S / 2, Sum>(max(a, c), max(min(a, c), max(b, d)));
  };
  if constexpr (G > 1)
    return merged(blend<S>(low(h), high(h)), blend<S>(low(l), high(l)),
                  swap<S>(blend<S>(high(h), low(h))), swap<S>(blend<S>(high(l), low(l))));
  else if constexpr (S >= 1)
    return merged(h, l, swap<S>(h), swap<S>(l));
  else if constexpr (Sum)
    return h + l;
  else
    return h;
}
}  // namespace detail

// `key` holds `groups` (at most G = 8 or 16) runs of `vectors` registers, NaN where there is no expert.
// Copies the open groups to `open`, in order, and the first expert of each register to `origin`; returns the
// keys copied, a multiple of 64. Sum: groups rank by the sum of their two best, else by their best.
template <int G, bool Sum>
[[gnu::noinline]] inline int open_groups(float const* key, int groups, int vectors, int width,
                                         int top_groups, float* open, std::int32_t* origin) {
  floats h[std::size_t{G}], l[std::size_t{G}];
#pragma GCC unroll 16
  for (int g = 0; g < G; ++g) {
    h[g] = l[g] = floats(lowest);
    for (int i = 0; i < vectors && g < groups; ++i) {
      floats const x = closed_if_nan(load<floats>(key + 16 * (g * vectors + i)));
      l[g] = max(l[g], min(h[g], x));
      h[g] = max(h[g], x);
    }
  }
  floats const score = detail::fold_two_best<G, 8, Sum>(
      side_by_side<G>([&](int g) MOEROUTE_SIMD_LAMBDA { return h[g]; }),
      side_by_side<G>([&](int g) MOEROUTE_SIMD_LAMBDA { return l[g]; }));
  alignas(64) float lane[16];
  store(lane, score);
  ints rank(0);
#pragma GCC unroll 16
  for (int g = 0; g < G; ++g) {
    floats const other(lane[16 / G * g]);
    rank =
        rank - ((other > score) | ((other == score) & (lane_id() > ints(16 / G * g + 16 / G - 1))));
  }
  unsigned mask = lane_bits(rank < ints(top_groups)) & (((1u << (16 / G * groups)) - 1));
  int n = 0;
  for (; mask != 0; mask &= mask - 1) {
    int const g = std::countr_zero(mask) / (16 / G);
    if (G == 8) mask &= mask - 1;
    for (int i = 0; i < vectors; ++i, ++n) {
      store(open + 16 * n, load<floats>(key + 16 * (g * vectors + i)));
      origin[n] = g * width + 16 * i;
    }
  }
  for (; n % 4 != 0; ++n) {
    store(open + 16 * n, floats(not_a_number<float>));
    origin[n] = -1;
  }
  return 16 * n;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
