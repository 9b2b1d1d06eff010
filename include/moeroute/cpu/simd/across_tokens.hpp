// Decides how tokens are routed side by side when there are few experts, a lane to each token, by the same policies.
#pragma once

#include <moeroute/cpu/simd/across_experts.hpp>
#include <moeroute/cpu/simd/best_of_columns.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// Weights of the chosen scores in k columns to rows first .. first + tokens.
template <class Weigh, class W>
MOEROUTE_SIMD_INLINE void write_weights(Weigh const& weigh, lane_floats* chosen, index_t k, matrix_view<W> out,
                                        offset_t first, int tokens) {
  auto const* const column = reinterpret_cast<float const*>(chosen);
  if constexpr (takes_vectors<Weigh>) {
    weigh(row_view<lane_floats>{chosen, k});
    write_columns(column, out, first, tokens);
  } else {
    alignas(64) float rows[column_numbers];
    int const width = rows_of_columns(column, k, rows);
    for (int q = 0; q < tokens; ++q) weigh(row_view<float>{rows + width * q, k});
    write_rows(static_cast<float const*>(rows), width, out, first, tokens);
  }
}

// Tokens first .. first + tokens, at most tokens_at_once, all valid, with the same bias.
template <class Body>
[[gnu::noinline]] MOEROUTE_SIMD_FLATTEN void route_across_tokens(Body const& b, offset_t first, int tokens, scratch s) {
  using Router = std::remove_cvref_t<decltype(b.r)>;
  constexpr bool by_logits = ranks_logits<Router>, biased = !by_logits && !is_none<decltype(b.r.bias)>;
  constexpr int N = tokens_at_once;
  auto const& r = b.r;
  index_t const k = r.select.experts_per_token(), experts = static_cast<index_t>(b.in.logits.cols);
  alignas(64) float column[column_numbers];
  read_columns(b, first, tokens, column);
  if (experts % experts_at_once != 0) store(column + N * experts, lane_floats(lowest));
  lane_row const z{column, experts};
  auto const m = summary_and_scores(b, column_group{}, z, [&](auto const& all) MOEROUTE_SIMD_LAMBDA {
    alignas(64) float score[column_numbers];
    z.each(column_group{},
           [&](index_t e, several_columns x) MOEROUTE_SIMD_LAMBDA { store(score + N * e, score_of(r.score, all, x)); });
    write_columns(static_cast<float const*>(score), b.out.scores, first, tokens);
  });

  // What is ranked, and what the weights are made of where that is another number.
  alignas(64) float ranked[by_logits ? 1 : column_numbers], value[biased ? column_numbers : 1];
  if constexpr (!by_logits) {
    [[maybe_unused]] auto const parameters = r.bias.parameters(b.in.context(first));
    z.each(column_group{}, [&](index_t e, several_columns x) MOEROUTE_SIMD_LAMBDA {
      several_columns y = score_of(r.score, m, x);
      if constexpr (biased) {
        store(value + N * e, y);
        y = r.bias(y, side_by_side<experts_at_once>([&](int i) MOEROUTE_SIMD_LAMBDA {
                     return lane_floats(e + i < experts ? static_cast<float>(parameters[e + i]) : 0.f);
                   }));
      }
      store(ranked + N * e, closed_if_nan(select(several_columns(lowest) < x, y, x)));
    });
  }
  alignas(64) float best[column_numbers], carried[biased ? column_numbers : 1];
  alignas(64) std::int32_t id[column_numbers];
  float const *const key = by_logits ? column : ranked, *const with = biased ? value : nullptr;
  if (k <= 2) insert_columns<2, biased>(key, with, experts, k, best, carried, id);
  else if (k <= 4) insert_columns<4, biased>(key, with, experts, k, best, carried, id);
  else insert_columns<0, biased>(key, with, experts, k, best, carried, id);
  // Where the last is closed, NaN may have to come behind it.
  std::uint64_t again =
      ~lane_bits(lane_floats(lowest) < load<lane_floats>(best + N * (k - 1))) & ((std::uint64_t{1} << tokens) - 1);

  lane_floats chosen[few_experts];
  if constexpr (by_logits) {
    if (k % experts_at_once != 0) store(best + N * k, lane_floats(lowest));
    for (index_t j = 0; j < k; j += experts_at_once)
      for_each_part<experts_at_once>(score_of(r.score, m, load<several_columns>(best + N * j)),
                                     [&](int i, lane_floats part) MOEROUTE_SIMD_LAMBDA { chosen[j + i] = part; });
  } else {
    for (index_t j = 0; j < k; ++j) chosen[j] = load<lane_floats>((biased ? carried : best) + N * j);
  }
  write_weights(r.weigh, chosen, k, b.out.weights, first, tokens);
  write_columns(static_cast<std::int32_t const*>(id), b.out.ids, first, tokens);
  for (; again != 0; again &= again - 1) route_plainly(b, first + std::countr_zero(again), s);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
