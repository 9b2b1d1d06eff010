// Decides whether the budget is kept and the best that fit are taken.
#include <moeroute/select/budgeted_greedy.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S079 budgeted greedy: descending keys, skip what does not fit, never beyond the budget") {
  std::vector<float> const cost{3, 2, 1, 1, 2, 4};
  auto const z = normal_numbers(40 * 6, 1);
  router const r{.select = budgeted_greedy{.cost = cost, .budget = 5, .max_experts = 6}};
  auto const out = run(r, z, 6), all = run(router{.select = top_k{6}}, z, 6);
  for (offset_t t = 0; t < 40; ++t) {
    float left = 5;
    offset_t j = 0;
    for (offset_t i = 0; i < 6; ++i) {
      index_t const e = all.id(t, i);
      if (cost[static_cast<std::size_t>(e)] > left) continue;
      left -= cost[static_cast<std::size_t>(e)];
      CHECK(out.id(t, j++) == e);
    }
    CHECK(out.count(t) == j);
    CHECK(left >= 0);
  }
  check_gradient(r, std::vector<double>(z.begin(), z.begin() + 30), 6);
  auto const f = narrow(z);
  check_same_on_every_group(r, batch<float>{.logits = {f.data(), 40, 6}});
  CHECK(run(router{.select = budgeted_greedy{.cost = cost, .budget = 0, .max_experts = 6}}, z, 6).count(0) == 0);
  CHECK(validate(r, 5).argument == std::string("select.cost size"));
}
