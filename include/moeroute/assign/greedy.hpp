// Decides a cheap balanced assignment without a bound: tokens by descending best score, each to its best expert with
// room. Source: StableMoE (S050) balances greedily likewise, with experts in random order.
#pragma once

#include <moeroute/assign/balanced.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// A cheap balanced assignment without a bound: tokens by descending best score, each to its best expert with room.
template <element T>
status try_greedy_assignment(matrix_view<T const> scores, row_view<index_t> out, workspace w) noexcept {
  checks c;
  c.also(detail::check_balanced(scores, out));
  c.also(workspace_ok(
      w, aligned_bytes<offset_t>(scores.rows) + aligned_bytes<offset_t>(scores.cols) + workspace_alignment));
  if (!c.result().ok()) return c.result();
  using V = compute_t<T>;
  scratch s = aligned_scratch(w);
  auto* const order = s.take<offset_t>(scores.rows);
  auto* const load_of = s.take<offset_t>(scores.cols);
  auto const best = [&](offset_t t, bool with_room) {
    ranked<key_t<V>> top;
    for (index_t e = 0; e < scores.cols; ++e) {
      ranked<key_t<V>> const one{order_key<V>(load(scores[t][e])), e};
      if ((!with_room || load_of[e] < scores.rows / scores.cols) && beats(one, top)) top = one;
    }
    return top;
  };
  for (offset_t t = 0; t < scores.rows; ++t) order[t] = t;
  for (offset_t e = 0; e < scores.cols; ++e) load_of[e] = 0;
  detail::sort_in_place(serial_group{}, order, scores.rows, [&](offset_t i, offset_t j) {
    auto const a = best(i, false).key, b = best(j, false).key;
    return a > b || (a == b && i < j);
  });
  for (offset_t i = 0; i < scores.rows; ++i) {
    out[order[i]] = best(order[i], true).id;
    ++load_of[out[order[i]]];
  }
  return {};
}

}  // namespace moeroute::inline MOEROUTE_ABI
