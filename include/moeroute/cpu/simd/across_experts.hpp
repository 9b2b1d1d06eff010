// Decides how R tokens are routed side by side, experts across lanes: what selection sees of them, the best of it, and
// the weights.
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/groups.hpp>
#include <moeroute/cpu/simd/keys.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// One row of the plain path.
template <class Body>
[[gnu::noinline, gnu::cold]] void route_plainly(Body const& b, offset_t t, scratch s) {
  b(serial_group{}, t, s);
}

// Logits, scores, keys and open keys of the rows in flight, where the open ones come from, the bias, a list.
template <class Select>
offset_t across_experts_bytes(Select const& select, index_t experts) {
  index_t const size = layout_of(select, experts).size;
  return (4 * rows_at_once + 2) * aligned_bytes<float>(size) +
         2 * rows_at_once * aligned_bytes<std::int32_t>(size / 16);
}

// Tokens token[0] ... token[rows - 1], all valid, with the same bias; up to token[R - 1] the last one again.
template <int R, class Body>
[[gnu::noinline]] MOEROUTE_SIMD_FLATTEN void route_across_experts(Body const& b, offset_t const* token, int rows,
                                                                  scratch s) {
  using Router = std::remove_cvref_t<decltype(b.r)>;
  using Select = std::remove_cvref_t<decltype(b.r.select)>;
  using Id = std::remove_cvref_t<decltype(b.out.ids[0][0])>;
  using W = std::remove_cvref_t<decltype(b.out.weights[0][0])>;
  constexpr bool grouped = limits_groups<Select>, by_logits = ranks_logits<Router>;
  auto const& r = b.r;
  index_t const k = r.select.experts_per_token();
  if (R == 1) rows = 1;
  if (rows < 1 || k < 1) return;  // there always are; g++ would warn of rows of nothing
  key_layout const l = layout_of(r.select, static_cast<index_t>(b.in.logits.cols));
  scratch const start = s;

  // What is ranked, and what the weights are made of.
  float const *logit[std::size_t{R}], *key[std::size_t{R}], *value[std::size_t{R}];
  for (int q = 0; q < R; ++q)
    key[q] = value[q] = logit[q] = q == 0 || q < rows ? logits_of(b, token[q], l, s) : logit[q - 1];
  vector_row<R> const z{logit, l.size};
  auto const m = summary_and_scores(b, vector_group{}, z, [&](auto const& all) MOEROUTE_SIMD_LAMBDA {
    if constexpr (by_logits) write_scores(b, token, l, z, all);
  });
  if constexpr (!by_logits) {
    float *score[std::size_t{R}], *ranked[std::size_t{R}];
    for (int q = 0; q < R; ++q) {
      value[q] = score[q] = s.template take<float>(l.size);
      key[q] = ranked[q] = s.template take<float>(l.size);
    }
    write_rows<R>(b, m, rows, logit, bias_of(b, token[0], l, s), l.size, score, ranked);
    if (!b.out.scores.empty())
      for (int q = 0; q < rows; ++q) copy_scores(value[q], l, b.out.scores[token[q]]);
  }

  // The best, of all experts or of the open groups.
  std::int32_t *place[std::size_t{R}], *expert[std::size_t{R}];
  int size = l.size;
  if constexpr (grouped)
    for (int q = 0; q < rows; ++q) {
      float* const open = s.template take<float>(l.size);
      place[q] = s.template take<std::int32_t>(l.size / 16);
      expert[q] = s.template take<std::int32_t>(l.size / 16);
      size = open_groups(key[q], l.groups, l.vectors, l.width, r.select.top_groups,
                         r.select.group_score.count(k, r.select.top_groups) > 1, open, place[q], expert[q]);
      key[q] = open;
    }
  alignas(64) std::int32_t id[std::size_t{most_chosen} * R], order[16 * 16];
  alignas(64) float chosen[std::size_t{most_chosen} * R];  // their values
  unsigned again = 0;                                      // rows for the plain path
  if constexpr (chooses_rows<Select>) {
    offset_t name[std::size_t{R}];
    for (int q = 0; q < R; ++q) name[q] = b.in.context(token[q]).token;
    float top[16];
    again = r.select.choose_rows(name, key, rows, size, {id, order, chosen, top, most_chosen},
                                 s.template take<float>(2 * R * size));
  } else {
    again = find_best(key, rows, size, k, id, order, s.template take<std::int32_t>(size));
  }

  // Values wait for no order.
  for (int q = 0; q < rows; ++q)
    for (index_t j = 0; j < k; j += 16) {
      ints at = load<ints>(id + most_chosen * q + j), e = at;
      if constexpr (grouped) {
        if (key[q][id[most_chosen * q + order[16 * q]]] == infinity<float>) again |= 1u << q;
        e = lookup(expert[q], size / 16, at >> 4) + (at & ints(15));
        at = lookup(place[q], size / 16, at >> 4) + (at & ints(15));
      }
      if constexpr (!chooses_rows<Select>) store(chosen + most_chosen * q + j, gather(value[q], at));
      store_first_as<Id>(&b.out.ids[token[q]][j], permute(e, load<ints>(order + 16 * q)), k - j < 16 ? k - j : 16);
    }
  if constexpr (by_logits)
    for (index_t j = 0; j < k; j += 16) {
      auto const x = side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA {
        return load<floats>(chosen + most_chosen * (q < rows ? q : rows - 1) + j);
      });
      for_each_part<R>(score_of(r.score, m, closed_if_nan(x)),
                       [&](int q, floats part) MOEROUTE_SIMD_LAMBDA { store(chosen + most_chosen * q + j, part); });
    }
  for (int q = 0; q < rows; ++q) {
    float* const w = chosen + most_chosen * q;
    store(w, permute(load<floats>(w), load<ints>(order + 16 * q)));  // beyond 16 they are in order
    r.weigh(row_view<float>{w, k});
    for (index_t j = 0; j < k; j += 16)
      store_first_as<W>(&b.out.weights[token[q]][j], load<floats>(w + j), k - j < 16 ? k - j : 16);
  }
  for (; again != 0; again &= again - 1) route_plainly(b, token[std::countr_zero(again)], start);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
