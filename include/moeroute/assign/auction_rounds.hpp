// Decides the rounds of an auction of tokens among experts: how bids are placed, who wins, and what the prices prove.
// Rows are experts for bids and one row settles them; float rows go 16 tokens at a time on the CPU, same bits.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/select/take_many.hpp>
#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/transpose.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

template <class V>
struct auction_arrays {
  offset_t tokens, stride, places;
  index_t experts;
  V epsilon;
  V* scores{};        // experts x stride, finite
  V* price{};         // tokens
  V* best{};          // tokens: highest bid of the round
  index_t* bidder{};  // tokens
  index_t* owner{};   // tokens
  V* bid{};           // experts x (places + 1)
  offset_t* wish{};   // experts x (places + 1)
  offset_t* held{};   // experts: tokens held
};

// value[t] = score - price of every token, `held` for those of the bidder.
template <class V, class G>
void value_tokens(G const& g, auction_arrays<V> const& a, offset_t e, index_t bidder, V held, V* value) {
  V const* const score = a.scores + e * a.stride;
  offset_t t = g.rank();
#if defined(MOEROUTE_SIMD)
  if constexpr (is_serial<G> && std::same_as<V, float>)
    for (simd::ints const me(bidder); t + 16 <= a.tokens; t += 16) {
      auto const left = simd::load<simd::floats>(score + t) - simd::load<simd::floats>(a.price + t);
      simd::store(value + t, simd::select(simd::load<simd::ints>(a.owner + t) == me, simd::floats(held), left));
    }
#endif
  for (; t < a.tokens; t += g.size()) value[t] = a.owner[t] == bidder ? held : score[t] - a.price[t];
  g.sync();
}

// The smallest and largest finite score; 0 and 0 where there is none.
template <class V>
struct score_range {
  V low, high;
};
template <class V, class T>
score_range<V> finite_range(matrix_view<T const> scores) {
  V low = infinity<V>, high = -infinity<V>;
  offset_t wide = 0;  // columns that were seen 16 at a time
#if defined(MOEROUTE_SIMD)
  if constexpr (std::same_as<T, float>) {
    using simd::floats;
    floats least(low), most(high);
    wide = scores.cols / 16 * 16;
    for (offset_t t = 0; t < scores.rows; ++t)
      for (offset_t e = 0; e < wide; e += 16) {
        auto const z = simd::load<floats>(scores[t].data + e);
        auto const finite = (floats(-infinity<float>) < z) & (z < floats(infinity<float>));
        least = simd::min(simd::select(finite, z, least), least);
        most = simd::max(simd::select(finite, z, most), most);
      }
    alignas(64) float ends[32];
    simd::store(ends, simd::segment_max<16>(-least));
    simd::store(ends + 16, simd::segment_max<16>(most));
    low = -ends[0], high = ends[16];
  }
#endif
  for (offset_t t = 0; t < scores.rows; ++t)
    for (offset_t e = wide; e < scores.cols; ++e)
      if (V const z = load(scores[t][e]); z > -infinity<V> && z < infinity<V>)
        low = z < low ? z : low, high = z > high ? z : high;
  return low <= high ? score_range<V>{low, high} : score_range<V>{0, 0};
}
// columns[e * stride + t] = score, or `instead` where it is not finite.
template <class V, class T>
void finite_columns(matrix_view<T const> scores, V instead, V* columns, offset_t stride) {
  offset_t t = 0;
#if defined(MOEROUTE_SIMD)
  if constexpr (std::same_as<T, float>)
    for (; t < scores.rows; t += 16) {
      float const* row[16];
      offset_t const rows = scores.rows - t < 16 ? scores.rows - t : 16;
      for (offset_t i = 0; i < rows; ++i) row[i] = scores[t + i].data;
      simd::rows_to_columns(row, static_cast<int>(rows), scores.cols, columns + t, stride, [&](simd::floats z) {
        auto const finite = (simd::floats(-infinity<float>) < z) & (z < simd::floats(infinity<float>));
        return simd::select(finite, z, simd::floats(instead));
      });
    }
#endif
  for (; t < scores.rows; ++t)
    for (offset_t e = 0; e < scores.cols; ++e) {
      V const z = load(scores[t][e]);
      columns[e * stride + t] = z > -infinity<V> && z < infinity<V> ? z : instead;
    }
}

// Rows: experts. One round of the released rule: T/E bids each, the value array keeps what was taken.
template <class V>
struct place_fast_bids {
  auction_arrays<V> a;
  V largest_score;
  bool first;
  offset_t scratch_bytes() const { return aligned_bytes<V>(a.tokens); }
  template <lane_group G>
  void operator()(G const& g, offset_t e, scratch s) const {
    auto const me = static_cast<index_t>(e);
    V* const value = s.template take<V>(a.tokens);
    value_tokens(g, a, e, me, largest_score, value);
    offset_t* const wish = a.wish + e * (a.places + 1);
    V* const bid = a.bid + e * (a.places + 1);
    offset_t const found = take_many(g, memory_row<V const>{value, static_cast<index_t>(a.tokens)},
                                     {wish, a.places + 1}, pick_order::position);
    if (g.rank() == 0) {
      offset_t worst = 0;  // the (T/E + 1)-th: not wished for, but what the bids are measured against
      V next = infinity<V>;
      for (offset_t j = 0; j < found; ++j) {  // without branches, as what follows: bids know no pattern
        V const x = value[wish[j]];
        bool const lower = x <= next;
        next = lower ? x : next;
        worst = lower ? j : worst;
      }
      worst = found > a.places ? worst : a.places;
      for (offset_t j = 0; j < a.places; ++j) {
        offset_t const t = wish[j + (j >= worst ? 1 : 0)];
        bool const held = !first & (a.owner[t] == me);
        wish[j] = t;
        bid[j] = (held ? V(0) : value[t] - next) + a.epsilon;
      }
    }
    g.sync();
  }
};

// One row: the round's highest bidders; prices rise. `left`: tokens without a bid.
template <class V>
struct settle_fast_bids {
  auction_arrays<V> a;
  offset_t* left;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t, scratch) const {
    if (g.rank() == 0) {
      index_t* const owner = a.owner;
      V* const best = a.best;
      offset_t t0 = 0, without = 0;
#if defined(MOEROUTE_SIMD)
      using simd::floats, simd::ints;
      if constexpr (std::same_as<V, float>)
        for (; t0 + 16 <= a.tokens; t0 += 16)
          simd::store(owner + t0, ints(no_expert)), simd::store(best + t0, floats(0.f));
#endif
      for (offset_t t = t0; t < a.tokens; ++t) owner[t] = no_expert, best[t] = 0;
      for (index_t e = 0; e < a.experts; ++e) {
        offset_t const* const wish = a.wish + e * (a.places + 1);
        V const* const bid = a.bid + e * (a.places + 1);
        for (offset_t j = 0; j < a.places; ++j) {  // without branches
          offset_t const t = wish[j];
          bool const higher = bid[j] > best[t];
          owner[t] = higher ? e : owner[t];
          best[t] = higher ? bid[j] : best[t];
        }
      }
      t0 = 0;
#if defined(MOEROUTE_SIMD)
      if constexpr (std::same_as<V, float>) {
        ints none(0);
        for (; t0 + 16 <= a.tokens; t0 += 16) none = none - (simd::load<ints>(owner + t0) == ints(no_expert));
        std::int32_t lane[16];
        simd::store(lane, none);
        for (std::int32_t const n : lane) without += n;
      }
#endif
      for (offset_t t = t0; t < a.tokens; ++t) without += owner[t] == no_expert;
      t0 = without > 0 ? 0 : a.tokens;
#if defined(MOEROUTE_SIMD)
      if constexpr (std::same_as<V, float>)
        for (; t0 + 16 <= a.tokens; t0 += 16)
          simd::store(a.price + t0, simd::load<floats>(a.price + t0) + simd::load<floats>(best + t0));
#endif
      for (offset_t t = t0; t < a.tokens; ++t) a.price[t] += best[t];
      *left = without;
    }
    g.sync();
  }
};

// Rows: experts. Into bid[0] the sum of the T/E largest score - price.
template <class V>
struct best_at_prices {
  auction_arrays<V> a;
  double* sums;  // experts
  offset_t scratch_bytes() const { return aligned_bytes<V>(a.tokens); }
  template <lane_group G>
  void operator()(G const& g, offset_t e, scratch s) const {
    V* const value = s.template take<V>(a.tokens);
    value_tokens(g, a, e, least<index_t>, V(0), value);
    offset_t* const wish = a.wish + e * (a.places + 1);
    take_many(g, memory_row<V const>{value, static_cast<index_t>(a.tokens)}, {wish, a.places}, pick_order::position);
    if (g.rank() == 0) {
      sums[e] = 0;
      for (offset_t j = 0; j < a.places; ++j)
        sums[e] += static_cast<double>(a.scores[e * a.stride + wish[j]]) - static_cast<double>(a.price[wish[j]]);
    }
    g.sync();
  }
};

// Rows: experts. Bids for as many tokens as there are free places.
template <class V>
struct place_bids {
  auction_arrays<V> a;
  offset_t scratch_bytes() const { return aligned_bytes<V>(a.tokens); }
  template <lane_group G>
  void operator()(G const& g, offset_t e, scratch s) const {
    offset_t const free_places = a.places - a.held[e];
    if (free_places == 0) return;
    V* const value = s.template take<V>(a.tokens);
    value_tokens(g, a, e, static_cast<index_t>(e), -infinity<V>, value);
    offset_t* const wish = a.wish + e * (a.places + 1);
    offset_t const found =
        take_many(g, memory_row<V const>{value, static_cast<index_t>(a.tokens)}, {wish, free_places + 1});
    V const next = found > free_places ? value[wish[free_places]] : value[wish[found - 1]];
    for (offset_t j = g.rank(); j < free_places; j += g.size())
      if (wish[j] >= 0) a.bid[e * (a.places + 1) + j] = a.price[wish[j]] + (value[wish[j]] - next) + a.epsilon;
    g.sync();
  }
};

// One row: the bids in the order of the experts; returns through `left` how many tokens have no owner.
template <class V>
struct settle_bids {
  auction_arrays<V> a;
  offset_t* left;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t, scratch) const {
    if (g.rank() == 0) {
      for (offset_t t = 0; t < a.tokens; ++t) a.bidder[t] = no_expert;
      for (index_t e = 0; e < a.experts; ++e)
        for (offset_t j = 0; j < a.places - a.held[e]; ++j) {
          offset_t const t = a.wish[e * (a.places + 1) + j];
          V const bid = a.bid[e * (a.places + 1) + j];
          if (t >= 0 && (a.bidder[t] == no_expert || bid > a.best[t])) a.bidder[t] = e, a.best[t] = bid;
        }
      *left = 0;
      for (offset_t t = 0; t < a.tokens; ++t) {
        if (a.bidder[t] != no_expert) {
          if (a.owner[t] != no_expert) --a.held[a.owner[t]];
          ++a.held[a.bidder[t]];
          a.owner[t] = a.bidder[t];
          a.price[t] = a.best[t];
        }
        *left += a.owner[t] == no_expert;
      }
    }
    g.sync();
  }
};

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
