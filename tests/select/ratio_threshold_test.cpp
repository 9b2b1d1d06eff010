// Decides whether weak second choices are dropped, and protected tokens are not.
#include <moeroute/select/ratio_threshold.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
auto mc_moe(float mu, row_view<token_care const> care = {}) {
  return router{.select = ratio_threshold{.mu = mu, .k = 2, .care = care}, .weigh = renormalize{.epsilon = 0}};
}
}  // namespace

TEST_CASE("S161 MC-MoE: mu = 0 keeps all, the ratio decides, weights sum to 1") {
  auto const z = normal_numbers(50 * 8, 41);
  auto const all = run(mc_moe(0), z, 8);
  auto const plain = run(router{.select = top_k{2}, .weigh = renormalize{.epsilon = 0}}, z, 8);
  CHECK(all.ids == plain.ids);
  auto const& same = all.weights;  // plain top-k leaves the common factor out: a few ulp
  for (std::size_t i = 0; i < same.size(); ++i) CHECK(same[i] == doctest::Approx(plain.weights[i]).epsilon(1e-6));
  auto const some = run(mc_moe(.5f), z, 8);
  index_t dropped = 0;
  for (offset_t t = 0; t < 50; ++t) {
    CHECK(some.count(t) == (plain.weight(t, 1) / plain.weight(t, 0) < .5 ? 1 : 2));
    CHECK(some.weight(t, 0) + some.weight(t, 1) == doctest::Approx(1).epsilon(1e-12));
    dropped += some.count(t) == 1;
  }
  CHECK((dropped > 0 && dropped < 50));
}

TEST_CASE("S161 MC-MoE: protected tokens are never pruned; both dropped gives zeros, no NaN") {
  std::vector<token_care> const care{token_care::keep_all, token_care::drop_all, token_care::ordinary,
                                     token_care::keep_all};
  auto const out = run(mc_moe(2, care), normal_numbers(4 * 8, 42), 8);
  CHECK(out.count(0) == 2);
  CHECK(out.count(1) == 0);
  CHECK(out.weight(1, 0) == 0);
  CHECK(out.weight(1, 1) == 0);
  CHECK(out.count(2) == 1);
  CHECK(out.count(3) == 2);
}

TEST_CASE("S161 MC-MoE: gradient, lane groups, refusals") {
  std::vector<token_care> const care{token_care::ordinary, token_care::keep_all, token_care::drop_all,
                                     token_care::ordinary, token_care::keep_all, token_care::ordinary};
  check_gradient(mc_moe(.5f, care), normal_numbers(6 * 8, 43), 8);
  auto const f = narrow(normal_numbers(33 * 40, 44));
  check_same_on_every_group(mc_moe(.7f), batch<float>{.logits = {f.data(), 33, 40}});
  CHECK(!validate(mc_moe(-1), 8).ok());
  CHECK(!validate(mc_moe(.5f), 1).ok());
}
