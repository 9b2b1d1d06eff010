// Decides how a sampled choice is taught by its reward alone: the score-function gradient.
//
//   d z_e = sum over draws (R - baseline) * (1[e drawn] - p_e),  p = softmax(z); ascent direction of E[R]
// Unbiased for any baseline that does not look at the draw; the running mean keeps its variance low.
// Source: Williams 1992; BaRP (S137), Router-R1 (S107). Groups of rollouts: grpo/.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/row.hpp>
#include <moeroute/score.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Moves toward the rewards it sees: b <- b + rate (R - b). `count` rewards may be merged as their mean.
struct running_baseline {
  double value = 0;
  double rate = .05;
  bool started = false;
  void observe(double reward) {
    value = started ? value + math::mul(rate, reward - value) : reward;
    started = true;
  }
};

namespace detail {
template <class V>
struct reinforce_row {
  matrix_view<V const> z;
  row_view<index_t const> drawn;
  row_view<V const> reward;
  V baseline, scale;
  matrix_view<V> d_z;
  offset_t scratch_bytes() const { return aligned_bytes<V>(z.cols); }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    memory_row<V> const row{s.take<V>(z.cols), static_cast<index_t>(z.cols)};
    row.each(g, [&](index_t e, V& x) { x = is_nan(z[t][e]) ? -infinity<V> : z[t][e]; });
    g.sync();
    auto const m = softmax{}.summarize(g, row);
    V const advantage = drawn[t] >= 0 ? scale * (reward[t] - baseline) : V(0);
    row.each(g,
             [&](index_t e, V& x) { d_z[t][e] += math::mul(advantage, V(e == drawn[t] ? 1 : 0) - softmax{}(m, x)); });
    g.sync();
  }
};
}  // namespace detail

// Adds scale * (R_t - baseline) * d log p(drawn_t) / d z to d_z. Tokens with no_expert add nothing.
template <executor X, class V>
status try_reinforce(X const& x, matrix_view<V const> z, row_view<index_t const> drawn, row_view<V const> reward,
                     V baseline, V scale, matrix_view<V> d_z, workspace w) noexcept {
  checks c;
  c.must_be("drawn size", drawn.size, z.rows).must_be("reward size", reward.size, z.rows);
  c.must_be("d_z rows", d_z.rows, z.rows).must_be("d_z columns", d_z.cols, z.cols).strided("d_z", d_z);
  return c.result().ok() ? x.run(z.rows, detail::reinforce_row<V>{z, drawn, reward, baseline, scale, d_z}, w)
                         : c.result();
}

}  // namespace moeroute::inline MOEROUTE_ABI
