// Decides whether tokens are grouped by segment, in index or hashed order, padding left out.
#include <moeroute/select/token_order.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("P16 token order: segments are contiguous and stable; padding and unknown segments are left out") {
  std::vector<double> const z(8 * 2);
  std::vector<index_t> const group{1, 0, 1, 5, 0, -1, 1, 0};
  std::vector<std::uint8_t> const valid{1, 1, 1, 1, 1, 1, 0, 1};
  batch<double> const in{.logits = {z.data(), 8, 2}, .group = group, .valid = valid};
  auto const check = [&](auto const& x, tie_rule ties) {
    std::vector<offset_t> start(3), at(8, -9), place(8);
    detail::order_tokens<double, float> const body{in, choice_scope::group, ties, 5, start, at, place};
    REQUIRE(x.run(1, body, {}).ok());
    CHECK(start == std::vector<offset_t>{0, 3, 5});
    for (offset_t t = 0; t < 8; ++t)
      if (auto const p = place[static_cast<std::size_t>(t)]; p >= 0) CHECK(at[static_cast<std::size_t>(p)] == t);
    for (std::size_t t : {3u, 5u, 6u}) CHECK(place[t] == -1);
    return at;
  };
  auto const plain = check(serial{}, tie_rule::index);
  CHECK(std::vector<offset_t>(plain.begin(), plain.begin() + 5) == std::vector<offset_t>{1, 4, 7, 0, 2});
  CHECK(check(lockstep{.lanes = 4}, tie_rule::index) == plain);
  CHECK(check(serial{}, tie_rule::hashed) == check(lockstep{.lanes = 3}, tie_rule::hashed));
}
