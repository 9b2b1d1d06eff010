#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include <moeroute/moeroute.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

namespace {
std::vector<float> const logits256 = inputs::normal(256 * 40, 3, 2), bias256 = inputs::normal(256, 4, .1f);
row_view<float const> bias(index_t n) { return {bias256.data(), n}; }
template <class R>
auto routed(R const& r, index_t experts) {
  return run::route(serial{}, r, std::vector<float>(logits256.begin(), logits256.begin() + experts * 40), experts);
}
template <class O>
double sum_of(O const& out, std::size_t t) {
  double s = 0;
  for (std::size_t j = 0; j < static_cast<std::size_t>(out.k); ++j) s += static_cast<double>(out.weight(t, j));
  return s;
}
}  // namespace

TEST_CASE("preset P01 Mixtral: equals softmax over the two chosen logits within a few ulp") {
  auto const a = routed(presets::mixtral(), 8), b = routed(presets::gpt_oss(2), 8);
  CHECK(a.ids == b.ids);
  for (std::size_t i = 0; i < a.weights.size(); ++i) CHECK(a.weights[i] == doctest::Approx(b.weights[i]).epsilon(1e-6));
}

TEST_CASE("preset P02 DBRX: L1 sums to one, L2 has length one") {
  auto const l1 = routed(presets::dbrx(), 16), l2 = routed(presets::dbrx(4, 2), 16);
  for (std::size_t t = 0; t < 40; ++t) {
    CHECK(sum_of(l1, t) == doctest::Approx(1));
    double square = 0;
    for (std::size_t j = 0; j < 4; ++j) square += static_cast<double>(l2.weight(t, j) * l2.weight(t, j));
    CHECK(square == doctest::Approx(1));
  }
}

TEST_CASE("preset P03 Grok: the cap leaves the order alone, weights stay below one in sum") {
  auto const plain_form = routed(presets::grok1(), 8), capped = routed(presets::grok_served(2, 2), 8);
  CHECK(plain_form.ids == capped.ids);
  CHECK_FALSE(run::same_bits(plain_form.weights, capped.weights));
  for (std::size_t t = 0; t < 40; ++t) CHECK(sum_of(plain_form, t) < 1);
}

TEST_CASE("preset P04 P06 P10 P12 P29, Switch: probabilities are kept, their sum stays below one") {
  for (std::size_t t = 0; t < 40; ++t) {
    CHECK(sum_of(routed(presets::deepseek_moe_16b(), 64), t) < 1);
    CHECK(sum_of(routed(presets::switch_top1(), 64), t) < 1);
  }
  CHECK(routed(presets::deepseek_v2_lite(), 64).k == 6);
  CHECK(routed(presets::qwen2_moe(), 60).k == 4);
  CHECK(routed(presets::olmoe(), 64).k == 8);
  CHECK(routed(presets::step3(), 48).k == 3);
}

TEST_CASE("preset P05 DeepSeek-V2: at most three groups, the scale comes after") {
  auto const r = presets::deepseek_v2();
  auto const out = routed(r, 160);
  for (std::size_t t = 0; t < 40; ++t) {
    std::set<index_t> groups;
    for (std::size_t j = 0; j < 6; ++j) {
      groups.insert(out.id(t, j) / 20);
      CHECK(out.weight(t, j) == 16 * out.scores[160 * t + static_cast<std::size_t>(out.id(t, j))]);
    }
    CHECK(groups.size() <= 3);
  }
}

TEST_CASE("preset P07 P08 P26 DeepSeek-V3: the bias changes the choice only, at most four groups") {
  auto const with = routed(presets::deepseek_v3(bias(256)), 256);
  std::vector<float> const none(256);
  auto const without = routed(presets::deepseek_v3(row_view<float const>(none)), 256);
  CHECK(with.ids != without.ids);
  CHECK(run::same_bits(with.scores, without.scores));
  for (std::size_t t = 0; t < 40; ++t) {
    std::set<index_t> groups;
    double total = 1e-20;
    for (std::size_t j = 0; j < 8; ++j) {
      groups.insert(with.id(t, j) / 32);
      total += static_cast<double>(with.scores[256 * t + static_cast<std::size_t>(with.id(t, j))]);
    }
    CHECK(groups.size() <= 4);
    for (std::size_t j = 0; j < 8; ++j)
      CHECK(with.weight(t, j) ==
            doctest::Approx(2.5 * static_cast<double>(with.scores[256 * t + static_cast<std::size_t>(with.id(t, j))]) /
                            total)
                .epsilon(1e-5));
  }
  CHECK(routed(presets::deepseek_v32(bias(256)), 256).ids == with.ids);
  CHECK(routed(presets::ling2(bias(256)), 256).ids == with.ids);
}

TEST_CASE("preset P07: closed groups at 0 differ from -inf exactly where score + bias is negative") {
  std::vector<float> const low(32, -2.f);
  auto const zero = routed(presets::deepseek_v3(row_view<float const>(low), 4, 4, 2, 2.5f, closed_groups::zero), 32);
  auto const open = routed(presets::deepseek_v3(row_view<float const>(low), 4, 4, 2), 32);
  CHECK(zero.ids != open.ids);
  std::vector<float> const high(32, 2.f);
  CHECK(routed(presets::deepseek_v3(row_view<float const>(high), 4, 4, 2, 2.5f, closed_groups::zero), 32).ids ==
        routed(presets::deepseek_v3(row_view<float const>(high), 4, 4, 2), 32).ids);
}

TEST_CASE("preset P11 P19 P22: renormalized") {
  for (std::size_t t = 0; t < 40; ++t) {
    CHECK(sum_of(routed(presets::qwen3_moe(), 128), t) == doctest::Approx(1));
    CHECK(sum_of(routed(presets::minimax_text01(), 32), t) == doctest::Approx(1));
  }
  CHECK(routed(presets::qwen3_next(), 256).k == 10);
  CHECK(routed(presets::hunyuan_a13b(), 64).k == 8);
}

TEST_CASE("preset P13 Llama-4: sigmoid of the best logit, applied to the input") {
  auto const r = presets::llama4();
  static_assert(place_of<decltype(r.weigh)> == weight_place::input);
  auto const out = routed(r, 16);
  for (std::size_t t = 0; t < 40; ++t) {
    float const z = logits256[16 * t + static_cast<std::size_t>(out.id(t, 0))];
    CHECK(static_cast<double>(out.weight(t, 0)) == doctest::Approx(reference::sigmoid(static_cast<double>(z))));
  }
}

TEST_CASE("preset P14 P27 gpt-oss, JetMoE: equals the renormalized softmax") {
  auto const post = routed(presets::gpt_oss(), 32), pre = routed(presets::mixtral(4), 32);
  CHECK(post.ids == pre.ids);
  for (std::size_t i = 0; i < pre.weights.size(); ++i)
    CHECK(post.weights[i] == doctest::Approx(pre.weights[i]).epsilon(1e-6));
  CHECK(routed(presets::jetmoe(), 8).k == 2);
}

TEST_CASE("preset P15 P16 P18 P20 P22 P30: one group equals the general form with one group") {
  auto const general = routed(presets::deepseek_v3(bias(256), 8, 1, 1, 2.5f), 256);
  auto const plain_form = routed(presets::glm45(bias(256)), 256);
  CHECK(general.ids == plain_form.ids);
  CHECK(run::same_bits(general.weights, plain_form.weights));
  for (auto const& r : {presets::kimi_k2(bias(256)), presets::kimi_linear(bias(256), 8, 2.446f),
                        presets::minimax_m2(bias(256)), presets::hunyuan_v3(bias(256)), presets::step35(bias(256))}) {
    auto const out = routed(r, 256);
    CHECK(out.ids == general.ids);
    CHECK(sum_of(out, 0) == doctest::Approx(static_cast<double>(r.weigh.scale)));
  }
}

TEST_CASE("preset P23 ERNIE-4.5: softmax with a bias that steers only, and the clamp branch") {
  auto const out = routed(presets::ernie45(bias(64)), 64);
  for (std::size_t t = 0; t < 40; ++t) CHECK(sum_of(out, t) == doctest::Approx(1));
  std::vector<float> z(4, -200.f), push{0, 9, 9, 0};
  z[0] = 0;
  auto const tiny = run::route(serial{}, presets::ernie45(row_view<float const>(push), 2), z, 4);
  CHECK(tiny.ids == std::vector<index_t>{1, 2});
  CHECK(tiny.weights == std::vector<float>{0, 0});  // probabilities below float, divided by 1e-12
}

TEST_CASE("preset P31 P32 GShard: the pair is renormalized before any capacity") {
  auto const out = routed(presets::gshard(), 16);
  for (std::size_t t = 0; t < 40; ++t) CHECK(sum_of(out, t) == doctest::Approx(1));
  CHECK(routed(presets::st_moe(), 16).ids == out.ids);
}

TEST_CASE("preset: Megatron-LM's groups by k / top_groups equal DeepSeek-V3's where that is two") {
  auto const a = routed(
      presets::megatron_group_limited(sigmoid{}, correction_bias<float>{bias(64)}, renormalize{.scale = 2.5f}, 8, 8, 4),
      64);
  auto const b = routed(presets::deepseek_v3(bias(64)), 64);
  CHECK(a.ids == b.ids);
  CHECK(run::same_bits(a.weights, b.weights));
}
