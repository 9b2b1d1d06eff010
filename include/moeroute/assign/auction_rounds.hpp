// Decides the rounds of an auction of tokens among experts: how bids are placed, who wins, and what the prices prove.
// Rows are experts for bids and one row settles them.
#pragma once

#include <moeroute/assign/auction_values.hpp>
#include <moeroute/select/take_many.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

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
