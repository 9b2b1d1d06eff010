// Decides whether null experts take places and never weight.
#include <moeroute/select/null_experts.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
auto adamoe(index_t nulls, index_t k, null_place place = null_place::id) {
  return router{.select = null_experts<>{.nulls = nulls, .base = {k}, .place = place},
                .weigh = renormalize{.epsilon = 0}};
}
}  // namespace

TEST_CASE("S065 S162 AdaMoE: true experts share weight 1, null experts none, and an all-null token is exactly 0") {
  offset_t const tokens = 60, columns = 16, true_experts = 8;
  auto z = normal_numbers(60 * 16, 51);
  for (std::size_t e = 8; e < 16; ++e) z[e] += 20;  // token 0 wants nothing
  auto const out = run(adamoe(8, 3), z, columns);
  auto const plain = run(router{.select = top_k{3}}, z, columns);
  CHECK(out.ids == plain.ids);
  index_t least_true = 3, most_true = 0;
  for (offset_t t = 0; t < tokens; ++t) {
    double sum = 0, mass = 0;
    index_t count = 0;
    for (offset_t j = 0; j < 3; ++j)
      if (out.id(t, j) < true_experts) ++count, mass += plain.weight(t, j);
    for (offset_t j = 0; j < 3; ++j) {
      double const want = out.id(t, j) < true_experts ? plain.weight(t, j) / mass : 0;
      CHECK(out.weight(t, j) == doctest::Approx(want).epsilon(1e-12));
      sum += out.weight(t, j);
    }
    if (count == 0) CHECK(sum == 0);
    else CHECK(sum == doctest::Approx(1).epsilon(1e-12));
    least_true = count < least_true ? count : least_true;
    most_true = count > most_true ? count : most_true;
  }
  CHECK(out.weight(0, 0) == 0);
  CHECK(least_true == 0);
  CHECK(most_true == 3);
}

TEST_CASE("S065 AdaMoE: without null experts it is top-k renormalized; empty places hide the null ids") {
  auto const z = normal_numbers(20 * 8, 52);
  auto const plain = run(router{.select = top_k{3}, .weigh = renormalize{.epsilon = 0}}, z, 8);
  CHECK(run(adamoe(0, 3), z, 8).ids == plain.ids);
  auto const& same = run(adamoe(0, 3), z, 8).weights;  // plain top-k leaves the common factor out: a few ulp
  for (std::size_t i = 0; i < same.size(); ++i) CHECK(same[i] == doctest::Approx(plain.weights[i]).epsilon(1e-6));
  auto const kept = run(adamoe(4, 3), z, 8), hidden = run(adamoe(4, 3, null_place::empty), z, 8);
  CHECK(kept.weights == hidden.weights);
  for (std::size_t i = 0; i < kept.ids.size(); ++i) CHECK(hidden.ids[i] == (kept.ids[i] < 4 ? kept.ids[i] : no_expert));
}

TEST_CASE("S065 AdaMoE: gradient reaches the true experts through all columns; lane groups; refusals") {
  check_gradient(adamoe(8, 4), normal_numbers(6 * 16, 53), 16);
  auto const f = narrow(normal_numbers(33 * 40, 54));
  check_same_on_every_group(adamoe(20, 6), batch<float>{.logits = {f.data(), 33, 40}});
  CHECK(validate(adamoe(8, 2), 8).argument == std::string("select.nulls"));
  CHECK(!validate(adamoe(-1, 2), 8).ok());
}
