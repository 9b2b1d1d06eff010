// Decides a soft balanced plan: rows of exp(z) scaled to 1/T and columns to 1/E in turn, until the column factors
// move by no more than `tolerance` on average. No gradient. Sources: S-BASE, Megatron-LM (P37), S088.
//
//   C = exp(z - max of the row)        (the row factor takes the shift up; nothing overflows)
//   d0_t = 1 / (T (sum_e d1_e C_te + eps)),   d1_e = 1 / (E (sum_t d0_t C_te + eps)),   plan = d0 C d1
// Column sums are added in blocks of 64 tokens and the blocks in order: the same bits on every executor.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/row.hpp>
#include <moeroute/core/tree_sum.hpp>

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
    offset_t const first = b * sinkhorn_block, last = first + sinkhorn_block < plan.rows ? first + sinkhorn_block : plan.rows;
    V* const sum = a.partial + b * plan.cols;
    for (offset_t e = g.rank(); e < plan.cols; e += g.size()) sum[e] = 0;
    for (offset_t t = first; t < last; ++t) {
      V const* const row = plan[t].data;
      V const* const d1 = a.column_factor;
      V const mass = tree_sum<V>(g, plan.cols, [=](offset_t e) { return math::mul(d1[e], row[e]); });
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
    for (offset_t e = g.rank(); e < plan.cols; e += g.size())
      plan[t][e] = math::mul(math::mul(a.column_factor[e], plan[t][e]), a.row_factor[t]);
    g.sync();
  }
};

}  // namespace detail

template <executor X, class V = float>
offset_t sinkhorn_workspace_bytes(X const& x, offset_t tokens, offset_t experts) {
  offset_t const blocks = (tokens + detail::sinkhorn_block - 1) / detail::sinkhorn_block;
  return aligned_bytes<V>(tokens) + aligned_bytes<V>(experts) + aligned_bytes<V>(blocks * experts) +
         aligned_bytes<std::int64_t>(1) + workspace_alignment + x.workspace_bytes(0);
}

// The plan (tokens x experts, sums to 1) of the logits. Closed experts (-inf, NaN) keep 0 mass. After the column
// factors rest, further rounds do nothing, so that no executor has to be asked in between.
template <executor X, element T, class V>
status try_sinkhorn_plan(X const& x, sinkhorn how, matrix_view<T const> logits, matrix_view<V> plan, workspace w) noexcept {
  static_assert(std::same_as<V, compute_t<T>>, "sinkhorn_plan: the plan is float, or double for double logits");
  checks c;
  c.must_be("plan rows", plan.rows, logits.rows).must_be("plan columns", plan.cols, logits.cols);
  c.strided("logits", logits).strided("plan", plan).at_least("sinkhorn.max_rounds", how.max_rounds, 1);
  if (!(how.tolerance >= 0)) c.also({errc::bad_value, "sinkhorn.tolerance", "must be at least", static_cast<std::int64_t>(how.tolerance), 0});
  c.also(workspace_ok(w, sinkhorn_workspace_bytes<X, V>(x, logits.rows, logits.cols)));
  if (!c.result().ok() || plan.empty()) return c.result();
  offset_t const blocks = (plan.rows + detail::sinkhorn_block - 1) / detail::sinkhorn_block;
  scratch s = aligned_scratch(w);
  detail::sinkhorn_arrays<V> a;
  a.row_factor = s.take<V>(plan.rows);
  a.column_factor = s.take<V>(plan.cols);
  a.partial = s.take<V>(blocks * plan.cols);
  a.done = s.take<std::int64_t>(1);
  workspace const rest{s.at, w.bytes - static_cast<offset_t>(s.at - w.data)};
  if (status const bad = x.run(plan.rows, detail::sinkhorn_start<T, V>{logits, plan, a}, rest); !bad.ok()) return bad;
  for (index_t round = 0; round < how.max_rounds; ++round) {
    if (status const bad = x.run(blocks, detail::sinkhorn_rows<V>{how, plan, a}, rest); !bad.ok()) return bad;
    if (status const bad = x.run(1, detail::sinkhorn_columns<V>{how, plan, a}, rest); !bad.ok()) return bad;
  }
  return x.run(plan.rows, detail::sinkhorn_finish<V>{plan, a}, rest);
}
template <executor X, element T, class V>
void sinkhorn_plan(X const& x, sinkhorn how, matrix_view<T const> logits, matrix_view<V> plan, workspace w) {
  throw_if_bad(try_sinkhorn_plan(x, how, logits, plan, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
