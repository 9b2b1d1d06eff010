// Decides which expert groups stay open, for one row in registers: the two best keys of four groups at a time, then
// ranks; the keys of the open groups move together for the filter.
#pragma once

#include <moeroute/cpu/simd/rank.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {
template <class V>
struct two_best {
  V first, second;
};
// The pairs of G groups, each in S lanes of `first` and `second`, are folded until 16 lanes hold them all.
template <int G, int S, class V>
MOEROUTE_SIMD_INLINE two_best<floats> fold_two_best(V const& h, V const& l) {
  auto const merged = [](auto a, auto b, auto c, auto d) MOEROUTE_SIMD_LAMBDA {
    return fold_two_best<(G > 1 ? G / 2 : 1), S / 2>(max(a, c), max(min(a, c), max(b, d)));
  };
  if constexpr (G > 1)
    return merged(blend<S>(low(h), high(h)), blend<S>(low(l), high(l)), swap<S>(blend<S>(high(h), low(h))),
                  swap<S>(blend<S>(high(l), low(l))));
  else if constexpr (S >= 1) return merged(h, l, swap<S>(h), swap<S>(l));
  else return two_best<floats>{h, l};
}
}  // namespace detail

// What groups rank by, a lane to each of at most 16: the sum of their two best keys, or the best. `key` holds `groups`
// runs of `length` keys, a multiple of 16.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void group_scores(float const* key, int groups, int length, bool sum, float* score) {
  static constexpr std::int32_t turned[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  floats scores(lowest);  // of group 4 i + s in lane 4 s + i
  for (int first = 0; first < groups; first += 4) {
    float const* run[4];
    for (int s = 0; s < 4; ++s) run[s] = key + length * (first + s < groups ? first + s : groups - 1);
    auto const keys = [&](int i) MOEROUTE_SIMD_LAMBDA {
      return side_by_side<4>([&](int s) MOEROUTE_SIMD_LAMBDA { return closed_if_nan(load<floats>(run[s] + i)); });
    };
    vec<float, 64> h = keys(0), l(lowest);
    for (int i = 16; i < length; i += 16) {
      auto const x = keys(i);
      l = max(l, min(h, x));
      h = max(h, x);
    }
    auto const best = detail::fold_two_best<4, 8>(h, l);
    floats const part = sum ? best.first + best.second : best.first;
    scores = select((lane_id() & ints(3)) == ints(first / 4), part, scores);
  }
  store(score, permute(scores, load<ints>(turned)));
}

// `key` holds `groups` (at most 16) runs of `vectors` registers, NaN where there is no expert. Copies the open
// groups to `open`, in order, and for each register the place it came from and its first expert; returns the keys
// copied, a multiple of 64. A group with an infinite key is open.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline int open_groups(float const* key, int groups, int vectors, int width, int top_groups, bool sum,
                                         float* open, std::int32_t* place, std::int32_t* expert) {
  alignas(64) float scores[16];
  group_scores(key, groups, 16 * vectors, sum, scores);
  floats const score = load<floats>(scores);
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
