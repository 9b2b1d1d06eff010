// Decides the price of a switch router that disagrees with the mixture router about the groups (SAM, S017):
//
//   a = softmax(group logits), q = softmax(expert logits), m_n = sum of q over the experts of group n
//   L = alpha mean_t sum_n (m_n - a_n)^2, 0 where the mass of every group equals its probability
// Experts n E/N .. (n + 1) E/N - 1 are group n. Reading: the paper's exact form was not found; gradients go to both
// routers. Not a loss term of one router, as it sees two.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/score.hpp>
#include <moeroute/core/tree_sum.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct group_alignment {
  double alpha = 1;
};

namespace detail {
template <class V>
struct group_alignment_row {  // rows: tokens
  group_alignment rule;
  matrix_view<V const> groups, experts;
  row_view<V> loss;                    // tokens: what each adds to L
  matrix_view<V> d_groups, d_experts;  // written; empty: left out
  offset_t scratch_bytes() const { return 2 * aligned_bytes<V>(groups.cols); }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch space) const {
    offset_t const n = groups.cols, width = experts.cols / n;
    V* const a = space.take<V>(n);
    V* const gap = space.take<V>(n);  // 2 alpha / T (m - a)
    memory_row<V const> const za{groups[t].data, static_cast<index_t>(n)},
        zq{experts[t].data, static_cast<index_t>(experts.cols)};
    auto const ma = softmax{}.summarize(g, za), mq = softmax{}.summarize(g, zq);
    auto const q = [&](offset_t e) { return softmax{}(mq, zq.at(static_cast<index_t>(e))); };
    V const each = static_cast<V>(rule.alpha / static_cast<double>(groups.rows));
    for (offset_t i = g.rank(); i < n; i += g.size()) {
      a[i] = softmax{}(ma, za.at(static_cast<index_t>(i)));
      V mass = 0;
      for (offset_t e = i * width; e < (i + 1) * width; ++e) mass += q(e);
      gap[i] = mass - a[i];
    }
    g.sync();
    V const square = tree_fold<V>(g, n, [&](V s, offset_t i) { return math::fma(gap[i], gap[i], s); });
    V const of_groups = tree_fold<V>(g, n, [&](V s, offset_t i) { return math::fma(a[i], gap[i], s); });
    V const of_experts = tree_fold<V>(g, n, [&](V s, offset_t i) { return math::fma(gap[i] + a[i], gap[i], s); });
    if (g.rank() == 0) loss[t] = each * square;
    if (d_groups.data != nullptr)
      for (offset_t i = g.rank(); i < n; i += g.size()) d_groups[t][i] = V(-2) * each * a[i] * (gap[i] - of_groups);
    if (d_experts.data != nullptr)
      for (offset_t e = g.rank(); e < experts.cols; e += g.size())
        d_experts[t][e] = V(2) * each * q(e) * (gap[e / width] - of_experts);
    g.sync();
  }
};
}  // namespace detail

template <executor X, class V>
offset_t group_alignment_workspace_bytes(X const& x, offset_t groups) {
  return x.workspace_bytes(2 * aligned_bytes<V>(groups));
}
// `loss` (tokens) sums to L; gradients are written, an empty one is left out.
template <executor X, class V>
status try_group_alignment(X const& x, group_alignment rule, matrix_view<V const> groups, matrix_view<V const> experts,
                           row_view<V> loss, matrix_view<V> d_groups, matrix_view<V> d_experts, workspace w) noexcept {
  checks c;
  c.at_least("groups columns", groups.cols, 1).must_be("experts rows", experts.rows, groups.rows);
  c.must_be("loss size", loss.size, groups.rows).strided("groups", groups).strided("experts", experts);
  if (c.result().ok()) c.divides("groups columns", groups.cols, experts.cols);
  if (d_groups.data != nullptr)
    c.must_be("d_groups rows", d_groups.rows, groups.rows).must_be("d_groups columns", d_groups.cols, groups.cols);
  if (d_experts.data != nullptr)
    c.must_be("d_experts rows", d_experts.rows, experts.rows)
        .must_be("d_experts columns", d_experts.cols, experts.cols);
  if (!c.result().ok()) return c.result();
  return x.run(groups.rows, detail::group_alignment_row<V>{rule, groups, experts, loss, d_groups, d_experts}, w);
}
template <class... A>
void group_alignment_loss(A const&... a) {
  throw_if_bad(try_group_alignment(a...));
}

}  // namespace moeroute::inline MOEROUTE_ABI
