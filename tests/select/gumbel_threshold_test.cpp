// Decides whether the dense-to-sparse gate goes from all experts to one, and never to none.
#include <moeroute/select/gumbel_threshold.hpp>

#include <algorithm>
#include <cmath>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S164 EvoMoE: large tau keeps all, small tau the noisy best, nobody is ever left without") {
  auto const z = normal_numbers(200 * 8, 1);
  gumbel_threshold gate{.tau = 1000, .max_experts = 8};
  auto const all = run(router{.select = gate}, z, 8);
  for (offset_t t = 0; t < 200; ++t) CHECK(all.count(t) == 8);
  gate.tau = 1e-3f;
  auto const one = run(router{.select = gate}, z, 8);
  gate.hard = true;
  auto const hard = run(router{.select = gate}, z, 8);
  for (offset_t t = 0; t < 200; ++t) {
    CHECK((one.count(t) >= 1 && one.count(t) <= 2));
    CHECK(one.id(t, 0) == hard.id(t, 0));
    CHECK(hard.count(t) == 1);
  }
  gate.noise = false;
  CHECK(run(router{.select = gate}, z, 8).dense(0, 0) ==
        run(router{.select = gumbel_threshold{.max_experts = 8, .hard = true, .noise = false}}, z, 8).dense(0, 0));
  auto const eval = run(router{.select = gate}, z, 8), top = run(router{.select = top_k{1}}, z, 8);
  for (offset_t t = 0; t < 200; ++t) CHECK(eval.id(t, 0) == top.id(t, 0));
}

TEST_CASE("S164 EvoMoE: the hard choice has the frequencies of the softmax; weights are softmax(z)") {
  std::vector<double> const row{1, .5, 0, -1};
  std::size_t const n = 20000;
  std::vector<double> z;
  for (std::size_t i = 0; i < n; ++i) z.insert(z.end(), row.begin(), row.end());
  auto const out = run(router{.select = gumbel_threshold{.max_experts = 1, .hard = true, .random = {.seed = 4}}}, z, 4);
  double sum = 0;
  for (double const x : row) sum += std::exp(x);
  for (index_t e = 0; e < 4; ++e) {
    double const p = std::exp(row[static_cast<std::size_t>(e)]) / sum, nn = static_cast<double>(n);
    auto const count = static_cast<double>(std::count(out.ids.begin(), out.ids.end(), e));
    CHECK(std::fabs(count - nn * p) < 4.5 * std::sqrt(nn * p * (1 - p)));
  }
  CHECK(out.weight(0, 0) == doctest::Approx(std::exp(row[static_cast<std::size_t>(out.id(0, 0))]) / sum));
}

TEST_CASE("S164 EvoMoE: temperatures at 0, D, 2D; gradient, lane groups, refusals") {
  linear_anneal const line{2, .5, 100};
  exponential_anneal const curve{2, .5, 100};
  CHECK(line(0) == 2);
  CHECK(line(100) == .5);
  CHECK(line(200) == .5);
  CHECK(line(50) == 1.25);
  CHECK(curve(0) == 2);
  CHECK(curve(50) == doctest::Approx(1));
  CHECK(curve(200) == doctest::Approx(.5));
  router const r{.select = gumbel_threshold{.tau = .3f, .threshold = .05f, .max_experts = 8}};
  check_gradient(r, normal_numbers(5 * 8, 2), 8);
  auto const f = narrow(normal_numbers(33 * 8, 3));
  check_same_on_every_group(r, batch<float>{.logits = {f.data(), 33, 8}});
  CHECK(!validate(router{.select = gumbel_threshold{.tau = 0}}, 8).ok());
}
