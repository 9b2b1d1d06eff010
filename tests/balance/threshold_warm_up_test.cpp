// Decides whether the warm-up of Expert Threshold does what it is for: exact loads first, thresholds that hold after.
#include <moeroute/balance/threshold_warm_up.hpp>

#include <moeroute/presets_extended.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
std::vector<float> skewed(std::size_t tokens, unsigned seed) {  // 8 experts, some liked far more
  auto z = narrow(normal_numbers(tokens * 8, seed));
  for (std::size_t i = 0; i < z.size(); ++i) z[i] += static_cast<float>(i % 8) * .5f - 2;
  return z;
}
std::vector<float> sigmoids(std::vector<float> z) {
  for (float& v : z) v = math::sigmoid(v);
  return z;
}
std::vector<offset_t> loads(std::vector<float> const& z, std::vector<float> const& threshold) {
  auto cuts = threshold;
  for (float& v : cuts) v = -v;
  auto const out = run(presets::expert_threshold(row_view<float const>(cuts), 8), z, 8);
  std::vector<offset_t> n(8);
  for (auto const e : out.ids)
    if (e >= 0) ++n[static_cast<std::size_t>(e)];
  return n;
}
}  // namespace

TEST_CASE("preset P36 warm-up: experts choose first, thresholds forget their start, loads hold after the switch") {
  threshold_warm_up const warm{.steps = 20};
  threshold_update const rule{.beta = .95};
  CHECK(warm.chooser(0) == choice_by::experts);
  CHECK(warm.chooser(19) == choice_by::experts);
  CHECK(warm.chooser(20) == choice_by::thresholds);
  CHECK(threshold_warm_up{}.steps == 4000);
  CHECK(warm.at(rule, 0).beta == 0);
  CHECK(warm.at(rule, 3).beta == .75);
  CHECK(warm.at(rule, 19).beta == rule.beta);
  CHECK(warm.at(rule, 500).beta == rule.beta);

  std::size_t const tokens = 512;
  std::vector<float> warmed(8, 123.f), cold(8, 0.f);  // the start does not matter to the one, and is all of the other
  for (std::int64_t step = 0; step < 20; ++step) {
    auto const z = skewed(tokens, static_cast<unsigned>(step)), s = sigmoids(z);
    matrix_view<float const> const scores{s.data(), static_cast<offset_t>(tokens), 8};
    REQUIRE(try_update_threshold(serial{}, rule, warm, step, scores, row_view<float>(warmed)).ok());
    REQUIRE(try_update_threshold(serial{}, rule, scores, row_view<float>(cold)).ok());
    REQUIRE(warm.chooser(step) == choice_by::experts);  // exact loads all through the warm-up
    auto const r = presets::expert_choice<>(1.f);
    std::vector<offset_t> taken(8 * 64, -1);
    std::vector<float> weights(8 * 64);
    auto work = memory(route_experts_workspace_bytes(serial{}, r, static_cast<offset_t>(tokens), 8, 1, 64));
    route_experts(serial{}, r, batch<>{.logits = {z.data(), static_cast<offset_t>(tokens), 8}},
                  expert_routing_view<float>{{taken.data(), 8, 64}, {weights.data(), 8, 64}}, workspace(work));
    for (auto const t : taken) CHECK(t >= 0);
  }
  auto const later = skewed(tokens, 1000);
  for (auto const n : loads(later, warmed)) {
    CHECK(n > 64 / 2);  // the train-time bounds (1 +- 0.5) T / E
    CHECK(n < 64 * 3 / 2);
  }
  offset_t worst = 0;
  for (auto const n : loads(later, cold)) worst = n > worst ? n : worst;
  CHECK(worst > 64 * 3 / 2);  // a cold start is far out after the same steps
}

TEST_CASE("preset P36 cold start: no warm-up at step 0 is refused by name") {
  std::vector<float> const s(16, .5f);
  std::vector<float> threshold(8);
  matrix_view<float const> const scores{s.data(), 2, 8};
  CHECK(try_update_threshold(serial{}, threshold_update{}, threshold_warm_up{.steps = 0}, 0, scores,
                             row_view<float>(threshold))
            .argument == std::string("threshold_warm_up.steps (a cold start)"));
  CHECK(try_update_threshold(serial{}, threshold_update{}, threshold_warm_up{.steps = 0}, 7, scores,
                             row_view<float>(threshold))
            .ok());
}
