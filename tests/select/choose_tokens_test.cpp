// Decides whether one expert's pick and its weights are those of its column; scopes, gradients and executors are in
// route_experts_test.cpp.
#include <moeroute/select/choose_tokens.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S014 choose tokens: the best of a column by place, unused places -1 and 0") {
  std::vector<float> z = {1, 5, 3, 2, 0, 9, 4, 8};  // 4 tokens x 2 experts
  router r{.score = identity{}, .select = top_tokens<>{.fixed_count = 2}};
  batch<> const in{.logits = {z.data(), 4, 2}};
  auto work = memory(detail::expert_choice_bytes<float>(4, 2, 1) + 4096);
  workspace w(work);
  auto const s = detail::expert_choice_arrays(r, in, 1, w);
  detail::order_tokens<float, float>{in, choice_scope::batch, tie_rule::index, 0, s.start, s.token_at, s.place_of}(
      serial_group{}, 0, {});
  detail::score_columns<decltype(r), float, float> const columns{s};
  columns(serial_group{}, 0, aligned_scratch(w));
  std::vector<offset_t> tokens(6, 77);
  std::vector<float> weights(6, 77.f);
  detail::choose_tokens<decltype(r), float, float, float> const body{s,
                                                                     {{tokens.data(), 2, 3}, {weights.data(), 2, 3}}};
  for (offset_t e = 0; e < 2; ++e) body(serial_group{}, e, aligned_scratch(w));
  CHECK(tokens == std::vector<offset_t>{3, 1, -1, 2, 3, -1});
  CHECK(weights == std::vector<float>{4, 3, 0, 9, 8, 0});
}
