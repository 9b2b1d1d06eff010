// Decides a soft balanced plan: rows of exp(z) scaled to 1/T and columns to 1/E in turn, until the column factors
// move by no more than `tolerance` on average. No gradient. Sources: S-BASE, Megatron-LM (P37), S088.
//
//   C = exp(z - max of the row)        (the row factor takes the shift up; nothing overflows)
//   d0_t = 1 / (T (sum_e d1_e C_te + eps)),   d1_e = 1 / (E (sum_t d0_t C_te + eps)),   plan = d0 C d1
#pragma once

#include <moeroute/assign/sinkhorn_rounds.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <executor X, class V = float>
offset_t sinkhorn_workspace_bytes(X const& x, offset_t tokens, offset_t experts) {
  offset_t const blocks = (tokens + detail::sinkhorn_block - 1) / detail::sinkhorn_block;
  return aligned_bytes<V>(tokens) + aligned_bytes<V>(experts) + aligned_bytes<V>(blocks * experts) +
         aligned_bytes<std::int64_t>(1) + workspace_alignment + x.workspace_bytes(0);
}

// The plan (tokens x experts, sums to 1) of the logits. Closed experts (-inf, NaN) keep 0 mass. After the column
// factors rest, further rounds do nothing, so that no executor has to be asked in between.
template <executor X, element T, class V>
status try_sinkhorn_plan(X const& x, sinkhorn how, matrix_view<T const> logits, matrix_view<V> plan,
                         workspace w) noexcept {
  static_assert(std::same_as<V, compute_t<T>>, "sinkhorn_plan: the plan is float, or double for double logits");
  checks c;
  c.must_be("plan rows", plan.rows, logits.rows).must_be("plan columns", plan.cols, logits.cols);
  c.strided("logits", logits).strided("plan", plan).at_least("sinkhorn.max_rounds", how.max_rounds, 1);
  if (!(how.tolerance >= 0))
    c.also({errc::bad_value, "sinkhorn.tolerance", "must be at least", static_cast<std::int64_t>(how.tolerance), 0});
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
