// Decides how many rows are routed on the CPU's vectors, with the ids and weights of the plain path bit for bit:
// across tokens where experts are few, else across experts, else one row at a time.
#pragma once

#include <moeroute/cpu/simd/across_tokens.hpp>
#include <moeroute/cpu/simd/blocks.hpp>
#include <moeroute/cpu/simd/rough_keys.hpp>
#include <moeroute/route.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr index_t most_experts = 16 * 2000;  // the additions to a lane that unit_sum holds

template <class Select>
offset_t rows_scratch_bytes(Select const& select, index_t experts) {
  offset_t const rows = across_experts_bytes(select, experts);
  if constexpr (limits_groups<Select>) return rows;
  else {
    offset_t const block = block_bytes(select, experts);
    return rows > block ? rows : block;
  }
}

// Whether these run-time sizes suit; the types were asked by `fits`.
template <class Body>
bool suits(Body const& b) {
  index_t const k = b.r.select.experts_per_token();
  bool good = b.in.nan == nan_rule::rank_last && k <= most_chosen && b.in.logits.cols <= most_experts;
  if constexpr (limits_groups<decltype(b.r.select)>)
    good = good && b.r.select.groups <= 16 && b.r.select.closed == closed_groups::minus_infinity &&
           b.r.select.group_score.count(k, b.r.select.top_groups) <= 2;
  return good;
}

// Rows [first, last) of a route body.
template <class Body>
void route_rows(Body const& b, offset_t first, offset_t last, scratch s) {
  using Select = std::remove_cvref_t<decltype(b.r.select)>;
  offset_t t = first;
  if (!suits(b)) {
    for (; t < last; ++t) route_plainly(b, t, s);
    return;
  }
  bool few = false;
  if constexpr (!limits_groups<Select> && !chooses_rows<Select>) few = b.in.logits.cols <= few_experts;
  bool blocks = false;
  if constexpr (routes_blocks<decltype(b.r)>)
    blocks = !few && b.r.select.experts_per_token() <= 16 && b.in.logits.cols <= most_block_experts<decltype(b.r)>;
  [[maybe_unused]] rough_rows<Body> rough;
  while (t < last) {
    offset_t const wanted = few ? tokens_at_once : blocks ? block_rows : rows_at_once;
    int n = rows_together(b, t, static_cast<int>(last - t < wanted ? last - t : wanted));
    if (n == 0) {
      route_plainly(b, t++, s);
    } else if (blocks && n >= least_block<Select>) {
      if constexpr (routes_blocks<decltype(b.r)>) route_block(b, t, n, s);
      t += n;
    } else if (few && rows_at_once == 1 && n <= 2) {  // a lane to each of 16 tokens would be for little
      for (; n > 0; --n) route_plainly(b, t++, s);
    } else if (few && (n > 1 || rows_at_once == 2)) {
      if constexpr (!limits_groups<Select> && !chooses_rows<Select>) route_across_tokens(b, t, n, s);
      t += n;
    } else if (n == 1 && rows_at_once > 2 && !elementwise_score<decltype(b.r.score)>) {
      if constexpr (rows_at_once > 2 && !elementwise_score<decltype(b.r.score)>) route_across_experts<1>(b, &t, 1, s);
      ++t;
    } else {  // a short run ends with its last token again and again
      offset_t token[std::size_t{rows_at_once}];
      int left = n = n < rows_at_once ? n : rows_at_once;
      for (int q = 0; q < rows_at_once; ++q) token[q] = t + (q < n ? q : n - 1);
      if constexpr (has_rough_keys<decltype(b.r)>) left = rough.route(b, token, n, s);
      if (left != 0) route_across_experts<rows_at_once>(b, token, left, s);
      t += n;
    }
  }
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
