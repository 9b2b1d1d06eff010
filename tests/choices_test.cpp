// Decides whether one header brings every selector.
#include <moeroute/choices.hpp>

#include <doctest/doctest.h>

using namespace moeroute;

TEST_CASE("choices: every selector says its formula") {
  auto const says = [](auto const& policy) {
    text t;
    policy.describe(t);
    return !t.empty();
  };
  CHECK(says(above{}));
  CHECK(says(entropy_switch<>{}));
  CHECK(says(hash_choice{}));
  CHECK(says(null_experts<>{}));
  CHECK(says(ratio_threshold{}));
  CHECK(says(top_p{}));
  CHECK(says(top_tokens<>{}));
}
