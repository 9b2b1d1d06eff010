// Decides a balanced assignment: every expert gets exactly T/E tokens, and the total score is within T * epsilon
// of the best such assignment. Inference takes the plain argmax. Source: BASE layers (S019, P37).
//
// Auction in rounds, as released (fairseq): each expert takes its T/E best tokens of value = score - price, where
// tokens it holds count as the largest score, and bids (value - value of the next) + epsilon, or epsilon for what it
// holds; a token goes to its highest bidder (ties: lower expert) and its price rises by the bid; the end is when every
// token has a bid. Few rounds, but no guarantee: so the result is checked against the dual bound
//   best <= sum_t price_t + sum_e (sum of the T/E largest score - price)
// and where it is not within T * epsilon, or not there after `fast_rounds`, a second auction settles it: experts bid
// only for free places, and keep what they hold until overbid. Held tokens then stay within epsilon of all others.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/select/take_many.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct auction {
  double epsilon = 0;        // 0: max((max score - min score) / 50, 1e-4), as in fairseq
  offset_t fast_rounds = 64;  // of the released rule; 0: the second auction alone
  static constexpr cross_token_dependence dependence = cross_token_dependence::whole_batch;
};
struct assignment_report {
  double total_score = 0;
  double epsilon = 0;
  offset_t rounds = 0;
  double gap = 0;  // proven distance from the best total score, at most T epsilon
};

namespace detail {

template <class V>
struct auction_arrays {
  offset_t tokens, stride, places;
  index_t experts;
  V epsilon;
  V* scores{};       // experts x stride, finite
  V* value{};        // experts x stride: scratch of a bidder
  V* price{};        // tokens
  V* best{};         // tokens: highest bid of the round
  index_t* bidder{};  // tokens
  index_t* owner{};   // tokens
  V* bid{};          // experts x (places + 1)
  offset_t* wish{};  // experts x (places + 1)
  offset_t* held{};  // experts: tokens held
};

// Rows: experts. One round of the released rule: T/E bids each, the value array keeps what was taken.
template <class V>
struct place_fast_bids {
  auction_arrays<V> a;
  V largest_score;
  bool first;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t e, scratch) const {
    V const* const score = a.scores + e * a.stride;
    V* const value = a.value + e * a.stride;
    auto const me = static_cast<index_t>(e);
    for (offset_t t = g.rank(); t < a.tokens; t += g.size())
      value[t] = a.owner[t] == me ? largest_score : score[t] - a.price[t];
    g.sync();
    offset_t* const wish = a.wish + e * (a.places + 1);
    V* const bid = a.bid + e * (a.places + 1);
    offset_t const found = take_many(g, memory_row<V const>{value, static_cast<index_t>(a.tokens)}, {wish, a.places + 1},
                                     pick_order::position);
    if (g.rank() == 0) {
      offset_t worst = 0;  // the (T/E + 1)-th: not wished for, but what the bids are measured against
      for (offset_t j = 1; j < found; ++j)
        if (value[wish[j]] <= value[wish[worst]]) worst = j;
      V const next = value[wish[worst]];
      if (found > a.places) {
        for (offset_t j = worst; j < a.places; ++j) wish[j] = wish[j + 1];
      }
      for (offset_t j = 0; j < a.places; ++j)
        bid[j] = !first && a.owner[wish[j]] == me ? a.epsilon : (value[wish[j]] - next) + a.epsilon;
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
      for (offset_t t = 0; t < a.tokens; ++t) a.owner[t] = no_expert, a.best[t] = 0;
      for (index_t e = 0; e < a.experts; ++e)
        for (offset_t j = 0; j < a.places; ++j) {
          offset_t const t = a.wish[e * (a.places + 1) + j];
          if (V const bid = a.bid[e * (a.places + 1) + j]; bid > a.best[t]) a.owner[t] = e, a.best[t] = bid;
        }
      *left = 0;
      for (offset_t t = 0; t < a.tokens; ++t) *left += a.owner[t] == no_expert;
      for (offset_t t = 0; t < a.tokens && *left > 0; ++t) a.price[t] += a.best[t];
    }
    g.sync();
  }
};

// Rows: experts. Into bid[0] the sum of the T/E largest score - price.
template <class V>
struct best_at_prices {
  auction_arrays<V> a;
  double* sums;  // experts
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t e, scratch) const {
    V* const value = a.value + e * a.stride;
    for (offset_t t = g.rank(); t < a.tokens; t += g.size()) value[t] = a.scores[e * a.stride + t] - a.price[t];
    g.sync();
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
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t e, scratch) const {
    offset_t const free_places = a.places - a.held[e];
    if (free_places == 0) return;
    V const* const score = a.scores + e * a.stride;
    V* const value = a.value + e * a.stride;
    auto const me = static_cast<index_t>(e);
    for (offset_t t = g.rank(); t < a.tokens; t += g.size())
      value[t] = a.owner[t] == me ? -infinity<V> : score[t] - a.price[t];
    g.sync();
    offset_t* const wish = a.wish + e * (a.places + 1);
    offset_t const found = take_many(g, memory_row<V const>{value, static_cast<index_t>(a.tokens)}, {wish, free_places + 1});
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

template <class T>
status check_balanced(matrix_view<T const> scores, row_view<index_t> out) {
  checks c;
  c.at_least("scores columns (experts)", scores.cols, 1, errc::bad_shape).strided("scores", scores);
  c.must_be("out size", out.size, scores.rows);
  if (c.result().ok()) c.divides("experts of a balanced assignment", scores.cols, scores.rows);
  return c.result();
}

}  // namespace detail

template <executor X, class T = float>
offset_t balanced_workspace_bytes(X const& x, offset_t tokens, offset_t experts) {
  using V = compute_t<T>;
  offset_t const stride = tokens + 16, places = tokens / (experts > 0 ? experts : 1) + 1;
  return 2 * aligned_bytes<V>(experts * stride) + 2 * aligned_bytes<V>(tokens) + 2 * aligned_bytes<index_t>(tokens) +
         aligned_bytes<V>(experts * places) + aligned_bytes<offset_t>(experts * places) +
         aligned_bytes<offset_t>(experts) + aligned_bytes<double>(experts) + workspace_alignment + x.workspace_bytes(0);
}

// The expert of every token. Scores that are not finite count as the smallest finite one. CPU executors only.
template <executor X, element T>
status try_balanced_assignment(X const& x, auction how, matrix_view<T const> scores, row_view<index_t> out, workspace w,
                               assignment_report* report = nullptr) noexcept {
  using V = compute_t<T>;
  checks c;
  c.also(detail::check_balanced(scores, out));
  c.also(workspace_ok(w, balanced_workspace_bytes<X, T>(x, scores.rows, scores.cols)));
  if (!(how.epsilon >= 0)) c.also({errc::bad_value, "auction.epsilon", "must be at least", static_cast<std::int64_t>(how.epsilon), 0});
  if (!c.result().ok()) return c.result();
  offset_t const tokens = scores.rows;
  auto const experts = static_cast<index_t>(scores.cols);
  scratch s = aligned_scratch(w);
  detail::auction_arrays<V> a{};
  a.tokens = tokens, a.stride = tokens + 16, a.places = tokens / experts, a.experts = experts;
  a.scores = s.take<V>(experts * a.stride), a.value = s.take<V>(experts * a.stride);
  a.price = s.take<V>(tokens), a.best = s.take<V>(tokens);
  a.bidder = s.take<index_t>(tokens), a.owner = s.take<index_t>(tokens);
  a.bid = s.take<V>(experts * (a.places + 1)), a.wish = s.take<offset_t>(experts * (a.places + 1));
  a.held = s.take<offset_t>(experts);
  double* const sums = s.take<double>(experts);
  workspace const rest{s.at, w.bytes - static_cast<offset_t>(s.at - w.data)};

  V low = infinity<V>, high = -infinity<V>;
  auto const finite = [](V z) { return z > -infinity<V> && z < infinity<V>; };
  for (offset_t t = 0; t < tokens; ++t)
    for (offset_t e = 0; e < experts; ++e)
      if (V const z = load(scores[t][e]); finite(z)) low = z < low ? z : low, high = z > high ? z : high;
  if (!(low <= high)) low = high = 0;
  for (offset_t t = 0; t < tokens; ++t) {
    for (offset_t e = 0; e < experts; ++e) {
      V const z = load(scores[t][e]);
      a.scores[e * a.stride + t] = finite(z) ? z : low;
    }
    a.price[t] = 0;
    a.owner[t] = no_expert;
  }
  for (index_t e = 0; e < experts; ++e) a.held[e] = 0;
  // Below a few units in the last place of the largest score a bid might not raise a price.
  V const range = high - low, largest_size = -low > high ? -low : high;
  V const resolution = (range + largest_size) * std::numeric_limits<V>::epsilon() * V(16);
  V const automatic = range / V(50) > V(1e-4) ? range / V(50) : V(1e-4);
  V const asked = how.epsilon > 0 ? static_cast<V>(how.epsilon) : automatic;
  a.epsilon = asked > resolution ? asked : resolution;

  double total = 0, gap = 0;
  auto const measure = [&]() -> status {  // total score and its proven distance from the best
    if (status const bad = x.run(experts, detail::best_at_prices<V>{a, sums}, rest); !bad.ok()) return bad;
    double most = 0;
    total = 0;
    for (offset_t t = 0; t < tokens; ++t) {
      most += static_cast<double>(a.price[t]);
      total += static_cast<double>(a.scores[a.owner[t] * a.stride + t]);
    }
    for (index_t e = 0; e < experts; ++e) most += sums[e];
    gap = most - total > 0 ? most - total : 0;
    return {};
  };
  offset_t left = tokens, rounds = 0;
  for (; left > 0 && rounds < how.fast_rounds; ++rounds) {
    if (status const bad = x.run(experts, detail::place_fast_bids<V>{a, high, rounds == 0}, rest); !bad.ok()) return bad;
    if (status const bad = x.run(1, detail::settle_fast_bids<V>{a, &left}, rest); !bad.ok()) return bad;
  }
  bool good = left == 0;
  if (good) {
    for (index_t e = 0; e < experts; ++e) a.held[e] = 0;
    for (offset_t t = 0; t < tokens; ++t) ++a.held[a.owner[t]];
    for (index_t e = 0; e < experts; ++e) good = good && a.held[e] == a.places;
  }
  if (good) {
    if (status const bad = measure(); !bad.ok()) return bad;
    good = gap <= static_cast<double>(tokens) * static_cast<double>(a.epsilon);
  }
  if (!good) {
    for (offset_t t = 0; t < tokens; ++t) a.owner[t] = no_expert;
    for (index_t e = 0; e < experts; ++e) a.held[e] = 0;
    for (left = tokens; left > 0; ++rounds) {
      if (status const bad = x.run(experts, detail::place_bids<V>{a}, rest); !bad.ok()) return bad;
      if (status const bad = x.run(1, detail::settle_bids<V>{a, &left}, rest); !bad.ok()) return bad;
    }
    if (status const bad = measure(); !bad.ok()) return bad;
  }
  for (offset_t t = 0; t < tokens; ++t) out[t] = a.owner[t];
  if (report != nullptr) *report = {total, static_cast<double>(a.epsilon), rounds, gap};
  return {};
}
template <executor X, element T>
assignment_report balanced_assignment(X const& x, auction how, matrix_view<T const> scores, row_view<index_t> out,
                                      workspace w) {
  assignment_report report;
  throw_if_bad(try_balanced_assignment(x, how, scores, out, w, &report));
  return report;
}

// A cheap balanced assignment without a bound: tokens by descending best score, each to its best expert with room.
template <element T>
status try_greedy_assignment(matrix_view<T const> scores, row_view<index_t> out, workspace w) noexcept {
  checks c;
  c.also(detail::check_balanced(scores, out));
  c.also(workspace_ok(w, aligned_bytes<offset_t>(scores.rows) + aligned_bytes<offset_t>(scores.cols) + workspace_alignment));
  if (!c.result().ok()) return c.result();
  using V = compute_t<T>;
  scratch s = aligned_scratch(w);
  auto* const order = s.take<offset_t>(scores.rows);
  auto* const load_of = s.take<offset_t>(scores.cols);
  auto const best = [&](offset_t t, bool with_room) {
    ranked<key_t<V>> top;
    for (index_t e = 0; e < scores.cols; ++e) {
      ranked<key_t<V>> const one{order_key<V>(load(scores[t][e])), e};
      if ((!with_room || load_of[e] < scores.rows / scores.cols) && beats(one, top)) top = one;
    }
    return top;
  };
  for (offset_t t = 0; t < scores.rows; ++t) order[t] = t;
  for (offset_t e = 0; e < scores.cols; ++e) load_of[e] = 0;
  detail::sort_in_place(serial_group{}, order, scores.rows, [&](offset_t i, offset_t j) {
    auto const a = best(i, false).key, b = best(j, false).key;
    return a > b || (a == b && i < j);
  });
  for (offset_t i = 0; i < scores.rows; ++i) {
    out[order[i]] = best(order[i], true).id;
    ++load_of[out[order[i]]];
  }
  return {};
}

}  // namespace moeroute::inline MOEROUTE_ABI
