// Decides whether the extended presets are the recipes of their models.
#include <cmath>

#include <moeroute/presets_extended.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("preset P09 DeepSeek-V4: hash ids ignore x and bias, later layers choose by bias and weigh without") {
  std::vector<index_t> const table{1, 4, 2, 0}, words{1, 0, 1, 0};
  auto const z = narrow(normal_numbers(4 * 6, 1));
  auto const out = run(presets::deepseek_v4_hash({table.data(), 2, 2}, words), z, 6);
  CHECK(out.ids == std::vector<index_t>{2, 0, 1, 4, 2, 0, 1, 4});
  for (offset_t t = 0; t < 4; ++t) CHECK(out.weight(t, 0) + out.weight(t, 1) == doctest::Approx(1));
  std::vector<float> bias(6, 0.f);
  bias[3] = 100;
  auto const later = run(presets::deepseek_v4(bias, 2, 2), z, 6);
  for (offset_t t = 0; t < 4; ++t) {
    CHECK(later.id(t, 0) == 3);
    CHECK(later.weight(t, 0) + later.weight(t, 1) == doctest::Approx(2));
    CHECK(later.weight(t, 0) < 2);
  }
}

TEST_CASE("preset P17 P21 P25: Kimi K3, Hunyuan-Large, LongCat-Flash") {
  auto const z = narrow(normal_numbers(10 * 24, 2));
  std::vector<float> bias(24, 0.f);
  auto const k3 = run(presets::kimi_k3(bias), z, 24);
  CHECK(k3.k == 16);
  float sum = 0;
  for (offset_t j = 0; j < 16; ++j) sum += k3.weight(0, j);
  CHECK(sum == doctest::Approx(1));
  auto const large = run(presets::hunyuan_large(), z, 24);
  CHECK(large.k == 1);
  CHECK(large.weight(0, 0) == large.scores[static_cast<std::size_t>(large.id(0, 0))]);
  auto const longcat = run(presets::longcat_flash(bias), z, 24);
  for (offset_t j = 0; j < 12; ++j)
    CHECK(longcat.weight(0, j) == doctest::Approx(6 * longcat.scores[static_cast<std::size_t>(longcat.id(0, j))]));
}

TEST_CASE("preset P24 ERNIE-4.5-VL: nobody leaves the pool of its modality, one modality alone is the same") {
  std::vector<std::uint8_t> const pools{1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1};
  auto const bias = narrow(normal_numbers(16, 3));
  auto const z = narrow(normal_numbers(20 * 8, 4));
  std::vector<index_t> modality;
  for (index_t t = 0; t < 20; ++t) modality.push_back(t % 2);
  auto const r = presets::ernie45_vl({pools.data(), 2, 8}, {bias.data(), 2, 8}, 2);
  auto const out = run(serial{}, r, batch<float>{.logits = {z.data(), 20, 8}, .modality = modality});
  for (offset_t t = 0; t < 20; ++t)
    for (offset_t j = 0; j < 2; ++j) CHECK(out.id(t, j) / 4 == modality[static_cast<std::size_t>(t)]);
  std::vector<float> own;
  for (std::size_t t = 0; t < 20; t += 2)
    own.insert(own.end(), z.begin() + static_cast<std::ptrdiff_t>(8 * t),
               z.begin() + static_cast<std::ptrdiff_t>(8 * t + 4));
  std::vector<float> const own_bias(bias.begin(), bias.begin() + 4);
  auto const alone = run(presets::ernie45(own_bias, 2), own, 4);
  for (offset_t t = 0; t < 10; ++t)
    for (offset_t j = 0; j < 2; ++j) {
      CHECK(alone.id(t, j) == out.id(2 * t, j));
      CHECK(alone.weight(t, j) == out.weight(2 * t, j));
    }
}

TEST_CASE("preset P28 P33 P34: SparseMixer's jitter, V-MoE's noise of 1/E, LIMoE's top-1") {
  CHECK(presets::phi35_moe().jitter_eps == .01f);
  CHECK(presets::phi35_moe().k == 2);
  std::vector<float> const z(4000 * 8, 0.f);
  auto const noisy = run(presets::v_moe(2, 5), z, 8);
  CHECK(noisy.ids == run(presets::v_moe(2, 5), z, 8).ids);
  CHECK(noisy.ids != run(presets::v_moe(2, 6), z, 8).ids);
  double square = 0;  // log p = z + noise - logsumexp; its spread inside a row is the noise's
  for (std::size_t t = 0; t < 4000; ++t) {
    double mean = 0, sum = 0;
    for (std::size_t e = 0; e < 8; ++e) mean += std::log(static_cast<double>(noisy.scores[8 * t + e])) / 8;
    for (std::size_t e = 0; e < 8; ++e)
      sum += std::pow(std::log(static_cast<double>(noisy.scores[8 * t + e])) - mean, 2) / 7;
    square += sum / 4000;
  }
  CHECK(std::sqrt(square) == doctest::Approx(1. / 8).epsilon(.02));
  CHECK(presets::limoe().select.experts_per_token() == 1);
  CHECK(run(presets::v_moe_evaluation(2), z, 8).id(7, 1) == 1);
}

TEST_CASE("preset P35 P36 P37: dependence is declared, thresholds are causal, Sinkhorn and BASE weigh by the score") {
  static_assert(router_dependence<decltype(presets::expert_choice())> == cross_token_dependence::whole_batch);
  static_assert(router_dependence<decltype(presets::expert_choice<choice_scope::group>())> ==
                cross_token_dependence::within_group);
  static_assert(router_dependence<decltype(presets::expert_threshold({}, 2))> == cross_token_dependence::none);
  auto const z = narrow(normal_numbers(8 * 4, 6));
  std::vector<float> const cuts(4, -.5f);
  auto const t36 = run(presets::expert_threshold(cuts, 4), z, 4);
  for (offset_t t = 0; t < 8; ++t)
    for (index_t e = 0; e < 4; ++e) CHECK(t36.chose(t, e) == (z[static_cast<std::size_t>(4 * t + e)] > 0));
  std::vector<index_t> assignment(8);
  std::vector<std::byte> work(1 << 16);
  balanced_assignment(serial{}, auction{}, matrix_view<float const>{z.data(), 8, 4}, row_view<index_t>(assignment),
                      workspace(work));
  auto const base = run(presets::base_layer({assignment.data(), 8, 1}), z, 4);
  CHECK(base.ids == assignment);
  for (offset_t t = 0; t < 8; ++t)
    CHECK(base.weight(t, 0) ==
          doctest::Approx(1 / (1 + std::exp(-z[static_cast<std::size_t>(4 * t + base.id(t, 0))]))));
  auto const eval = run(presets::base_layer_evaluation(), z, 4), plain = run(router{.select = top_k{1}}, z, 4);
  CHECK(eval.ids == plain.ids);
  std::vector<float> plan(z.size());
  sinkhorn_plan(serial{}, sinkhorn{}, matrix_view<float const>{z.data(), 8, 4}, matrix_view<float>{plan.data(), 8, 4},
                workspace(work));
  CHECK(run(presets::sinkhorn_top_k({plan.data(), 8, 4}), z, 4).k == 2);
  CHECK(run(presets::sinkhorn_top1({plan.data(), 8, 4}), z, 4).k == 1);
}

TEST_CASE("preset S013 S061 S065 S096: the defaults of the papers") {
  CHECK(presets::dynamic_routing(8).select.p == .4f);
  CHECK(presets::dynmole(8).select.threshold == .9f);
  CHECK(presets::dynmole(8).select.entropy.q == 1.1f);
  CHECK(presets::adamoe(8, 3).select.nulls == 8);
  CHECK(presets::remoe(8).select.threshold == 0);
}
