// Decides how rows are routed by keys that are only nearly right: rough keys of all experts find the open groups and at
// most 16 candidates, the exact keys of these decide. A row in which the error could matter is left to the exact path,
// so ids and weights are the same bits.
//
//   |rough key - key| <= slack = error + 2^-23 (largest |bias| + 2)     both sums are rounded, |score| <= 1
//   k keys reach the bound B of the rough ones: the k-th best key is at least B - slack, and the k best have rough
//   keys of at least B - margin, margin > 2 slack; two keys are added in a group's score
#pragma once

#include <moeroute/cpu/simd/filter.hpp>
#include <moeroute/cpu/simd/groups.hpp>
#include <moeroute/cpu/simd/keys.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

#if defined(MOEROUTE_EXACT_KEYS)  // a switch, to compare
template <class>
inline constexpr bool has_rough_keys = false;
#else
template <class R>
inline constexpr bool has_rough_keys =
    rough_score<decltype(R::score)> && !ranks_logits<R> && takes_best<decltype(R::select)> &&
    !chooses_rows<decltype(R::select)> && (is_none<decltype(R::bias)> || adds_parameter<decltype(R::bias)>) &&
    requires(R const& r, floats x) {
      { r.score.approx(x) } -> std::same_as<floats>;
    };
#endif

inline constexpr float largest_bias = 1024;  // beyond it, or with a bias that is no number, keys are exact

// Keys whose rough forms lie further apart than this have their order. Infinite where rough keys do not serve.
template <class Score, class P>
MOEROUTE_SIMD_INLINE float margin_of(row_view<P const> bias) {
  ints most(0);  // magnitudes order as their bits do; NaN is above them
  for (index_t e = 0; e < bias.size; e += 16) {
    alignas(64) float lane[16] = {};
    floats p(0.f);
    if (std::same_as<P, float> && bias.size - e >= 16) {
      p = load<floats>(reinterpret_cast<float const*>(bias.data + e));
    } else {
      for (index_t i = e; i < bias.size && i < e + 16; ++i) lane[i - e] = static_cast<float>(bias[i]);
      p = load<floats>(lane);
    }
    most = max(bits_as<std::int32_t>(p) & ints(largest<std::int32_t>), most);
  }
  alignas(64) float lane[16];
  store(lane, bits_as<float>(segment_max<16>(most)));
  return lane[0] <= largest_bias ? 2 * Score::error + 0x1p-20f * (lane[0] + 2) : infinity<float>;
}

// Rough keys of a row in the layout, -inf where the expert is closed, then 64 times -inf.
template <class Body>
MOEROUTE_SIMD_INLINE void write_rough_keys(Body const& b, float const* logit, float const* bias, index_t size,
                                           float* key) {
  for (index_t i = 0; i < size; i += 16) {  // one after the other: they do not wait for each other
    floats const x = load<floats>(logit + i);
    floats y = b.r.score.approx(x);
    if constexpr (!is_none<decltype(b.r.bias)>) y = b.r.bias(y, load<floats>(bias + i));
    store(key + i, select(floats(lowest) < x, y, floats(lowest)));
  }
  for (index_t i = 0; i < key_block; i += 16) store(key + size + i, floats(lowest));
}

// The groups whose scores are among the largest, as bits; none where more of them are nearer than the margin.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE unsigned surely_open(float const* scores, int groups, int top_groups, float margin) {
  floats const last = kth_largest(scores, groups <= 8 ? 8 : 16, top_groups), score = load<floats>(scores);
  unsigned const all = (1u << groups) - 1;
  unsigned const near = lane_bits(last - floats(margin) <= score) & all;
  return std::popcount(near) == top_groups && (lane_bits(score < floats(infinity<float>)) & all) == all ? near : 0;
}

// Registers of the open groups: where their keys are and, if that is another list, their first experts; filled up with
// the -inf behind the keys to a multiple of 4.
MOEROUTE_SIMD_INLINE int list_slots(key_layout const& l, unsigned open, std::int32_t* place, std::int32_t* expert) {
  int n = 0;
  for (; open != 0; open &= open - 1) {
    int const g = std::countr_zero(open);
    for (int i = 0; i < l.vectors; ++i, ++n) {
      expert[n] = g * l.width + 16 * i;
      place[n] = 16 * (g * l.vectors + i);
    }
  }
  for (; n % 4 != 0; ++n) expert[n] = 0, place[n] = l.size;
  return n;
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
    for (int i = 0; i < 4; ++i) word |= std::uint64_t{lane_bits(bound <= load<floats>(key + place[b + i]))} << 16 * i;
    at = detail::append(at, n, word, 16 * b);
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

// Tokens token[0] ... token[rows - 1], valid, with the same bias and a finite margin. Bit q of the result is set where
// row q was not served.
template <class Body>
[[gnu::noinline]] MOEROUTE_SIMD_FLATTEN unsigned route_by_rough_keys(Body const& b, offset_t const* token, int rows,
                                                                     float margin, scratch s) {
  using Select = std::remove_cvref_t<decltype(b.r.select)>;
  using Id = std::remove_cvref_t<decltype(b.out.ids[0][0])>;
  using W = std::remove_cvref_t<decltype(b.out.weights[0][0])>;
  auto const& r = b.r;
  index_t const k = r.select.experts_per_token();
  key_layout const l = layout_of(r.select, static_cast<index_t>(b.in.logits.cols));
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
  if constexpr (limits_groups<Select>)
    for (int q = 0; q < rows; ++q)
      group_scores(key[q], l.groups, 16 * l.vectors, r.select.group_score.count(k, r.select.top_groups) > 1, number[q]);
  for (int q = 0; q < rows; ++q) {
    unsigned open = 1;
    if constexpr (limits_groups<Select>) {
      open = surely_open(number[q], l.groups, r.select.top_groups, 2 * margin);
      if (open == 0) doubt |= 1u << q, open = (1u << r.select.top_groups) - 1;
    }
    place[q] = expert[q] = s.template take<std::int32_t>(l.size / 16);
    if (!l.in_order()) expert[q] = s.template take<std::int32_t>(l.size / 16);
    slots = list_slots(l, open, place[q], expert[q]);
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
    if (c.count > 16 || number[q][0] == lowest) doubt |= 1u << q;
    store(at[q], c.at);
  }
  for (int q = 0; q < rows; ++q) {
    ints const c = load<ints>(at[q]), lane = c & ints(15), slot = c >> 4;
    ints const where = lookup(place[q], slots, slot) + lane;
    floats const y = r.score(gather(logit[q], where));
    floats exact = y;
    if constexpr (!is_none<decltype(r.bias)>) exact = r.bias(y, gather(bias, where));
    store(at[q], lookup(expert[q], slots, slot) + lane);
    store(score[q], y);
    store(number[q], select(lane_id() < ints(count[q]), exact, floats(lowest)));
  }
  order_rows(number[0], rows, order[0]);
  for (int q = 0; q < rows; ++q) {
    if ((doubt >> q & 1u) != 0) continue;
    ints const o = load<ints>(order[q]);
    store_first_as<Id>(&b.out.ids[token[q]][0], permute(load<ints>(at[q]), o), k);
    store(number[q], permute(load<floats>(score[q]), o));
  }
  for (int q = 0; q < rows; ++q) {
    if ((doubt >> q & 1u) != 0) continue;
    r.weigh(row_view<float>{number[q], k});
    auto const to = b.out.weights[token[q]];
    for (index_t j = 0; j < k; ++j) to[j] = static_cast<W>(number[q][j]);
  }
  return doubt;
}

// When rows go this way: several at once, while few of them are in doubt, and the bias is small.
template <class Body>
struct rough_rows {
  void const* bias = nullptr;  // `margin` is for this row
  float margin = 0;
  int exact = 0;  // rows to be routed by exact keys before the next trial

  // Leaves tokens that were not served in front, the last one again and again behind them; how many.
  int route(Body const& b, offset_t* token, int rows, scratch s) {
    if (rows == 1 || !b.out.scores.empty() || b.r.select.experts_per_token() > 16) return rows;
    if ((exact -= rows) > 0) return rows;
    auto const p = b.r.bias.parameters(b.in.context(token[0]));
    if (margin == 0 || bias != p.data) {
      bias = p.data;
      margin = margin_of<std::remove_cvref_t<decltype(b.r.score)>>(p);
    }
    if (margin == infinity<float>) return rows;
    unsigned const doubt = route_by_rough_keys(b, token, rows, margin, s);
    int n = 0;
    for (unsigned rest = doubt; rest != 0; rest &= rest - 1) token[n++] = token[std::countr_zero(rest)];
    for (int q = n; q < rows_at_once && n != 0; ++q) token[q] = token[n - 1];
    exact = 2 * n > rows ? 64 : 0;
    return n;
  }
};

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
