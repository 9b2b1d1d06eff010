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
#include <moeroute/cpu/simd/listed_keys.hpp>
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
  constexpr int N = register_bytes == 16 ? 16 : 32;  // four registers tell the compiler enough
  using V = vec<float, N>;
  for (index_t i = 0; i < size; i += N) {
    V const x = load<V>(logit + i);
    V y = b.r.score.approx(x);
    if constexpr (!is_none<decltype(b.r.bias)>) y = b.r.bias(y, load<V>(bias + i));
    store(key + i, select(V(lowest) < x, closed_if_nan(y), V(lowest)));
  }
  for (index_t i = 0; i < key_block; i += 16) store(key + size + i, floats(lowest));
}

// The lanes of groups whose scores are surely among the largest, two a group; none where another might be, or where keys are
// too large for the margin. A group is open if no more than `top_groups`, with itself, may reach its score.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE unsigned surely_open(two_best const& part, int groups, int top_groups, bool sum, float margin) {
  alignas(64) float lane[16];
  two_best const of = best_of_groups(part);
  floats const score = group_scores(of, sum), least = score - floats(margin), low = sum ? of.second : of.first;
  store(lane, score);
  ints reach(0);
#pragma GCC unroll unrolled
  for (int j = 0; j < groups; ++j) reach = detail::one_more_where(least <= floats(lane[j]), reach);
  unsigned const all = ((1u << groups) - 1) * 0x101u, open = bits_at_most(reach, ints(top_groups)) & all;
  ints const moderate = (of.first <= floats(largest_key)) & ((floats(-largest_key) <= low) | (score == floats(lowest)));
  return std::popcount(open) == 2 * top_groups && (lane_bits(moderate) & all) == all ? open : 0;
}

// The two best of each part of at most 4 open groups; their lanes are set bits.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE floats best_of_open(two_best const& part, unsigned open) {
#if defined(__AVX512F__)
  auto const best = [&](floats x) MOEROUTE_SIMD_LAMBDA { return low(together(x, open, floats(lowest))); };
#else
  auto const best = [&](floats x) MOEROUTE_SIMD_LAMBDA {
    auto const four = [&](floats y)
                          MOEROUTE_SIMD_LAMBDA { return low(low(together(y, open & 0xffu, floats(lowest)))); };
    return join(four(x), four(swap<8>(x)));
  };
#endif
  return join(best(part.first), best(part.second));
}

// Tokens token[0] ... token[rows - 1], valid, with the same bias. Bit q of the result is set where
// row q was not served.
template <class Body>
[[gnu::noinline]] MOEROUTE_SIMD_FLATTEN unsigned route_by_rough_keys(Body const& b, offset_t const* token, int rows,
                                                                     scratch s) {
  using Select = std::remove_cvref_t<decltype(b.r.select)>;
  using Id = std::remove_cvref_t<decltype(b.out.ids[0][0])>;
  using W = std::remove_cvref_t<decltype(b.out.weights[0][0])>;
  auto const& r = b.r;
  if (rows_at_once == 1) rows = 1;
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
  alignas(64) float number[rows_at_once][16] = {}, score[rows_at_once][16], maxima[rows_at_once][16];
  alignas(64) std::int32_t at[rows_at_once][16], order[rows_at_once][16];
  std::int32_t* place[rows_at_once];
  int count[rows_at_once], slots = 0;
  group_of_register const group(l);
  bool parts = false;  // tell a bound: enough of them, and no more than 16
  for (int q = 0; q < rows; ++q) {
    unsigned open = 1;
    if constexpr (limits_groups<Select>) {
      index_t const top = r.select.top_groups;
      two_best const part = best_of_parts(key[q], l.groups, 16 * l.vectors);
      open = surely_open(part, l.groups, top, r.select.group_score.count(k, top) > 1, 2 * margin);
      if (open == 0) doubt |= 1u << q, open = ((1u << top) - 1) * 0x101u;
      parts = top <= 4 && 2 * top >= k;
      if (parts) store(maxima[q], best_of_open(part, open));
    }
    place[q] = s.template take<std::int32_t>(l.size / 16);
    slots = list_slots(l, open & 0xffu, group, place[q]);
  }
  for (int q = 0; q < rows; ++q)
    store(number[q], parts ? kth_largest(maxima[q], 16, k) : bound_of_listed({key[q], place[q]}, slots, k));
  for (int q = 0; q < rows; ++q) {
    ints some;
    listed_registers const row{key[q], place[q]};
    auto const reached = [&]() MOEROUTE_SIMD_LAMBDA {
      return detail::places_reaching(row, 16 * slots, load<floats>(number[q]) - floats(margin), some);
    };
    count[q] = reached();
    if (count[q] > 16 && parts) {  // one group holds most of the best, as in sorted rows
      store(number[q], bound_of_listed(row, slots, k));
      count[q] = reached();
    }
    if (count[q] > 16 || !(number[q][0] <= largest_key && -largest_key <= number[q][0])) doubt |= 1u << q;
    store(at[q], some);
  }
  // A row alone tries the order of its rough keys, found beside the exact ones; AVX2 gains nothing by it.
  bool const alone = rows == 1 && register_bytes == 64;
  for (int q = 0; q < rows; ++q) {
    ints const c = load<ints>(at[q]);
    ints const inside = lane_id() < ints(count[q]);
    constexpr bool biased = !is_none<decltype(r.bias)>;
    floats x[2 + biased];
    for (floats& some : x) some = floats(0.f);
    float const* from[2 + biased] = {logit[q], key[q]};
    if constexpr (biased) from[2] = bias;
    fetch(from, l.size - 16, place[q], slots, c, x);
    if (alone) store(order[0], guessed_order(select(inside, x[1], floats(lowest))));
    floats const y = r.score(x[0]);
    floats exact = y;
    if constexpr (biased) exact = r.bias(y, x[2]);
    ints expert = lookup(place[q], slots, c >> 4) + (c & ints(15));
    if (!l.in_order()) expert = expert - group(expert >> 4) * ints(16 * l.vectors - l.width);
    store(at[q], expert);
    store(score[q], y);
    store(number[q], select(inside, exact, floats(lowest)));
  }
  if (!(alone && in_order(load<floats>(number[0]), load<ints>(order[0])))) order_rows(number[0], rows, order[0]);
  for (int q = 0; q < rows; ++q) {
    if ((doubt >> q & 1u) != 0) continue;
    ints const o = load<ints>(order[q]);
    store_first_as<Id>(&b.out.ids[token[q]][0], permute(load<ints>(at[q]), o), k);
    store(number[q], permute(load<floats>(score[q]), o));
  }
  for (int q = 0; q < rows; ++q) {
    if ((doubt >> q & 1u) != 0) continue;
    if (register_bytes > 16 && k == 8) {  // the usual number, known
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
  int exact = 0;     // rows to be routed by exact keys before the next trial
  int doubtful = 0;  // so many more rows than others lately

  // Leaves tokens that were not served in front, the last one again and again behind them; how many.
  int route(Body const& b, offset_t* token, int rows, scratch s) {
    if (!b.out.scores.empty() || b.r.select.experts_per_token() > 16) return rows;
    if constexpr (limits_groups<decltype(b.r.select)>)
      if (b.r.select.groups > most_parted) return rows;
    if ((exact -= rows) > 0) return rows;
    unsigned const doubt = route_by_rough_keys(b, token, rows, s);
    int n = 0;
    for (unsigned rest = doubt; rest != 0; rest &= rest - 1) token[n++] = token[std::countr_zero(rest)];
    for (int q = n; q < rows_at_once && n != 0; ++q) token[q] = token[n - 1];
    doubtful += 2 * n - rows;
    if (doubtful < 0) doubtful = 0;
    exact = doubtful < 4 ? 0 : 64;
    if (exact != 0) doubtful = 0;
    return n;
  }
};

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
