// Decides whether a given plan, and nothing else, ranks the experts.
#include <cmath>

#include <moeroute/select/ranked_by.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S088 ranked_by: the plan chooses, scores weigh, closed experts stay closed") {
  std::vector<float> const plan{.1f, .9f, .5f, .3f, .2f, .1f};
  std::vector<float> const z{3, 1, 2, -infinity<float>, 1, 2};
  router const r{.select = ranked_by<>{.plan = {plan.data(), 2, 3}, .base = {2}}};
  auto const out = run(r, z, 3);
  CHECK(out.ids == std::vector<index_t>{1, 2, 1, 2});
  CHECK(out.weight(0, 0) == doctest::Approx(std::exp(1.) / (std::exp(1.) + std::exp(2.) + std::exp(3.))));
  check_same_on_every_group(r, batch<float>{.logits = {z.data(), 2, 3}});
  CHECK(validate(r, 4).argument == std::string("select.plan columns"));
}
