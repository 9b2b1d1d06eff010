// Decides whether the token's id alone picks the experts, with constant or learned weights.
#include <cmath>

#include <moeroute/select/hash.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S121 hash layers: the expert depends on the id alone, weight 1, no gradient") {
  std::vector<index_t> const table{3, 1, 0, 2, 1}, words{0, 4, 2, 0, 3};
  router const r{.select = hash_choice{.table = {table.data(), 5, 1}, .vocabulary_id = words},
                 .weigh = constant_weight{}};
  auto const z = normal_numbers(5 * 4, 61);
  auto const a = run(r, z, 4), b = run(r, normal_numbers(5 * 4, 62), 4);
  CHECK(a.ids == std::vector<index_t>{3, 1, 0, 3, 2});
  CHECK(a.ids == b.ids);
  for (double const w : a.weights) CHECK(w == 1);
  std::vector<double> const d(5, 1.);
  for (double const g : gradient(r, batch<double>{.logits = {z.data(), 5, 4}}, a.ids, d)) CHECK(g == 0);
}

TEST_CASE("preset P09 fixed ids with learned weights: ids ignore the logits, weights follow them") {
  std::vector<index_t> const table{3, 1, 0, 2, 1, 5}, words{0, 2, 1, 1, 0, 2};
  router const r{.score = sqrt_softplus{},
                 .select = hash_choice{.table = {table.data(), 3, 2}, .vocabulary_id = words},
                 .weigh = renormalize{.scale = 2.5f}};
  auto const z = normal_numbers(6 * 6, 63);
  auto const out = run(r, z, 6);
  for (offset_t t = 0; t < 6; ++t) {
    double s[2], sum = 0;
    for (offset_t j = 0; j < 2; ++j) {
      CHECK(out.id(t, j) == table[static_cast<std::size_t>(2 * words[static_cast<std::size_t>(t)] + j)]);
      sum += s[j] = std::sqrt(std::log1p(std::exp(z[static_cast<std::size_t>(6 * t + out.id(t, j))])));
    }
    for (offset_t j = 0; j < 2; ++j) CHECK(out.weight(t, j) == doctest::Approx(2.5 * s[j] / sum).epsilon(1e-9));
  }
  check_gradient(r, z, 6);
  std::vector<float> const tails{80, -80, 80, -80, 80, -80};
  for (float const w : run(r, tails, 6).weights) CHECK(std::isfinite(w));
}

TEST_CASE("S121 hash: an id outside the table chooses nobody; lane groups agree") {
  std::vector<index_t> const table{3, 9, -1}, words{7, -2, 1, 2, 0, -1};
  router const r{.select = hash_choice{.table = {table.data(), 3, 1}, .vocabulary_id = words},
                 .weigh = constant_weight{}};
  auto const z = narrow(normal_numbers(6 * 4, 64));
  CHECK(run(r, z, 4).ids == std::vector<index_t>{-1, -1, -1, -1, 3, -1});
  check_same_on_every_group(r, batch<float>{.logits = {z.data(), 6, 4}});
  CHECK(!validate(router{.select = hash_choice{}}, 8).ok());
}
