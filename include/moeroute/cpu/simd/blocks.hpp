// Decides how up to 16 tokens with many experts are routed at once: what needs every expert is done row by row, experts
// across lanes; what needs a few numbers of each row, the bound of its best keys and their order, for 16 rows at once. A
// block that holds fewer ends with its last row again and again.
#pragma once

#include <moeroute/core/prefetch.hpp>
#include <moeroute/cpu/simd/across_experts.hpp>
#include <moeroute/cpu/simd/rough_keys.hpp>
#include <moeroute/cpu/simd/sort_columns.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr int block_rows = 16;
// The shortest run that gains by being a block, as measured. With AVX2 two rows side by side are no worse for long; where
// selection chooses rows in a way of its own, a block gains sooner.
template <class Select>
inline constexpr int least_block =
    register_bytes == 32 ? (chooses_rows<Select> ? 3 : 12) : (chooses_rows<Select> ? 2 : 6);
// The rows of a block stay near: their logits, or scores and keys too.
inline constexpr index_t most_ranked_by_logits = 1024, most_ranked_by_keys = 256;
template <class R>
inline constexpr index_t most_block_experts = ranks_logits<R> ? most_ranked_by_logits : most_ranked_by_keys;

// Routers whose selection sees all experts.
template <class R>
inline constexpr bool routes_blocks = !limits_groups<decltype(R::select)> && !has_rough_keys<R>;

// Logits, scores and keys of the rows in flight, the bias, what selection needs.
template <class Select>
offset_t block_bytes(Select const& select, index_t experts) {
  if (experts > most_ranked_by_logits) return 0;
  index_t const size = layout_of(select, experts).size;
  int const rows = experts > most_ranked_by_keys && !chooses_rows<Select> ? block_rows + 1 : 3 * block_rows + 2;
  return rows * aligned_bytes<float>(size);
}

// The largest and the k-th largest of the lanes of each row, a bound that at least k keys reach; k <= 16.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void bounds_of(float const* const* row, int rows, int size, int k, float* bound, float* top) {
  alignas(64) float maxima[32 * block_rows];
  int const lanes = k > 8 || size >= 512 ? 32 : 16;
  for (int q = 0; q < rows; ++q) {
    floats a(lowest), b(lowest);
    for (int i = 0; i < size; i += 32) {
      a = max(load<floats>(row[q] + i), a);
      b = max(load<floats>(row[q] + i + 16), b);
    }
    float* const to = maxima + lanes * q;
    store(to, lanes == 16 ? max(a, b) : a);
    if (lanes == 32) store(to + 16, b);
  }
  repeat_last(maxima, lanes, rows);
  kth_of_rows(maxima, lanes, k, bound, top);
}

// Of a row in which more than 16 keys reach the bound: at most 16 among which the k best are. Of the keys that equal the
// bound only the first can be.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline survivors first_of_many(float const* key, int size, float bound, int k, std::int32_t* list) {
  alignas(64) std::int32_t id[most_chosen] = {};
  alignas(64) float x[16];
  store(x, floats(lowest));
  auto const bits = std::bit_cast<std::int32_t>(bound + 0.f);
  floats const above(std::bit_cast<float>(bits < 0 ? bits - 1 : bits + 1));  // the next number; of infinity, none
  int larger = 0, n = 0;
  for (int b = 0; b < size; b += 64) larger += std::popcount(detail::reaching(key + b, above));
  if (larger > 16) {
    insert_reaching(key, size, bound, k, id, list);
    n = k;
  } else {
    int equal = k - larger;
    for (int b = 0; b < size; b += 64) {
      std::uint64_t const greater = detail::reaching(key + b, above);
      for (std::uint64_t word = greater; word != 0; word &= word - 1) id[n++] = b + std::countr_zero(word);
      if (equal <= 0) continue;
      for (std::uint64_t word = detail::reaching(key + b, floats(bound)) & ~greater; word != 0 && equal > 0;
           word &= word - 1, --equal)
        id[n++] = b + std::countr_zero(word);
    }
  }
  for (int j = 0; j < n; ++j) x[j] = key[id[j]];
  return {load<floats>(x), load<ints>(id), n};
}

// The candidates of a block, 16 lanes a row, which are places; what lies behind the last is any number of the row.
struct block_candidates {
  alignas(64) std::int32_t id[16 * block_rows], order[16 * block_rows];
  alignas(64) float logit[16 * block_rows];
  unsigned unserved = 0;  // rows with fewer than k keys above -inf, a bit each
};

// Where selection chooses rows in a way of its own.
template <class Body>
MOEROUTE_SIMD_INLINE void choose_block(Body const& b, offset_t first, int rows, float const* const* logit, index_t size,
                                       float* space, float* top, block_candidates& c) {
  offset_t token[std::size_t{block_rows}] = {};
  for (int q = 0; q < rows; ++q) token[q] = b.in.context(first + q).token;
  c.unserved = b.r.select.choose_rows(token, logit, rows, size, {c.id, c.order, c.logit, top, 16}, space);
}

// The k best of all experts, and the largest logit of each row.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void best_of_block(float const* const* logit, int rows, index_t size, index_t k,
                                            std::int32_t* list, float* top, block_candidates& c) {
  alignas(64) float bound[block_rows], key[16 * block_rows];
  bounds_of(logit, rows, size, k, bound, top);
  for (int q = 0; q < rows; ++q) {
    survivors s = detail::collect(logit[q], size, floats(bound[q]));
    if (s.count > 16) s = first_of_many(logit[q], size, bound[q], k, list);
    store(key + 16 * q, s.key);
    store(c.id + 16 * q, s.id);
    store(c.logit + 16 * q, select(s.key == floats(lowest), floats(bound[q]), s.key));
    c.unserved |= unsigned{bound[q] == lowest} << q;
  }
  repeat_last(key, 16, rows);
  order_16_rows(key, rows, k, c.order);
}

// The first k lanes of each register.
template <class Weigh>
MOEROUTE_SIMD_INLINE void weigh_rows(Weigh const& weigh, floats (&row)[block_rows], int rows, index_t k) {
  if constexpr (weighs_each<Weigh>) {
    weigh(row_view<floats>{row, block_rows});
  } else if constexpr (takes_vectors<Weigh>) {
    transpose(row);
    weigh(row_view<floats>{row, k});
    transpose(row);
  } else {
    for (int q = 0; q < rows; ++q) {
      alignas(64) float lane[16];
      store(lane, row[q]);
      weigh(row_view<float>{lane, k});
      row[q] = load<floats>(lane);
    }
  }
}

// f(constant<S>, q) for rows q ... q + S - 1 of all: as many as keep their sums in registers, and what is left one by one.
template <class F>
MOEROUTE_SIMD_INLINE void for_rows_summed(int rows, F f) {
  constexpr int S = rows_at_once > 1 ? rows_at_once / 2 : 1;
  int q = 0;
  for (; q + S <= rows; q += S) f(constant<S>, q);
  if constexpr (S > 1)
    for (; q < rows; ++q) f(constant<1>, q);
}

// What the candidates' logits are worth.
template <class Body>
MOEROUTE_SIMD_INLINE void score_block(Body const& b, offset_t first, int rows, float const* const* logit,
                                      float const* top, key_layout const& l, block_candidates const& c, float* score) {
  // The next block's logits come while this one computes, where both fit the first cache.
  offset_t const row_bytes = b.in.logits.cols * static_cast<offset_t>(sizeof(b.in.logits.data[0]));
  bool const ahead = row_bytes <= 1024 && first + 2 * block_rows <= b.in.logits.rows;
  for_rows_summed(rows, [&]<int S>(std::integral_constant<int, S>, int q) MOEROUTE_SIMD_LAMBDA {
    if (ahead)
      for (int p = q; p < q + S; ++p)
        moeroute::detail::fetch_ahead(b.in.logits[first + block_rows + p].data, row_bytes);
    ranked_row<S> const z{{logit + q, l.size}, top + q};
    auto const m = summary_and_scores(b, vector_group{}, z, [&](auto const& all) MOEROUTE_SIMD_LAMBDA {
      offset_t token[std::size_t{S}];
      for (int p = 0; p < S; ++p) token[p] = first + q + p;
      write_scores(b, token, l, z, all);
    });
    store(score + 16 * q, score_of(b.r.score, m, load<vec<float, 16 * S>>(c.logit + 16 * q)));
  });
}

// Scores and keys of all experts, where selection ranks more than logits.
template <class Body>
MOEROUTE_SIMD_INLINE void write_block_keys(Body const& b, offset_t first, int rows, float const* const* logit,
                                           float const* bias, key_layout const& l, float* const* value,
                                           float* const* key) {
  auto const write = [&]<int R>(std::integral_constant<int, R>, int q, int n) MOEROUTE_SIMD_LAMBDA {
    auto const m = summary_and_scores(b, vector_group{}, vector_row<R>{logit + q, l.size}, [](auto const&) {});
    write_rows<R>(b, m, n, logit + q, bias, l.size, value + q, key + q);
  };
  if constexpr (elementwise_score<decltype(b.r.score)>) write(constant<rows_at_once>, 0, rows);
  else for_rows_summed(rows, [&](auto r, int q) MOEROUTE_SIMD_LAMBDA { write(r, q, r); });
  if (!b.out.scores.empty())
    for (int q = 0; q < rows; ++q) copy_scores(value[q], l, b.out.scores[first + q]);
}

// Tokens first .. first + rows - 1, at most 16, all valid, with the same bias.
template <class Body>
[[gnu::noinline]] MOEROUTE_SIMD_FLATTEN void route_block(Body const& b, offset_t first, int rows, scratch s) {
  using Id = std::remove_cvref_t<decltype(b.out.ids[0][0])>;
  using W = std::remove_cvref_t<decltype(b.out.weights[0][0])>;
  constexpr bool by_logits = ranks_logits<std::remove_cvref_t<decltype(b.r)>>;
  auto const& r = b.r;
  index_t const k = r.select.experts_per_token();
  key_layout const l = layout_of(r.select, static_cast<index_t>(b.in.logits.cols));
  scratch const start = s;
  float const* logit[std::size_t{block_rows}] = {};
  for (int q = 0; q < rows; ++q) logit[q] = logits_of(b, first + q, l, s);
  block_candidates c;
  alignas(64) float top[block_rows], score[16 * block_rows];
  if constexpr (by_logits) {
    if constexpr (chooses_rows<std::remove_cvref_t<decltype(r.select)>>)
      choose_block(b, first, rows, logit, l.size, s.template take<float>(2 * rows * l.size), top, c);
    else best_of_block(logit, rows, l.size, k, s.template take<std::int32_t>(l.size), top, c);
    score_block(b, first, rows, logit, top, l, c, score);
  } else {
    float *value[std::size_t{block_rows}] = {}, *key[std::size_t{block_rows}] = {};
    for (int q = 0; q < rows; ++q) value[q] = s.template take<float>(l.size), key[q] = s.template take<float>(l.size);
    write_block_keys(b, first, rows, logit, bias_of(b, first, l, s), l, value, key);
    best_of_block(key, rows, l.size, k, s.template take<std::int32_t>(l.size), top, c);
    for (int q = 0; q < rows; ++q) store(score + 16 * q, gather(value[q], load<ints>(c.id + 16 * q)));
  }

  floats weight[std::size_t{block_rows}], last(0.f);
  for (int q = 0; q < rows; ++q) {
    ints const at = load<ints>(c.order + 16 * q);
    store_first_as<Id>(b.out.ids[first + q].data, permute(load<ints>(c.id + 16 * q), at), k);
    weight[q] = last = permute(load<floats>(score + 16 * q), at);
  }
  for (int q = rows; q < block_rows; ++q) weight[q] = last;
  weigh_rows(r.weigh, weight, rows, k);
  for (int q = 0; q < rows; ++q) store_first_as<W>(b.out.weights[first + q].data, weight[q], k);
  for (unsigned left = c.unserved; left != 0; left &= left - 1) route_plainly(b, first + std::countr_zero(left), start);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
