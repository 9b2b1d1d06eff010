// Decides how good an answer is against its group: one prompt, several answers.
//
//   A_i = (R_i - mean R) / (std R + epsilon)     deviation      (GRPO, Shao et al. 2024; MoE-GRPO)
//   A_i = R_i - mean R                           mean_only      (Dr. GRPO)
//   A_i = R_i - mean of the others               leave_one_out  (RLOO)
//
// Two passes, sums in one fixed order: the same bits for every lane group. Groups of equal rewards and groups
// of one give exactly 0. epsilon stands here and nowhere else.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/tree_sum.hpp>
#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/small_groups.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {

enum class baseline : std::uint8_t { deviation, mean_only, leave_one_out };
enum class nan_reward : std::uint8_t {
  masked,  // left out of mean and deviation; its advantage is 0
  named,   // an error that names its place; reads the rewards on the host
};

struct group_advantage {
  baseline against = baseline::deviation;
  bool sample = false;  // divide squares by n - 1 (true) or n
  double epsilon = 1e-6;
  nan_reward nan = nan_reward::masked;

  status validate() const {
    return epsilon >= 0 ? status{} : status{errc::bad_value, "advantage.epsilon", "must be at least", -1, 0};
  }
};

// Groups are runs of one list: group i holds [offset[i], offset[i + 1]), or [i * size, ...) if all are equal.
struct segments {
  row_view<offset_t const> offset{};  // groups + 1
  offset_t count = 0, size = 0;       // used if offset is empty

  constexpr segments() = default;
  constexpr segments(offset_t groups, offset_t each) : count(groups), size(each) {}
  constexpr explicit segments(row_view<offset_t const> o) : offset(o), count(o.size - 1) {}

  MOEROUTE_HD offset_t first(offset_t i) const { return offset.empty() ? i * size : offset[i]; }
  MOEROUTE_HD offset_t last(offset_t i) const { return offset.empty() ? (i + 1) * size : offset[i + 1]; }
  // Offsets in device memory are taken at their word.
  template <executor X>
  status validate(X const&, char const* what, offset_t total) const {
    checks c;
    if (offset.empty())
      return c.at_least("segments.count", count, 0)
          .at_least("segments.size", size, 0)
          .must_be(what, total, count * size)
          .result();
    if constexpr (runs_on_host<X>) {
      c.must_be("segments.offset (first)", offset[0], 0, errc::bad_value);
      for (offset_t i = 0; i < count; ++i) c.at_least("segments.offset (next)", offset[i + 1], offset[i]);
      c.must_be(what, total, offset[count]);
    }
    return c.result();
  }
};

template <class R, class A>
struct group_advantage_row {
  using V = std::conditional_t<std::same_as<R, double>, double, float>;
  group_advantage policy;
  row_view<R const> rewards;
  segments groups;
  row_view<A> out;

  offset_t scratch_bytes() const { return 0; }
#if defined(MOEROUTE_SIMD)
  static constexpr bool small_groups = std::same_as<R, float> && std::same_as<A, float>;
  offset_t rows_scratch_bytes() const
    requires small_groups
  {
    return 0;
  }
  void rows(offset_t i, offset_t last, scratch s) const
    requires small_groups
  {
    if (groups.offset.empty()) {
      if (groups.size == 4) i = simd::advantages_of_small_groups<4>(*this, i, last);
      if (groups.size == 8) i = simd::advantages_of_small_groups<8>(*this, i, last);
      if (groups.size == 16) i = simd::advantages_of_small_groups<16>(*this, i, last);
      if (groups.size == 32) i = simd::advantages_of_small_groups<32>(*this, i, last);
      if (groups.size == 64) i = simd::advantages_of_small_groups<64>(*this, i, last);
    }
    for (; i < last; ++i) (*this)(serial_group{}, i, s);
  }
#endif
  // How many rewards a group has, about: a device gives short groups a part of a warp each.
  offset_t row_length() const {
    if (groups.offset.empty()) return groups.size;
    return groups.count < 1 ? 0 : rewards.size / groups.count;
  }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch) const {
    offset_t const first = groups.first(i);
    R const* const r = rewards.data + first;
    of_one_group(g, groups.last(i) - first, [r](offset_t j) { return static_cast<V>(r[j]); }, out.data + first);
  }

 protected:
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G, class Reward>
  MOEROUTE_HD void of_one_group(G const& g, offset_t n, Reward const& reward, A* a) const {
    V most = -infinity<V>, minus_least = -infinity<V>;
    index_t missing = 0;
    for (offset_t j = g.rank(); j < n; j += g.size()) {
      V const x = reward(j);
      missing += is_nan(x);
      most = math::max(x, most);
      minus_least = math::max(-x, minus_least);
    }
    most = g.max(most);
    minus_least = g.max(minus_least);
    offset_t const members = n - g.sum(std::int64_t{missing});
    if (members < 2 || !(most > -minus_least)) {
      for (offset_t j = g.rank(); j < n; j += g.size()) a[j] = A(0);
      return g.sync();
    }
    auto const count = static_cast<V>(members);
    V const mean = tree_sum<V>(g, n, [&](offset_t j) { return is_nan(reward(j)) ? V(0) : reward(j); }) / count;
    V factor = 1;
    if (policy.against == baseline::deviation) {
      V const squares = tree_sum<V>(g, n, [&](offset_t j) {
        V const d = reward(j) - mean;
        return is_nan(d) ? V(0) : math::mul(d, d);
      });
      V const variance = squares / (policy.sample ? count - V(1) : count);
      factor = V(1) / (math::sqrt(variance) + static_cast<V>(policy.epsilon));
    } else if (policy.against == baseline::leave_one_out) {
      factor = count / (count - V(1));
    }
    for (offset_t j = g.rank(); j < n; j += g.size()) {
      V const d = reward(j) - mean;
      a[j] = static_cast<A>(is_nan(d) ? V(0) : math::mul(d, factor));
    }
    g.sync();
  }
};

// A long group by a block of a device: all of it reads the rewards once into scratch, where the warp that adds them in
// the order of the tree finds them near. A group beyond the room is read where it is.
template <class R, class A>
struct long_group_advantage : group_advantage_row<R, A> {
  using typename group_advantage_row<R, A>::V;
  static constexpr bool long_rows = true;
  static constexpr offset_t least = 1024, room = 64 * 1024 / offset_t{sizeof(V)};

  offset_t scratch_bytes() const { return aligned_bytes<V>(room); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch s) const {
    offset_t const first = this->groups.first(i), n = this->groups.last(i) - first;
    if (n > room) return group_advantage_row<R, A>::operator()(g, i, s);
    V* const near = s.take<V>(room);
    for (offset_t j = g.rank(); j < n; j += g.size()) near[j] = static_cast<V>(this->rewards[first + j]);
    g.sync();
    this->of_one_group(g, n, [near](offset_t j) { return near[j]; }, this->out.data + first);
  }
};

// out[i] for rewards[i]; both hold all groups one after the other.
template <executor X, class R, class A>
status try_group_advantages(X const& x, group_advantage const& policy, row_view<R> rewards, segments groups,
                            row_view<A> out, workspace w = {}) noexcept {
  using Reward = std::remove_const_t<R>;
  checks c;
  c.also(policy.validate()).must_be("out size", out.size, rewards.size);
  c.also(groups.validate(x, "rewards size", rewards.size));
  if (!c.result().ok()) return c.result();
  if (policy.nan == nan_reward::named) {
    if constexpr (!runs_on_host<X>)
      return {errc::unsupported, "advantage.nan = named on a device: nan", "must be", 1, 0};
    else
      for (offset_t i = 0; i < rewards.size; ++i)
        if (is_nan(rewards[i])) return {errc::bad_value, "rewards: place of a NaN", "must not be", i, i};
  }
  group_advantage_row<Reward, A> const body{policy, rewards, groups, out};
  if constexpr (!runs_on_host<X>) {
    long_group_advantage<Reward, A> const by_block{body};
    if (body.row_length() >= by_block.least && x.workspace_bytes(by_block.scratch_bytes()) == 0)
      return x.run(groups.count, by_block, w);
  }
  return x.run(groups.count, body, w);
}
template <executor X, class R, class A>
void group_advantages(X const& x, group_advantage const& policy, row_view<R> rewards, segments groups, row_view<A> out,
                      workspace w = {}) {
  throw_if_bad(try_group_advantages(x, policy, rewards, groups, out, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
