// Decides whether uncertain tokens, and only they, go to all experts.
#include <cmath>

#include <moeroute/select/entropy_switch.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
double entropy(std::vector<double> const& p, float q, float shift = 0) {
  return tsallis_entropy{.q = q, .shift = shift}(serial_group{},
                                                 memory_row<double const>{p.data(), static_cast<index_t>(p.size())});
}
auto dynmole(float threshold) {
  return router{
      .select = entropy_switch<>{.threshold = threshold,
                                 .base = {.p = .75f, .max_experts = 8, .min_experts = 2, .boundary = crossing::drop}}};
}
}  // namespace

TEST_CASE("S061 Tsallis entropy: 1 at uniform, 0 at one-hot, in between elsewhere, for every order") {
  std::vector<double> const uniform(8, 1. / 8), one_hot{0, 0, 1, 0, 0, 0, 0, 0}, some{.4, .3, .1, .1, .05, .05, 0, 0};
  for (float const q : {.5f, .9f, 1.f, 1.1f, 2.f, 3.f}) {
    CHECK(entropy(uniform, q) == doctest::Approx(1).epsilon(1e-12));
    CHECK(entropy(one_hot, q) == 0);
    CHECK((entropy(some, q) > 0 && entropy(some, q) < 1));
    double const d = static_cast<double>(q);
    double sum = 0;  // the definition, where it is well conditioned
    for (double const p : some) sum += p > 0 ? (q == 1 ? -p * std::log(p) : std::pow(p, d)) : 0;
    double const most = q == 1 ? std::log(8.) : (1 - std::pow(8., 1 - d)) / (d - 1);
    CHECK(entropy(some, q) == doctest::Approx((q == 1 ? sum : (1 - sum) / (d - 1)) / most).epsilon(1e-7));
  }
}

TEST_CASE("S061 Tsallis entropy is continuous at q = 1; the shifted form is not") {
  std::vector<double> const p{.4, .3, .1, .1, .05, .03, .01, .01};
  double const shannon = entropy(p, 1);
  CHECK(entropy(p, 1.0001f) == doctest::Approx(shannon).epsilon(2e-4));
  CHECK(entropy(p, 1.000001f) == doctest::Approx(shannon).epsilon(2e-6));
  CHECK(std::fabs(entropy(p, 1.0001f, 1e-5f) - shannon) > .1);  // the trap
}

TEST_CASE("S061 DynMoLE: all experts above the threshold, else the prefix without the crossing expert, at least 2") {
  std::vector<double> const z{2, 1.5, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0};
  std::vector<double> p(8);
  double total = 0;
  for (std::size_t e = 0; e < 8; ++e) total += std::exp(z[e]);
  for (std::size_t e = 0; e < 8; ++e) p[e] = std::exp(z[e]) / total;
  auto const h = static_cast<float>(entropy(p, 1.1f));
  auto const above_it = run(dynmole(h - 1e-4f), z, 8), below_it = run(dynmole(h + 1e-4f), z, 8);
  CHECK(above_it.count(0) == 8);
  CHECK(below_it.count(0) == (p[0] + p[1] + p[2] <= .75 ? (p[0] + p[1] + p[2] + p[3] <= .75 ? 4 : 3) : 2));
  for (index_t e = 0; e < 8; ++e) CHECK(above_it.dense(0, e) == doctest::Approx(p[static_cast<std::size_t>(e)]));
  CHECK(below_it.count(1) == 2);  // one expert holds almost everything: still two
}

TEST_CASE("S080 GW-MoE: threshold infinity is the base, threshold 0 the dense mixture") {
  auto const z = normal_numbers(20 * 8, 4);
  top_p const some{.p = .5f, .max_experts = 8};
  tsallis_entropy const shannon{.q = 1, .normalized = false};
  auto const base = run(router{.select = some}, z, 8);
  auto const never =
      run(router{.select = entropy_switch<>{.threshold = infinity<float>, .base = some, .entropy = shannon}}, z, 8);
  CHECK(never.ids == base.ids);
  CHECK(never.weights == base.weights);
  auto const dense = run(router{.select = entropy_switch<>{.threshold = 0, .base = some, .entropy = shannon}}, z, 8);
  for (offset_t t = 0; t < 20; ++t) CHECK(dense.count(t) == 8);
}

TEST_CASE("S061 DynMoLE: gradient, lane groups, refusals") {
  check_gradient(dynmole(.8f), normal_numbers(6 * 8, 21, 1.5), 8);
  auto const f = narrow(normal_numbers(33 * 8, 22, 1.5));
  check_same_on_every_group(dynmole(.8f), batch<float>{.logits = {f.data(), 33, 8}});
  CHECK(!validate(dynmole(.8f), 16).ok());
}
