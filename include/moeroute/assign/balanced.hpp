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

#include <moeroute/assign/auction_rounds.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct auction {
  double epsilon = 0;         // 0: max((max score - min score) / 50, 1e-4), as in fairseq
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
  return aligned_bytes<V>(experts * stride) + 2 * aligned_bytes<V>(tokens) + 2 * aligned_bytes<index_t>(tokens) +
         aligned_bytes<V>(experts * places) + aligned_bytes<offset_t>(experts * places) +
         aligned_bytes<offset_t>(experts) + aligned_bytes<double>(experts) + workspace_alignment +
         x.workspace_bytes(aligned_bytes<V>(tokens));
}

// The expert of every token. Scores that are not finite count as the smallest finite one. CPU executors only.
template <executor X, element T>
status try_balanced_assignment(X const& x, auction how, matrix_view<T const> scores, row_view<index_t> out, workspace w,
                               assignment_report* report = nullptr) noexcept {
  using V = compute_t<T>;
  checks c;
  c.also(detail::check_balanced(scores, out));
  c.also(workspace_ok(w, balanced_workspace_bytes<X, T>(x, scores.rows, scores.cols)));
  if (!(how.epsilon >= 0))
    c.also({errc::bad_value, "auction.epsilon", "must be at least", static_cast<std::int64_t>(how.epsilon), 0});
  if (!c.result().ok()) return c.result();
  offset_t const tokens = scores.rows;
  auto const experts = static_cast<index_t>(scores.cols);
  scratch s = aligned_scratch(w);
  detail::auction_arrays<V> a{};
  a.tokens = tokens, a.stride = tokens + 16, a.places = tokens / experts, a.experts = experts;
  a.scores = s.take<V>(experts * a.stride);
  a.price = s.take<V>(tokens), a.best = s.take<V>(tokens);
  a.bidder = s.take<index_t>(tokens), a.owner = s.take<index_t>(tokens);
  a.bid = s.take<V>(experts * (a.places + 1)), a.wish = s.take<offset_t>(experts * (a.places + 1));
  a.held = s.take<offset_t>(experts);
  double* const sums = s.take<double>(experts);
  workspace const rest{s.at, w.bytes - static_cast<offset_t>(s.at - w.data)};

  auto const [low, high] = detail::finite_range<V>(scores);
  detail::finite_columns(scores, low, a.scores, a.stride);
  for (offset_t t = 0; t < tokens; ++t) a.price[t] = 0, a.owner[t] = no_expert;
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
    if (status const bad = x.run(experts, detail::place_fast_bids<V>{a, high, rounds == 0}, rest); !bad.ok())
      return bad;
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

}  // namespace moeroute::inline MOEROUTE_ABI
