// Decides whether rounds place the bids and settle them as plain loops do, written from the rule.
#include <algorithm>

#include <moeroute/assign/auction_rounds.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {

// Tokens without an owner, prices of some rounds before.
struct market {
  std::size_t tokens, experts, places;
  std::vector<double> scores, price, best, bid;
  std::vector<index_t> bidder, owner;
  std::vector<offset_t> wish, held;
  std::vector<std::byte> space;

  market(std::size_t t, std::size_t e, unsigned seed)
      : tokens(t),
        experts(e),
        places(t / e),
        scores(normal_numbers(t * e, seed)),
        price(normal_numbers(t, seed + 1)),
        best(t),
        bid(e * (places + 1)),
        bidder(t),
        owner(t, no_expert),
        wish(e * (places + 1), -1),
        held(e),
        space(1 << 16) {}
  detail::auction_arrays<double> arrays() {
    detail::auction_arrays<double> a{};
    a.tokens = a.stride = static_cast<offset_t>(tokens), a.places = static_cast<offset_t>(places);
    a.experts = static_cast<index_t>(experts), a.epsilon = 1e-2;
    a.scores = scores.data(), a.price = price.data(), a.best = best.data(), a.bid = bid.data();
    a.bidder = bidder.data(), a.owner = owner.data(), a.wish = wish.data(), a.held = held.data();
    return a;
  }
  // Tokens by falling value for expert e, of equal ones the earlier first.
  template <class Value>
  std::vector<std::size_t> by(Value const& value) const {
    std::vector<std::size_t> t(tokens);
    for (std::size_t i = 0; i < tokens; ++i) t[i] = i;
    std::stable_sort(t.begin(), t.end(), [&](std::size_t a, std::size_t b) { return value(a) > value(b); });
    return t;
  }
};

}  // namespace

TEST_CASE("S019 auction rounds: bids go to the best values, above the first that is not bid for; the highest wins") {
  for (unsigned seed = 1; seed < 9; ++seed) {
    market m(24, 4, seed);
    for (std::size_t t = 0; t < 5; ++t) m.owner[t] = static_cast<index_t>(t % 4), ++m.held[t % 4];
    auto const a = m.arrays();
    auto const price = m.price;
    auto const owner = m.owner;
    REQUIRE(serial{}.run(4, detail::place_bids<double>{a}, workspace(m.space)).ok());
    std::vector<double> highest(24, -1e9);
    std::vector<index_t> winner(24, no_expert);
    for (std::size_t e = 0; e < 4; ++e) {
      auto const me = static_cast<index_t>(e);
      auto const value = [&](std::size_t t) { return owner[t] == me ? -1e9 : m.scores[24 * e + t] - price[t]; };
      auto const line = m.by(value);
      std::size_t const open = 6 - static_cast<std::size_t>(m.held[e]);
      for (std::size_t j = 0; j < open; ++j) {
        std::size_t const t = line[j];
        double const bid = price[t] + (value(t) - value(line[open])) + 1e-2;
        CHECK(m.wish[7 * e + j] == static_cast<offset_t>(t));
        CHECK(m.bid[7 * e + j] == doctest::Approx(bid).epsilon(1e-12));
        if (bid > highest[t]) highest[t] = bid, winner[t] = me;
      }
    }
    offset_t left = -1, without = 0;
    REQUIRE(serial{}.run(1, detail::settle_bids<double>{a, &left}, workspace(m.space)).ok());
    std::vector<offset_t> held(4);
    for (std::size_t t = 0; t < 24; ++t) {
      index_t const want = winner[t] == no_expert ? owner[t] : winner[t];
      CHECK(m.owner[t] == want);
      CHECK(m.price[t] == doctest::Approx(winner[t] == no_expert ? price[t] : highest[t]).epsilon(1e-12));
      without += want == no_expert;
      if (want != no_expert) ++held[static_cast<std::size_t>(want)];
    }
    CHECK(left == without);
    CHECK(m.held == held);
  }
}

TEST_CASE("S019 auction rounds: the released rule bids the difference to the next value, and prices rise by the bids") {
  for (unsigned seed = 1; seed < 9; ++seed) {
    market m(24, 4, seed);
    auto const a = m.arrays();
    auto const price = m.price;
    REQUIRE(serial{}.run(4, detail::place_fast_bids<double>{a, 9., true}, workspace(m.space)).ok());
    std::vector<double> highest(24, 0);
    std::vector<index_t> winner(24, no_expert);
    for (std::size_t e = 0; e < 4; ++e) {
      auto const value = [&](std::size_t t) { return m.scores[24 * e + t] - price[t]; };
      auto const line = m.by(value);
      for (std::size_t j = 0; j < 6; ++j) {
        double const bid = value(line[j]) - value(line[6]) + 1e-2;
        if (bid > highest[line[j]] + 1e-12) highest[line[j]] = bid, winner[line[j]] = static_cast<index_t>(e);
      }
    }
    offset_t left = -1;
    REQUIRE(serial{}.run(1, detail::settle_fast_bids<double>{a, &left}, workspace(m.space)).ok());
    CHECK(m.owner == winner);
    CHECK(left == std::count(winner.begin(), winner.end(), no_expert));
    for (std::size_t t = 0; t < 24; ++t)
      CHECK(m.price[t] == doctest::Approx(left > 0 ? price[t] + highest[t] : price[t]).epsilon(1e-12));
  }
}

TEST_CASE("S019 auction rounds: what an expert could have at the prices is the sum of its best values") {
  market m(24, 4, 3);
  std::vector<double> sums(4);
  REQUIRE(serial{}.run(4, detail::best_at_prices<double>{m.arrays(), sums.data()}, workspace(m.space)).ok());
  for (std::size_t e = 0; e < 4; ++e) {
    auto const value = [&](std::size_t t) { return m.scores[24 * e + t] - m.price[t]; };
    double want = 0;
    auto const line = m.by(value);
    for (std::size_t j = 0; j < 6; ++j) want += value(line[j]);
    CHECK(sums[e] == doctest::Approx(want).epsilon(1e-12));
  }
}
