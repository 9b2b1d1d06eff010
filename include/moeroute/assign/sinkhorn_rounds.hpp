// Decides the steps of a Sinkhorn plan: exponentials, row factors with their part of the column sums, column factors,
// and the product at the end. One pass over the matrix a round; on the CPU 16 tokens at a time, same bits.
//
// A row sum has 32 classes (expert e in class e mod 32), each by fused multiply-add, then one tree over the classes; a
// column sum goes token by token in blocks of 64, and the blocks in order: the same bits on every executor.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/row.hpp>
#include <moeroute/core/tree_sum.hpp>
#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/sinkhorn.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {

struct sinkhorn {
  float tolerance = 1e-4f;
  float epsilon = 1e-8f;
  index_t max_rounds = 100;
};

namespace detail {

inline constexpr offset_t sinkhorn_block = 64;

template <class V>
struct sinkhorn_arrays {
  V* row_factor{};     // tokens
  V* column_factor{};  // experts
  V* partial{};        // blocks x experts
  std::int64_t* done{};
};

// Rows: blocks of tokens. Row factors of the block, and its part of the column sums.
template <class V>
struct sinkhorn_rows {
  sinkhorn how;
  matrix_view<V> plan;  // holds exp(z)
  sinkhorn_arrays<V> a;
  static constexpr offset_t scratch_bytes() { return 0; }

  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t b, scratch) const {
    if (*a.done != 0) return;
    offset_t const first = b * sinkhorn_block,
                   last = first + sinkhorn_block < plan.rows ? first + sinkhorn_block : plan.rows;
    V* const sum = a.partial + b * plan.cols;
#if defined(MOEROUTE_SIMD)
    if constexpr (is_serial<G> && std::same_as<V, float>)
      if (plan.cols % 16 == 0 && (last - first) % 16 == 0)
        return simd::sinkhorn_block(plan[first].data, plan.stride, last - first, plan.cols,
                                    static_cast<float>(plan.rows), how.epsilon, a.column_factor, a.row_factor + first,
                                    sum);
#endif
    for (offset_t e = g.rank(); e < plan.cols; e += g.size()) sum[e] = 0;
    for (offset_t t = first; t < last; ++t) {
      V const* const row = plan[t].data;
      V const* const d1 = a.column_factor;
      V const mass = tree_fold<V>(g, plan.cols, [=](V part, offset_t e) { return math::fma(d1[e], row[e], part); });
      V const d0 = V(1) / (static_cast<V>(plan.rows) * (mass + V(how.epsilon)));
      if (g.rank() == 0) a.row_factor[t] = d0;
      for (offset_t e = g.rank(); e < plan.cols; e += g.size()) sum[e] = math::fma(d0, row[e], sum[e]);
    }
    g.sync();
  }
};

// One row: new column factors from the blocks in order, and whether they have come to rest.
template <class V>
struct sinkhorn_columns {
  static constexpr bool long_rows = true;  // as long as the batch
  sinkhorn how;
  matrix_view<V> plan;
  sinkhorn_arrays<V> a;
  static constexpr offset_t scratch_bytes() { return 0; }

  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    if (*a.done != 0) return;
    offset_t const blocks = (plan.rows + sinkhorn_block - 1) / sinkhorn_block;
#if defined(MOEROUTE_SIMD)
    if constexpr (is_serial<G> && std::same_as<V, float>)
      if (plan.cols % 16 == 0) {
        float const moved = simd::sinkhorn_columns(a.partial, blocks, plan.cols, how.epsilon, a.column_factor);
        if (moved / static_cast<float>(plan.cols) <= how.tolerance) *a.done = 1;
        return;
      }
#endif
    g.sync();
    V const moved = tree_sum<V>(g, plan.cols, [&](offset_t e) {
      V sum = 0;
      for (offset_t b = 0; b < blocks; ++b) sum += a.partial[b * plan.cols + e];
      V const before = a.column_factor[e];
      V const now = V(1) / (static_cast<V>(plan.cols) * (sum + V(how.epsilon)));
      a.column_factor[e] = now;
      return now > before ? now - before : before - now;
    });
    g.sync();
    if (g.rank() == 0 && moved / static_cast<V>(plan.cols) <= V(how.tolerance)) *a.done = 1;
    g.sync();
  }
};

template <class T, class V>
struct sinkhorn_start {  // rows: tokens
  matrix_view<T const> logits;
  matrix_view<V> plan;
  sinkhorn_arrays<V> a;
  static constexpr offset_t scratch_bytes() { return 0; }

  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (t == 0) {
      for (offset_t e = g.rank(); e < plan.cols; e += g.size()) a.column_factor[e] = 1;
      if (g.rank() == 0) *a.done = 0;
    }
#if defined(MOEROUTE_SIMD)
    if constexpr (is_serial<G> && std::same_as<T, float>)
      if (plan.cols % 16 == 0) return simd::exponentials_of_row(logits[t].data, plan.cols, plan[t].data);
#endif
    V top = -infinity<V>;
    for (offset_t e = g.rank(); e < plan.cols; e += g.size()) top = math::max(static_cast<V>(load(logits[t][e])), top);
    top = g.max(top);
    for (offset_t e = g.rank(); e < plan.cols; e += g.size()) {
      V const z = static_cast<V>(load(logits[t][e]));
      plan[t][e] = z > -infinity<V> ? math::where(z == top, V(1), math::exp(z - top)) : V(0);
    }
    g.sync();
  }
};
template <class V>
struct sinkhorn_finish {  // rows: tokens
  matrix_view<V> plan;
  sinkhorn_arrays<V> a;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
#if defined(MOEROUTE_SIMD)
    if constexpr (is_serial<G> && std::same_as<V, float>)
      if (plan.cols % 16 == 0) return simd::scale_row(plan[t].data, a.column_factor, a.row_factor[t], plan.cols);
#endif
    for (offset_t e = g.rank(); e < plan.cols; e += g.size())
      plan[t][e] = math::mul(math::mul(a.column_factor[e], plan[t][e]), a.row_factor[t]);
    g.sync();
  }
};

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
