// Decides how R tokens are routed side by side, experts across lanes: the policies of one row of memory, on a row
// whose elements are vectors.
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/groups.hpp>
#include <moeroute/cpu/simd/rows.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// One row of the plain path.
template <class Body>
[[gnu::noinline]] void route_plainly(Body const& b, offset_t t, scratch s) {
  b(serial_group{}, t, s);
}

// Logits, keys and open keys (or the space for a choice) of the rows in flight, where the open ones come from, a list.
template <class Select>
offset_t across_experts_bytes(Select const& select, index_t experts) {
  index_t const size = layout_of(select, experts).size;
  return (4 * rows_at_once + 1) * aligned_bytes<float>(size) +
         2 * rows_at_once * aligned_bytes<std::int32_t>(size / 16);
}

// The logits of token t in the layout, after the prior; NaN kept.
template <class Body>
MOEROUTE_SIMD_INLINE float const* logits_of(Body const& b, offset_t t, key_layout const& l, scratch& s) {
  using T = std::remove_cvref_t<decltype(b.in.logits.data[0])>;
  auto const row = b.in.logits[t];
  if constexpr (is_none<decltype(b.r.prior)>) {
    if constexpr (std::same_as<T, float>)
      if (l.size == l.experts) return row.data;
    float* const copy = s.template take<float>(l.size);
    spread(row.data, l, copy);
    return copy;
  } else {  // the prior works on experts in a row, beside the copy
    float* const copy = s.template take<float>(l.size);
    float* const flat = l.in_order() ? copy : copy + l.size;
    for (index_t e = 0; e < l.experts; ++e) flat[e] = moeroute::load(row[e]);
    b.r.prior(serial_group{}, b.in.context(t), memory_row<float>{flat, l.experts});
    if (!l.in_order()) spread(static_cast<float const*>(flat), l, copy);
    else
      for (index_t i = l.experts; i < l.size; ++i) copy[i] = not_a_number<float>;
    return copy;
  }
}

// The scores of all experts, for callers who asked for them.
template <int R, class Body, class M>
MOEROUTE_SIMD_INLINE void write_scores(Body const& b, offset_t const* token, key_layout const& l,
                                       vector_row<R> const& z, M const& m) {
  using W = std::remove_cvref_t<decltype(b.out.scores[0][0])>;
  for_each_block(l, [&](index_t i, index_t expert, int n) MOEROUTE_SIMD_LAMBDA {
    if (n == 0) return;
    for_each_part<R>(score_of(b.r.score, m, z.at(i)), [&](int q, floats part) MOEROUTE_SIMD_LAMBDA {
      W* const to = &b.out.scores[token[q]][expert];
      if constexpr (std::same_as<W, float>) {
        store_first(to, part, n);
      } else {
        alignas(64) float lane[16];
        store(lane, part);
        for (int j = 0; j < n; ++j) to[j] = static_cast<W>(lane[j]);
      }
    });
  });
}

// The summary for the weights, after all scores were written where they are asked for.
template <class Body, class G, class Row, class Write>
MOEROUTE_SIMD_INLINE auto summary_and_scores(Body const& b, G const& g, Row const& z, Write write) {
  auto const ratios = [&]() MOEROUTE_SIMD_LAMBDA {
    if constexpr (requires { b.r.score.summarize_ratios(g, z); }) return b.r.score.summarize_ratios(g, z);
    else return summarize(b.r.score, g, z);
  };
  if (b.ratios_suffice() && b.out.scores.empty()) return ratios();
  auto const all = summarize(b.r.score, g, z);
  if (!b.out.scores.empty()) write(all);
  return b.ratios_suffice() ? ratios() : all;
}

// What selection ranks, into scratch.
template <int R, class Body, class M>
MOEROUTE_SIMD_INLINE void write_keys(Body const& b, offset_t first, key_layout const& l, vector_row<R> const& z,
                                     M const& m, float* const* to) {
  auto const parameters = b.r.bias.parameters(b.in.context(first));
  for_each_block(l, [&](index_t i, [[maybe_unused]] index_t expert, [[maybe_unused]] int n) MOEROUTE_SIMD_LAMBDA {
    auto const x = z.raw(i);
    auto y = score_of(b.r.score, m, closed_if_nan(x));
    if constexpr (!is_none<decltype(b.r.bias)>) {
      floats const p = read_parameters(parameters, expert, n);
      y = b.r.bias(y, side_by_side<R>([&](int) MOEROUTE_SIMD_LAMBDA { return p; }));
    }
    y = select(decltype(x)(lowest) < x, y, x);  // closed stays closed, NaN stays NaN
    for_each_part<R>(y, [&](int q, floats part) MOEROUTE_SIMD_LAMBDA { store(to[q] + i, part); });
  });
}

// R tokens, all valid, with the same bias; a token may appear twice.
template <int R, class Body>
[[gnu::noinline]] MOEROUTE_SIMD_FLATTEN void route_across_experts(Body const& b, offset_t const* token, scratch s) {
  using Router = std::remove_cvref_t<decltype(b.r)>;
  using Select = std::remove_cvref_t<decltype(b.r.select)>;
  constexpr bool grouped = limits_groups<Select>;
  auto const& r = b.r;
  index_t const k = r.select.experts_per_token();
  key_layout const l = layout_of(r.select, static_cast<index_t>(b.in.logits.cols));
  scratch const start = s;

  float const *logit[std::size_t{R}], *key[std::size_t{R}];
  for (int q = 0; q < R; ++q) key[q] = logit[q] = logits_of(b, token[q], l, s);
  vector_row<R> const z{logit, l.size};
  auto const m = summary_and_scores(b, vector_group{}, z,
                                    [&](auto const& all) MOEROUTE_SIMD_LAMBDA { write_scores(b, token, l, z, all); });
  if constexpr (!ranks_logits<Router>) {
    float* to[std::size_t{R}];
    for (int q = 0; q < R; ++q) key[q] = to[q] = s.template take<float>(l.size);
    write_keys<R>(b, token[0], l, z, m, to);
  }

  // The best, of all experts or of the open groups.
  std::int32_t *place[std::size_t{R}], *expert[std::size_t{R}];
  int size = l.size;
  if constexpr (grouped)
    for (int q = 0; q < R; ++q) {
      float* const open = s.template take<float>(l.size);
      place[q] = s.template take<std::int32_t>(l.size / 16);
      expert[q] = s.template take<std::int32_t>(l.size / 16);
      size = open_groups(key[q], l.groups, l.vectors, l.width, r.select.top_groups,
                         r.select.group_score.count(k, r.select.top_groups) > 1, open, place[q], expert[q]);
      key[q] = open;
    }
  alignas(64) std::int32_t id[std::size_t{most_chosen} * R];
  float top[std::size_t{R}];
  unsigned again = 0;  // rows for the plain path
  if constexpr (chooses_rows<Select>) {
    offset_t name[std::size_t{R}];
    for (int q = 0; q < R; ++q) name[q] = b.in.context(token[q]).token;
    again = r.select.template choose_rows<R>(name, key, size, id, s.template take<float>(2 * R * size));
  } else {
    again = best_of_rows(key, R, size, k, id, top, s.template take<std::int32_t>(size));
  }

  alignas(64) float chosen[std::size_t{most_chosen} * R];
  for (index_t j = 0; j < k; j += 16) {
    int const n = k - j < 16 ? k - j : 16;
    auto const x = side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA {
      ints at = load<ints>(id + 64 * q + j);
      if (n < 16 || (again >> q & 1u) != 0) at = select(lane_id() < ints((again >> q & 1u) != 0 ? 0 : n), at, ints(0));
      ints e = at;
      if constexpr (grouped) {
        e = gather(expert[q], at >> 4) + (at & ints(15));
        at = gather(place[q], at >> 4) + (at & ints(15));
      }
      using Id = std::remove_cvref_t<decltype(b.out.ids[0][0])>;
      Id* const to = &b.out.ids[token[q]][j];
      if constexpr (std::same_as<Id, std::int32_t>) {
        store_first(to, e, n);
      } else {
        alignas(64) std::int32_t lane[16];
        store(lane, e);
        for (int i = 0; i < n; ++i) to[i] = static_cast<Id>(lane[i]);
      }
      return gather(logit[q], at);
    });
    for_each_part<R>(score_of(r.score, m, closed_if_nan(x)),
                     [&](int q, floats part) MOEROUTE_SIMD_LAMBDA { store(chosen + 64 * q + j, part); });
  }
  for (int q = 0; q < R; ++q) {
    row_view<float> const row{chosen + 64 * q, k};
    r.weigh(row);
    auto const to = b.out.weights[token[q]];
    for (index_t j = 0; j < k; ++j) to[j] = static_cast<std::remove_cvref_t<decltype(to[0])>>(row[j]);
    if (grouped && top[q] == infinity<float>) again |= 1u << q;  // a sum of infinities has its own rule
  }
  for (; again != 0; again &= again - 1) route_plainly(b, token[std::countr_zero(again)], start);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
