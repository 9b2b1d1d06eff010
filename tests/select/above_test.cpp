// Decides whether a threshold routes exactly what lies above it.
#include <cmath>

#include <moeroute/select/above.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
auto remoe(index_t experts) { return router{.score = relu{}, .select = above{.max_experts = experts}}; }
}  // namespace

TEST_CASE("S096 ReMoE: positive logits are chosen, zero logits are not, the weight is the logit") {
  std::vector<float> const z{1, 0, -1, 2, 0, 0, 0, 0, -0.f, 1e-30f, -1, -2};
  auto const out = run(remoe(4), z, 4);
  CHECK(out.ids == std::vector<index_t>{3, 0, -1, -1, -1, -1, -1, -1, 1, -1, -1, -1});
  for (offset_t t = 0; t < 3; ++t)
    for (index_t e = 0; e < 4; ++e) CHECK(out.dense(t, e) == std::fmax(z[static_cast<std::size_t>(4 * t + e)], 0.f));
}

TEST_CASE("S096 ReMoE: the weight is continuous where an expert comes and goes") {
  for (float const z : {1e-6f, 1e-3f}) CHECK(run(remoe(2), std::vector<float>{z, -1}, 2).weight(0, 0) == z);
  CHECK(run(remoe(2), std::vector<float>{-1e-6f, -1}, 2).weight(0, 0) == 0);
}

TEST_CASE("preset P36 expert threshold: a later token never changes an earlier route") {
  std::vector<float> const cut{.5f, .6f, .7f, .4f};
  std::vector<float> bias(4);
  for (std::size_t e = 0; e < 4; ++e) bias[e] = -cut[e];
  router const r{.score = sigmoid{}, .bias = correction_bias<float>{bias}, .select = above{.max_experts = 4}};
  auto z = narrow(normal_numbers(30 * 4, 8));
  auto const before = run(r, z, 4);
  for (std::size_t i = 20 * 4; i < z.size(); ++i) z[i] = -z[i] * 3;
  auto const after = run(r, z, 4);
  for (offset_t t = 0; t < 30; ++t)
    for (index_t e = 0; e < 4; ++e) {
      float const s = 1 / (1 + std::exp(-z[static_cast<std::size_t>(4 * t + e)]));
      CHECK(after.chose(t, e) == (s > cut[static_cast<std::size_t>(e)]));
      if (after.chose(t, e)) CHECK(after.dense(t, e) == doctest::Approx(s));
      if (t < 20) CHECK(before.dense(t, e) == after.dense(t, e));
    }
}

TEST_CASE("S096 ReMoE: gradient, lane groups, refusals") {
  check_gradient(remoe(8), normal_numbers(6 * 8, 31), 8);
  auto const f = narrow(normal_numbers(33 * 40, 32));
  check_same_on_every_group(remoe(40), batch<float>{.logits = {f.data(), 33, 40}});
  CHECK(validate(remoe(9), 8).argument == std::string("select.max_experts"));
}
