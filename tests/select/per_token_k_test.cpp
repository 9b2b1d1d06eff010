// Decides whether every token gets the number of experts its importance earns.
#include <moeroute/select/per_token_k.hpp>

#include <algorithm>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S041 DA-MoE: k by token, monotone in importance, within a budget; max 1 is top-1") {
  std::vector<double> const importance{.1, .5, 1, .26, 0, .5};
  std::vector<index_t> k(6);
  REQUIRE(k_of_importance(importance, 8, 4, k).ok());
  CHECK(k == std::vector<index_t>{1, 4, 4, 3, 1, 4});
  REQUIRE(k_of_importance(importance, 8, 4, k, 13).ok());
  CHECK(k == std::vector<index_t>{1, 2, 2, 2, 1, 2});
  CHECK(!k_of_importance(importance, 8, 4, k, 5).ok());
  std::vector<double> const equal(6, .3);
  REQUIRE(k_of_importance(equal, 8, 3, k).ok());
  CHECK(k == std::vector<index_t>(6, 3));

  auto const z = normal_numbers(6 * 8, 1);
  std::vector<index_t> const wanted{1, 3, 0, 2, 9, -1};
  router const r{.select = per_token_k{.k = wanted, .max_experts = 3}};
  auto const out = run(r, z, 8), full = run(router{.select = top_k{3}}, z, 8);
  for (offset_t t = 0; t < 6; ++t) {
    index_t const n = std::min(3, std::max(0, wanted[static_cast<std::size_t>(t)]));
    CHECK(out.count(t) == n);
    for (offset_t j = 0; j < n; ++j) CHECK(out.id(t, j) == full.id(t, j));
  }
  CHECK(run(router{.select = per_token_k{.max_experts = 1}}, z, 8).ids == run(router{.select = top_k{1}}, z, 8).ids);
  check_gradient(r, z, 8);
  auto const f = narrow(z);
  check_same_on_every_group(r, batch<float>{.logits = {f.data(), 6, 8}});
  CHECK(!validate(r, 2).ok());
}

TEST_CASE("S041 DA-MoE: attention received is the column mean, corrected for the causal mask") {
  std::vector<float> const attention{1, 0, 0, .5f, .5f, 0, .2f, .3f, .5f};
  std::vector<double> importance(3);
  attention_received({attention.data(), 3, 3}, true, importance);
  CHECK(importance[0] == doctest::Approx(1.7 / 3));
  CHECK(importance[1] == doctest::Approx(.8 / 2));
  CHECK(importance[2] == doctest::Approx(.5));
  attention_received({attention.data(), 3, 3}, false, importance);
  CHECK(importance[2] == doctest::Approx(.5 / 3));
}
