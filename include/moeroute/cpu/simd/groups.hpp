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
    if constexpr (G > 1) return fold_two_best<G / 2, S / 2, Sum>(max(a, c), max(min(a, c), max(b, d)));
    else return fold_two_best<1, S / 2, Sum>(max(a, c), max(min(a, c), max(b, d)));
  };
  if constexpr (G > 1)
    return merged(blend<S>(low(h), high(h)), blend<S>(low(l), high(l)), swap<S>(blend<S>(high(h), low(h))),
                  swap<S>(blend<S>(high(l), low(l))));
  else if constexpr (S >= 1) return merged(h, l, swap<S>(h), swap<S>(l));
  else if constexpr (Sum) return h + l;
  else return h;
}
}  // namespace detail

// Scores of 8 groups from `first` on: the sum of their two best keys, or the best.
MOEROUTE_SIMD_INLINE vec<float, 8> scores_of_8(float const* key, int first, int groups, int vectors, bool sum) {
  floats h[8], l[8];
  float const* run[8];
  for (int g = 0; g < 8; ++g) {
    h[g] = l[g] = floats(lowest);
    run[g] = key + 16 * vectors * (first + g < groups ? first + g : groups - 1);
  }
  for (int i = 0; i < 16 * vectors; i += 16) {
#pragma GCC unroll 8
    for (int g = 0; g < 8; ++g) {
      floats const x = closed_if_nan(load<floats>(run[g] + i));
      l[g] = max(l[g], min(h[g], x));
      h[g] = max(h[g], x);
    }
  }
  auto const all_h = side_by_side<8>([&](int g) MOEROUTE_SIMD_LAMBDA { return h[g]; });
  auto const all_l = side_by_side<8>([&](int g) MOEROUTE_SIMD_LAMBDA { return l[g]; });
  floats const score =
      sum ? detail::fold_two_best<8, 8, true>(all_h, all_l) : detail::fold_two_best<8, 8, false>(all_h, all_l);
  floats const real = select(lane_id() < ints(2 * (groups - first)), score, floats(lowest));
  return even<0>(real);  // each group owns two lanes
}
// Which of the keys are among the `count` largest, as bits; no two keys are equal.
template <int G>
MOEROUTE_SIMD_INLINE unsigned largest_of(vec<double, G> key, int count) {
  using L = vec<std::int64_t, G>;
  L rank(0);
  [&]<int... X>(std::integer_sequence<int, X...>) MOEROUTE_SIMD_LAMBDA {
    ((rank = rank - (swap<X + 1>(key) > key)), ...);
  }(std::make_integer_sequence<int, G - 1>{});
  return lane_bits(rank < L(std::int64_t{count}));
}

// `key` holds `groups` (at most 16) runs of `vectors` registers, NaN where there is no expert. Copies the open
// groups to `open`, in order, and for each register the place it came from and its first expert; returns the keys
// copied, a multiple of 64. A group with an infinite key is open.
[[gnu::noinline]] inline int open_groups(float const* key, int groups, int vectors, int width, int top_groups, bool sum,
                                         float* open, std::int32_t* place, std::int32_t* expert) {
  auto const ranked = [](auto score, auto id) MOEROUTE_SIMD_LAMBDA {
    return pack(select(score == score, score, decltype(score)(infinity<float>)), id);
  };
  auto const one = scores_of_8(key, 0, groups, vectors, sum);
  unsigned mask = 0;
  if (groups <= 8) mask = largest_of<8>(ranked(one, low(lane_id())), top_groups);
  else mask = largest_of<16>(ranked(join(one, scores_of_8(key, 8, groups, vectors, sum)), lane_id()), top_groups);
  int n = 0;
  for (mask &= (1u << groups) - 1; mask != 0; mask &= mask - 1) {
    int const g = std::countr_zero(mask);
    for (int i = 0; i < vectors; ++i, ++n) {
      store(open + 16 * n, load<floats>(key + 16 * (g * vectors + i)));
      place[n] = 16 * (g * vectors + i);
      expert[n] = g * width + 16 * i;
    }
  }
  for (; n % 4 != 0; ++n) store(open + 16 * n, floats(not_a_number<float>));
  return 16 * n;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
