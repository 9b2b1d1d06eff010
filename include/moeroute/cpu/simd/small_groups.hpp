// Decides how the advantages of many groups of S rewards are computed at once: four registers of rewards or more, a group
// in each segment of S lanes, S a power of two. The folds of a segment are the tree of core/tree_sum.hpp, so the bits are
// those of one group after the other. Equations: grpo/advantage.hpp.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// Four registers, or one group that is longer.
template <int S>
inline constexpr int rewards_at_once = S > register_bytes ? S : register_bytes;

// Groups of a group_advantage_row from `first` on, as many as fill registers; returns the first left over.
template <int S, class Body>
offset_t advantages_of_small_groups(Body const& b, offset_t first, offset_t last) {
  constexpr int together = rewards_at_once<S> / S;
  using V = vec<float, rewards_at_once<S>>;
  V const nothing(0.f), one(1.f);
  auto const form = b.policy.against;
  for (; first + together <= last; first += together) {
    V const r = load<V>(b.rewards.data + first * S);
    auto const counts = r == r;  // not NaN
    V const most = segment_max<S>(select(counts, r, V(lowest))),
            minus_least = segment_max<S>(select(counts, -r, V(lowest)));
    V const members = segment_sum<S>(select(counts, one, nothing));
    V const mean = segment_sum<S>(nothing + select(counts, r, nothing)) / members, d = r - mean;
    V factor = one;
    if (form == std::remove_cvref_t<decltype(form)>::deviation) {
      V const squares = segment_sum<S>(select(d == d, math::mul(d, d), nothing));
      factor = one / (math::sqrt(squares / (b.policy.sample ? members - one : members)) +
                      V(static_cast<float>(b.policy.epsilon)));
    } else if (form == std::remove_cvref_t<decltype(form)>::leave_one_out) {
      factor = members / (members - one);
    }
    auto const differ = (members > one) & (most > -minus_least) & (d == d);
    store(b.out.data + first * S, select(differ, math::mul(d, factor), nothing));
  }
  return first;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
