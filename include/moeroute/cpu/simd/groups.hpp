// Decides which expert groups stay open, for one row in registers: the two best keys of as many groups at a time as fill
// four registers with pairs of halves, then ranks; the keys of the open groups move together for the filter.
#pragma once

#include <moeroute/cpu/simd/rank.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// The two best keys of parts of at most 8 groups, lanes g and g + 8 for the two parts of group g; lanes of groups there
// are not hold those of the last.
struct two_best {
  floats first, second;
};
inline constexpr int most_parted = 8;
// Of both, lane by lane.
template <int N>
MOEROUTE_SIMD_INLINE void keep_two_best(vec<float, N>& first, vec<float, N>& second, vec<float, N> other_first,
                                        vec<float, N> other_second) {
  second = max(min(first, other_first), max(second, other_second));
  first = max(first, other_first);
}
namespace detail {
// Pairs of halves of so many fill four registers or eight.
inline constexpr int groups_at_once = register_bytes == 64 ? 8 : register_bytes == 32 ? 4 : 2;

// Half of the lanes of groups of four: the first or last two of each, the first ones of all groups in front.
template <int Odd, int N>
MOEROUTE_SIMD_INLINE vec<float, N / 2> parted(vec<float, N> a) {
  if constexpr (one_register<float, N / 2> && !one_register<float, N>) {
    return shuffle<N / 2>(a.lo, a.hi, [](int i) { return i % (N / 4) * 4 + i / (N / 4) + 2 * Odd; });
  } else {
    auto const pairs = even<Odd, 2>(a);
    return join(even<0>(pairs), even<1>(pairs));
  }
}
// Groups of 2 S lanes are folded until each has two lanes.
template <int S, int N>
MOEROUTE_SIMD_INLINE auto fold_two_best(vec<float, N> first, vec<float, N> second) {
  auto const half = [](auto of, auto odd) MOEROUTE_SIMD_LAMBDA {
    if constexpr (S > 2) return even<odd(), S>(of);
    else return parted<odd()>(of);
  };
  auto a = half(first, constant<0>), b = half(second, constant<0>);
  keep_two_best(a, b, half(first, constant<1>), half(second, constant<1>));
  if constexpr (S > 2) return fold_two_best<S / 2>(a, b);
  else return std::pair(a, b);
}
}  // namespace detail

// `key` holds `groups` (1 to 8) runs of `length` keys, a multiple of 16, none NaN.
MOEROUTE_ON_DEMAND
#if MOEROUTE_SIMD_BYTES == 64  // a call's result would go through memory
MOEROUTE_SIMD_INLINE
#else
[[gnu::noinline]] inline
#endif
two_best best_of_parts(float const* key, int groups, int length) {
  constexpr int G = detail::groups_at_once, rounds = most_parted / G;
  float const* const last = key + length * (groups - 1);
  vec<float, 2 * G> f[std::size_t{rounds}], g[std::size_t{rounds}];
  for (int round = 0; round < rounds; ++round) {
    float const* run[std::size_t{G}];
    for (int s = 0; s < G; ++s) run[s] = key, key = key == last ? key : key + length;
    auto const keys = [&](int i) MOEROUTE_SIMD_LAMBDA {
      return side_by_side<G>([&](int s) MOEROUTE_SIMD_LAMBDA { return load<floats>(run[s] + i); });
    };
    auto first = keys(0), second = decltype(first)(lowest);
    int i = 16;
    if (length > 16) {
      auto const x = keys(i);
      second = min(first, x);
      first = max(first, x);
      i += 16;
    }
    for (; i < length; i += 16) {
      auto const x = keys(i);
      second = max(second, min(first, x));
      first = max(first, x);
    }
    auto const some = detail::fold_two_best<8>(first, second);
    f[round] = some.first, g[round] = some.second;
  }
  auto const joined = [](auto const& v) MOEROUTE_SIMD_LAMBDA {
    if constexpr (rounds == 1) return v[0];
    else
      return join(side_by_side<rounds>([&](int i) MOEROUTE_SIMD_LAMBDA { return low(v[i]); }),
                  side_by_side<rounds>([&](int i) MOEROUTE_SIMD_LAMBDA { return high(v[i]); }));
  };
  return {joined(f), joined(g)};
}
// The two best of whole groups, in both lanes of each.
MOEROUTE_SIMD_INLINE two_best best_of_groups(two_best part) {
  keep_two_best(part.first, part.second, swap<8>(part.first), swap<8>(part.second));
  return part;
}

// What groups rank by: the sum of their two best keys, or the best.
MOEROUTE_SIMD_INLINE floats group_scores(two_best const& of, bool sum) { return sum ? of.first + of.second : of.first; }

// `key` holds `groups` (at most 16) runs of `vectors` registers, -inf where there is no expert. Copies the open
// groups to `open`, in order, and for each register the place it came from and its first expert; returns the keys
// copied, a multiple of 64. A group with an infinite key is open.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline int open_groups(float const* key, int groups, int vectors, int width, int top_groups, bool sum,
                                         float* open, std::int32_t* place, std::int32_t* expert) {
  for (int i = 0; i < 16 * groups * vectors; i += 16) store(open + i, closed_if_nan(load<floats>(key + i)));
  alignas(64) float lane[16 + most_parted];
  for (int g = 0; g < groups; g += most_parted) {
    int const here = groups - g < most_parted ? groups - g : most_parted;
    two_best const part = best_of_parts(open + 16 * vectors * g, here, 16 * vectors);
    store(lane + g, group_scores(best_of_groups(part), sum));
  }
  floats const score = load<floats>(lane);
  ints const before = ranks(order_keys(select(score == score, score, floats(infinity<float>))), groups);
  unsigned mask = lane_bits(before < ints(top_groups)) & ((1u << groups) - 1);
  int n = 0;
  for (; mask != 0; mask &= mask - 1) {
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
