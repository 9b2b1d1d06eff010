// The first program of the README, run; and what the one include promises.
#include <doctest/doctest.h>

// README: begin
#include <moeroute/moeroute.hpp>
#include <moeroute/cpu/threads.hpp>
// README: end

#include "support/inputs.hpp"
#include "support/run.hpp"

namespace {
void my_expert(moeroute::index_t expert, moeroute::matrix_view<float> rows) {
  for (moeroute::offset_t i = 0; i < rows.rows; ++i)
    for (float& x : rows[i]) x += static_cast<float>(expert);
}
}  // namespace

TEST_CASE("README: the first program does what it says") {
  moeroute::offset_t const tokens = 50, width = 4;
  moeroute::index_t const experts = 64;
  auto const balance = inputs::normal(64, 3, 0.1f);
  auto const logit_numbers = inputs::normal(50 * 64, 1);
  auto const hidden_numbers = inputs::normal(50 * 4, 2);
  std::vector<float> grouped_numbers(50 * 8 * 4), output_numbers(50 * 4);
  moeroute::matrix_view<float const> const logits{logit_numbers.data(), tokens, experts};
  moeroute::matrix_view<float const> const hidden{hidden_numbers.data(), tokens, width};
  moeroute::matrix_view<float> const grouped{grouped_numbers.data(), tokens * 8, width};
  moeroute::matrix_view<float> const output{output_numbers.data(), tokens, width};

  // clang-format off: laid out as on the page
  // README: begin
  moeroute::router const router{                                            // DeepSeek-V3
      .score  = moeroute::sigmoid{},
      .bias   = moeroute::correction_bias{balance},                         // steers the choice, never the weight
      .select = moeroute::group_limited_top_k{.k = 8, .groups = 8, .top_groups = 4},
      .weigh  = moeroute::renormalize{.scale = 2.5f},
  };

  moeroute::routing routed(tokens, router);                                 // tokens x k: experts and weights
  moeroute::route(moeroute::threads{}, router, {.logits = logits}, routed);
  moeroute::dispatch_plan const plan = moeroute::make_plan(routed, experts);  // where every token goes

  moeroute::permute(moeroute::threads{}, plan, hidden, grouped);            // one run of rows per expert
  for (auto [expert, rows] : plan.runs()) my_expert(expert, grouped.middle_rows(rows.first, rows.count));
  moeroute::combine(moeroute::threads{}, plan, grouped, output);
  // README: end
  // clang-format on

  for (moeroute::offset_t t = 0; t < tokens; ++t) {
    float sum = 0, wanted = 0;
    for (std::size_t j = 0; j < 8; ++j) {
      std::size_t const c = static_cast<std::size_t>(t) * 8 + j;
      sum += routed.weights[c];
      wanted += routed.weights[c] * (hidden[t][0] + static_cast<float>(routed.ids[c]));
    }
    CHECK(sum == doctest::Approx(2.5));
    CHECK(output[t][0] == doctest::Approx(wanted));
  }
}

TEST_CASE_TEMPLATE("ids may be of any integer type", Id, std::int16_t, std::int64_t, std::uint8_t, std::uint32_t,
                   std::uint64_t) {
  auto const logits = inputs::normal(9 * 32, 4);
  auto const r = moeroute::presets::qwen3_moe(3);
  auto const wanted = run::route(moeroute::serial{}, r, logits, 32);
  std::vector<Id> ids(27);
  std::vector<float> weights(27);
  std::vector<std::byte> space(static_cast<std::size_t>(moeroute::route_workspace_bytes(moeroute::serial{}, r, 9, 32)));
  moeroute::route(moeroute::serial{}, r, {.logits = {logits.data(), 9, 32}},
                  moeroute::routing_view<Id, float>{{ids.data(), 9, 3}, {weights.data(), 9, 3}},
                  moeroute::workspace(space));
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK(static_cast<moeroute::index_t>(ids[i]) == wanted.ids[i]);
  CHECK(weights == wanted.weights);
}
