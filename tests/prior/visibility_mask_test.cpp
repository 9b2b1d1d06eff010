// Decides whether a vocabulary id sees its experts and no other.
#include <moeroute/prior/visibility_mask.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S009 MaskMoE: a rare id lands on its one expert with weight 1 and no gradient; all ones is plain top-k") {
  std::vector<std::int64_t> const frequency{1000, 2, 500, 1};
  std::vector<std::uint8_t> table(4 * 8), ones(4 * 8, 1);
  REQUIRE(draw_visibility(frequency, 10, 5, {.seed = 3, .step = 7}, {table.data(), 4, 8}).ok());
  for (std::size_t v = 0; v < 4; ++v) {
    int sum = 0;
    for (std::size_t e = 0; e < 8; ++e) sum += table[8 * v + e];
    CHECK(sum == (v % 2 == 1 ? 1 : 5));
  }
  std::vector<index_t> const words{0, 1, 2, 3, 1, 99};
  auto const z = normal_numbers(6 * 8, 1);
  router r{.prior = visibility_mask{.visible = {table.data(), 4, 8}, .vocabulary_id = words}, .select = top_k{2}};
  auto const out = run(r, z, 8);
  auto const g = gradient(r, batch<double>{.logits = {z.data(), 6, 8}}, out.ids, normal_numbers(12, 2));
  for (offset_t t = 0; t < 5; ++t) {
    auto const v = static_cast<std::size_t>(words[static_cast<std::size_t>(t)]);
    for (std::size_t e = 0; e < 8; ++e)
      if (table[8 * v + e] == 0) CHECK(out.scores[static_cast<std::size_t>(8 * t) + e] == 0);
    if (v % 2 == 0) continue;
    CHECK(table[8 * v + static_cast<std::size_t>(out.id(t, 0))] == 1);
    CHECK(out.weight(t, 0) == 1);
    for (std::size_t e = 0; e < 8; ++e) CHECK(g[static_cast<std::size_t>(8 * t) + e] == 0);
  }
  check_gradient(r, z, 8);
  auto const plain = run(router{.select = top_k{2}}, z, 8);
  r.prior.visible.data = ones.data();
  CHECK(run(r, z, 8).ids == plain.ids);
  CHECK(run(r, z, 8).weights == plain.weights);
  auto const f = narrow(z);
  r.prior.visible.data = table.data();
  check_same_on_every_group(r, batch<float>{.logits = {f.data(), 6, 8}});
  CHECK(!validate(r, 9).ok());
}
