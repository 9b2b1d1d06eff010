// Decides which expert groups stay open, for one row in registers: the two best keys of as many groups at a time as fill
// four registers with pairs of halves, then ranks; the keys of the open groups move together for the filter.
#pragma once

#include <moeroute/cpu/simd/rank.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

struct two_best {
  floats first, second;
};
namespace detail {
inline constexpr int groups_at_once = register_bytes == 64 ? 8 : 4, lanes_a_group = 16 / groups_at_once;
inline constexpr std::int32_t lane_of_group[16] = {
#define F(g) g % groups_at_once* lanes_a_group + g / groups_at_once
    F(0), F(1),  F(2),  F(3),  F(4),  F(5),  F(6), F(7), F(8),
    F(9), F(10), F(11), F(12), F(13), F(14), F(15)
#undef F
};

// Pairs of groups, each in S lanes of both, are folded until 16 lanes hold a pair of each group, all in the same order.
template <int S, int N>
MOEROUTE_SIMD_INLINE two_best fold_two_best(vec<float, N> first, vec<float, N> second) {
  auto const merged = [](auto a, auto b, auto c, auto d)
                          MOEROUTE_SIMD_LAMBDA { return fold_two_best<S / 2>(max(a, c), max(min(a, c), max(b, d))); };
  if constexpr (N > 16) return merged(even<0, S>(first), even<0, S>(second), even<1, S>(first), even<1, S>(second));
  else if constexpr (S >= 1) return merged(first, second, swap<S>(first), swap<S>(second));
  else return {first, second};
}
}  // namespace detail

// The two best keys of at most 16 groups, a lane to each; lanes behind them hold those of the last. `key` holds `groups`
// runs of `length` keys, a multiple of 16.
template <bool Numbers>  // none is NaN
MOEROUTE_SIMD_INLINE two_best best_of_groups(float const* key, int groups, int length) {
  constexpr int G = detail::groups_at_once;
  two_best all{};
  float const* const last = key + length * (groups - 1);
  for (int g = 0; g < groups; g += G) {
    float const* run[std::size_t{G}];
    for (int s = 0; s < G; ++s) run[s] = key, key = key == last ? key : key + length;
    auto const keys = [&](int i) MOEROUTE_SIMD_LAMBDA {
      return side_by_side<G>([&](int s) MOEROUTE_SIMD_LAMBDA {
        floats const x = load<floats>(run[s] + i);
        return Numbers ? x : closed_if_nan(x);
      });
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
    two_best const some = detail::fold_two_best<8>(first, second);
    ints const here = (lane_id() & ints(detail::lanes_a_group - 1)) == ints(g / G);
    all = {select(here, some.first, all.first), select(here, some.second, all.second)};
  }
  return {permute(all.first, load<ints>(detail::lane_of_group)),
          permute(all.second, load<ints>(detail::lane_of_group))};
}

// What groups rank by: the sum of their two best keys, or the best.
MOEROUTE_SIMD_INLINE floats group_scores(two_best const& of, bool sum) { return sum ? of.first + of.second : of.first; }

// `key` holds `groups` (at most 16) runs of `vectors` registers, -inf where there is no expert. Copies the open
// groups to `open`, in order, and for each register the place it came from and its first expert; returns the keys
// copied, a multiple of 64. A group with an infinite key is open.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline int open_groups(float const* key, int groups, int vectors, int width, int top_groups, bool sum,
                                         float* open, std::int32_t* place, std::int32_t* expert) {
  floats const score = group_scores(best_of_groups<false>(key, groups, 16 * vectors), sum);
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
