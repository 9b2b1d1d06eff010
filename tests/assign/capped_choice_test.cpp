// Decides whether the capped choice respects both sides and prefers what scores high.
#include <moeroute/assign/capped_choice.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE(
    "S014 capped expert choice: no token exceeds the cap, every expert is full, score near the "
    "uncapped") {
  for (unsigned seed = 0; seed < 20; ++seed) {
    auto z = normal_numbers(40 * 8, seed);
    for (std::size_t i = 0; i < 8 * 5; ++i) z[i] += 3;  // five tokens everybody wants
    std::vector<offset_t> tokens(80), count(40);
    std::vector<double> weights(80), work(20000);
    REQUIRE(
        try_capped_choice(capped_choice{.tokens_per_expert = 10, .cap = 3}, matrix_view<double const>{z.data(), 40, 8},
                          expert_routing_view<double>{{tokens.data(), 8, 10}, {weights.data(), 8, 10}}, workspace(work))
            .ok());
    offset_t filled = 0;
    double total = 0, cheap = 0;
    for (std::size_t i = 0; i < 80; ++i) {
      if (tokens[i] < 0) continue;
      ++filled, ++count[static_cast<std::size_t>(tokens[i])];
      CHECK(weights[i] == z[static_cast<std::size_t>(tokens[i]) * 8 + i / 10]);
      total += weights[i];
    }
    for (auto const n : count) CHECK(n <= 3);
    CHECK(filled >= 78);
    for (std::size_t i = 0; i < 80; ++i) cheap += z[(i * 3 % 40) * 8 + i / 10];  // some legal choice
    CHECK(total > cheap + 40);
  }
}

TEST_CASE(
    "S014 capped expert choice: a cap of all experts is plain expert choice; impossible caps are "
    "refused") {
  auto const z = normal_numbers(24 * 4, 3);
  std::vector<offset_t> tokens(24);
  std::vector<double> weights(24), work(20000);
  expert_routing_view<double> const out{{tokens.data(), 4, 6}, {weights.data(), 4, 6}};
  REQUIRE(try_capped_choice(capped_choice{.tokens_per_expert = 6, .cap = 4, .rounds = 0},
                            matrix_view<double const>{z.data(), 24, 4}, out, workspace(work))
              .ok());
  std::vector<offset_t> want(24);
  std::vector<double> w(24), bytes(4000);
  router const r{.score = identity{}, .select = top_tokens<>{.fixed_count = 6}};
  route_experts(serial{}, r, batch<double>{.logits = {z.data(), 24, 4}},
                expert_routing_view<double>{{want.data(), 4, 6}, {w.data(), 4, 6}}, workspace(bytes));
  CHECK(tokens == want);
  CHECK(weights == w);
  CHECK(!try_capped_choice(capped_choice{.tokens_per_expert = 6, .cap = 0}, matrix_view<double const>{z.data(), 24, 4},
                           out, workspace(work))
             .ok());
  CHECK(!try_capped_choice(capped_choice{.tokens_per_expert = 7, .cap = 1}, matrix_view<double const>{z.data(), 24, 4},
                           out, workspace(work))
             .ok());
}
