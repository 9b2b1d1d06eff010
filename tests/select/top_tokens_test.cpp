// Decides whether the policy of expert choice counts, describes and refuses as it says.
#include <moeroute/router.hpp>
#include <moeroute/select/top_tokens.hpp>

#include <string>

#include <doctest/doctest.h>

using namespace moeroute;

TEST_CASE("S014 top_tokens: scope is a trait, the count is rounded, bad fields are refused by name") {
  static_assert(dependence_of<top_tokens<>> == cross_token_dependence::whole_batch);
  static_assert(dependence_of<top_tokens<choice_scope::sequence>> == cross_token_dependence::within_group);
  static_assert(!token_choice<top_tokens<>>);
  CHECK(top_tokens<>{.capacity_factor = .5f}.tokens_per_expert(10, 4) == 1);
  CHECK(top_tokens<>{.capacity_factor = .5f}.tokens_per_expert(12, 4) == 2);
  CHECK(top_tokens<>{.fixed_count = 9}.tokens_per_expert(5, 4) == 5);
  CHECK(top_tokens<>{.fixed_count = -1}.validate(4).argument == std::string("select.fixed_count"));
  CHECK(top_tokens<>{.within = 5}.validate(4).argument == std::string("select.within"));
  text t;
  top_tokens<choice_scope::sequence>{.fixed_count = 3}.describe(t);
  CHECK(t.c_str() == std::string("every expert takes its best 3 tokens of each sequence"));
}
