// Decides how rows are routed by keys that are only nearly right: rough keys of all experts find the open groups and at
// most 16 candidates, the exact keys of these decide. A row in which the error could matter is left to the exact path,
// so ids and weights are the same bits.
//
//   |rough key - key| <= slack = error + 2^-23 (largest + 1)    keys up to `largest`; both sums are rounded, |score| <= 1
//   k keys reach the bound B of the rough ones: the k-th best key is at least B - slack, and the k best have rough
//   keys of at least B - margin, margin > 2 slack; two keys are added in a group's score
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/groups.hpp>
#include <moeroute/cpu/simd/keys.hpp>
#include <moeroute/cpu/simd/rough_sigmoid.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

template <class R>
inline constexpr bool has_rough_keys =
    may_be_rough && rough_score<decltype(R::score)> && !ranks_logits<R> && takes_best<decltype(R::select)> &&
    !chooses_rows<decltype(R::select)> && (is_none<decltype(R::bias)> || adds_parameter<decltype(R::bias)>) &&
    requires(R const& r, floats x) {
      { r.score.approx(x) } -> std::same_as<floats>;
    };

// Keys whose rough forms lie further apart have their order, as long as those that decide are no larger.
inline constexpr float largest_key = 64;
template <class Score>
inline constexpr float rough_margin = 2 * Score::error + 0x1p-21f * largest_key;

// Rough keys of a row in the layout, -inf where the expert is closed, then 64 times -inf.
template <class Body>
MOEROUTE_SIMD_INLINE void write_rough_keys(Body const& b, float const* logit, float const* bias, index_t size,
                                           float* key) {
  for (index_t i = 0; i < size; i += 16) {  // one after the other: they do not wait for each other
    floats const x = load<floats>(logit + i);
    floats y = b.r.score.approx(x);
    if constexpr (!is_none<decltype(b.r.bias)>) y = b.r.bias(y, load<floats>(bias + i));
    store(key + i, select(floats(lowest) < x, closed_if_nan(y), floats(lowest)));
  }
  for (index_t i = 0; i < key_block; i += 16) store(key + size + i, floats(lowest));
}

// The groups whose scores are surely among the largest, as bits; none where another might be, or where keys are too large
// for the margin. A group is open if no more than `top_groups`, with itself, may reach its score.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE unsigned surely_open(two_best const& of, int groups, int top_groups, bool sum, float margin) {
  alignas(64) float lane[16];
  floats const score = group_scores(of, sum), least = score - floats(margin), low = sum ? of.second : of.first;
  store(lane, score);
  ints reach(0);
#pragma GCC unroll 4
  for (int j = 0; j < groups; ++j) reach = detail::one_more_where(least <= floats(lane[j]), reach);
  unsigned const all = (1u << groups) - 1, open = bits_at_most(reach, ints(top_groups)) & all;
  ints const moderate = (of.first <= floats(largest_key)) & ((floats(-largest_key) <= low) | (score == floats(lowest)));
  return std::popcount(open) == top_groups && (lane_bits(moderate) & all) == all ? open : 0;
}

// Which of the open groups the 16 registers from the i-th on are in, and how far they are from its first.
struct slot_pattern {
  ints group, rest;
  MOEROUTE_SIMD_INLINE slot_pattern(key_layout const& l, int i) {
    ints const slot = lane_id() + i;
    group = slot * ints((1 << 16) / l.vectors + 1) >> 16;
    rest = (slot - group * ints(l.vectors)) << 4;
  }
};
// Registers of the open groups: where their keys are and, if that is another list, their first experts; filled up with
// the -inf behind the keys to a multiple of 4.
MOEROUTE_SIMD_INLINE int list_slots(key_layout const& l, unsigned open, slot_pattern const& few, std::int32_t* place,
                                    std::int32_t* expert) {
  int const n = std::popcount(open) * l.vectors;
  for (int i = 0; i < n; i += 16) {
    slot_pattern const p = i == 0 ? few : slot_pattern(l, i);
    auto const list = [&](std::int32_t step, std::int32_t behind) MOEROUTE_SIMD_LAMBDA {
      ints const first = permute(together(lane_id() * ints(step), open), p.group & ints(15));
      return select(lane_id() < ints(n - i), first + p.rest, ints(behind));
    };
    store(place + i, list(16 * l.vectors, l.size));
    if (expert != place) store(expert + i, list(l.width, 0));
  }
  return (n + 3) / 4 * 4;
}

// Places of a row's keys, 16 from each of the `slots` (a multiple of 4) that `place` lists: those that reach the bound,
// in order, as slot * 16 + lane.
struct reached {
  ints at;
  int count;
};
#if defined(__AVX512VBMI2__) && defined(__AVX512DQ__)
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE reached reach(float const* key, std::int32_t const* place, int slots, floats bound) {
  ints at(0);
  int n = 0;
  for (int b = 0; b < slots; b += 4) {
    std::uint64_t word = 0;
    for (int i = 0; i < 4; ++i) word |= std::uint64_t{bits_at_most(bound, load<floats>(key + place[b + i]))} << 16 * i;
    at = detail::append(at, n, word, ints(16 * b));
    n += std::popcount(word);
  }
  return {at, n};
}
#else
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE reached reach(float const* key, std::int32_t const* place, int slots, floats bound) {
  std::int32_t at[16] = {};
  int n = 0;
  for (int b = 0; b < slots; ++b)
    for (unsigned word = lane_bits(bound <= load<floats>(key + place[b])); word != 0; word &= word - 1, ++n)
      if (n < 16) at[n] = 16 * b + std::countr_zero(word);
  return {load<ints>(at), n};
}
#endif

// Tokens token[0] ... token[rows - 1], valid, with the same bias. Bit q of the result is set where
// row q was not served.
template <class Body>
[[gnu::noinline]] MOEROUTE_SIMD_FLATTEN unsigned route_by_rough_keys(Body const& b, offset_t const* token, int rows,
                                                                     scratch s) {
  using Select = std::remove_cvref_t<decltype(b.r.select)>;
  using Id = std::remove_cvref_t<decltype(b.out.ids[0][0])>;
  using W = std::remove_cvref_t<decltype(b.out.weights[0][0])>;
  auto const& r = b.r;
  if (rows < 1) return 0;  // there always are; g++ would warn of rows of nothing
  index_t const k = r.select.experts_per_token();
  key_layout const l = layout_of(r.select, static_cast<index_t>(b.in.logits.cols));
  constexpr float margin = rough_margin<std::remove_cvref_t<decltype(r.score)>>;
  unsigned doubt = 0;

  float const *logit[rows_at_once], *bias = bias_of(b, token[0], l, s);
  float* key[rows_at_once];
  for (int q = 0; q < rows; ++q) {
    logit[q] = logits_of(b, token[q], l, s);
    key[q] = s.template take<float>(l.size + key_block);
    write_rough_keys(b, logit[q], bias, l.size, key[q]);
  }

  // Each step is taken for all rows before the next: their waits overlap.
  alignas(64) float number[rows_at_once][16] = {}, score[rows_at_once][16];
  alignas(64) std::int32_t at[rows_at_once][16], order[rows_at_once][16];
  std::int32_t *place[rows_at_once], *expert[rows_at_once];
  int count[rows_at_once], slots = 0;
  slot_pattern const few(l, 0);
  for (int q = 0; q < rows; ++q) {
    unsigned open = 1;
    if constexpr (limits_groups<Select>) {
      open = surely_open(best_of_groups<true>(key[q], l.groups, 16 * l.vectors), l.groups, r.select.top_groups,
                         r.select.group_score.count(k, r.select.top_groups) > 1, 2 * margin);
      if (open == 0) doubt |= 1u << q, open = (1u << r.select.top_groups) - 1;
    }
    place[q] = expert[q] = s.template take<std::int32_t>(l.size / 16);
    if (!l.in_order()) expert[q] = s.template take<std::int32_t>(l.size / 16);
    slots = list_slots(l, open, few, place[q], expert[q]);
  }
  for (int q = 0; q < rows; ++q) {
    alignas(64) float maxima[32];
    floats even(lowest), odd(lowest);
    for (int i = 0; i < slots; i += 2) {
      even = max(load<floats>(key[q] + place[q][i]), even);
      odd = max(load<floats>(key[q] + place[q][i + 1]), odd);
    }
    bool const wide = k > 8 || slots >= 32;  // fewer keys reach the bound
    store(maxima, wide ? even : max(even, odd));
    store(maxima + 16, odd);
    store(number[q], kth_largest(maxima, wide ? 32 : 16, k));
  }
  for (int q = 0; q < rows; ++q) {
    reached const c = reach(key[q], place[q], slots, load<floats>(number[q]) - floats(margin));
    count[q] = c.count;
    if (c.count > 16 || !(number[q][0] <= largest_key && -largest_key <= number[q][0])) doubt |= 1u << q;
    store(at[q], c.at);
  }
  // A row alone tries the order of its rough keys, found beside the exact ones; AVX2 gains nothing by it.
  bool const alone = rows == 1 && register_bytes == 64;
  alignas(64) float rough[16];
  for (int q = 0; q < rows; ++q) {
    ints const c = load<ints>(at[q]), lane = c & ints(15), slot = c >> 4;
    ints const where = lookup(place[q], slots, slot) + lane, inside = lane_id() < ints(count[q]);
    if (alone) store(rough, select(inside, gather(key[0], where), floats(lowest)));
    floats const y = r.score(gather(logit[q], where));
    floats exact = y;
    if constexpr (!is_none<decltype(r.bias)>) exact = r.bias(y, gather(bias, where));
    store(at[q], lookup(expert[q], slots, slot) + lane);
    store(score[q], y);
    store(number[q], select(inside, exact, floats(lowest)));
  }
  order_rows(alone ? rough : number[0], rows, order[0]);
  if (alone && !in_order(load<floats>(number[0]), load<ints>(order[0]))) order_rows(number[0], 1, order[0]);
  for (int q = 0; q < rows; ++q) {
    if ((doubt >> q & 1u) != 0) continue;
    ints const o = load<ints>(order[q]);
    store_first_as<Id>(&b.out.ids[token[q]][0], permute(load<ints>(at[q]), o), k);
    store(number[q], permute(load<floats>(score[q]), o));
  }
  for (int q = 0; q < rows; ++q) {
    if ((doubt >> q & 1u) != 0) continue;
    if (k == 8) {
      r.weigh(row_view<float>{number[q], 8});
      store_first_as<W>(&b.out.weights[token[q]][0], load<floats>(number[q]), 8);
    } else {
      r.weigh(row_view<float>{number[q], k});
      store_first_as<W>(&b.out.weights[token[q]][0], load<floats>(number[q]), k);
    }
  }
  return doubt;
}

// When rows go this way: while few of them are in doubt.
template <class Body>
struct rough_rows {
  int exact = 0;  // rows to be routed by exact keys before the next trial

  // Leaves tokens that were not served in front, the last one again and again behind them; how many.
  int route(Body const& b, offset_t* token, int rows, scratch s) {
    if (!b.out.scores.empty() || b.r.select.experts_per_token() > 16) return rows;
    if ((exact -= rows) > 0) return rows;
    unsigned const doubt = route_by_rough_keys(b, token, rows, s);
    int n = 0;
    for (unsigned rest = doubt; rest != 0; rest &= rest - 1) token[n++] = token[std::countr_zero(rest)];
    for (int q = n; q < rows_at_once && n != 0; ++q) token[q] = token[n - 1];
    exact = 2 * n > rows ? 64 : 0;
    return n;
  }
};

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
