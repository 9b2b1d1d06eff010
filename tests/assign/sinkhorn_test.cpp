// Decides whether the plan has the marginals it promises and the numbers of the plain iteration.
#include <cmath>

#include <moeroute/assign/sinkhorn.hpp>
#include <moeroute/route_experts.hpp>
#include <moeroute/select/ranked_by.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
template <class X, class V>
std::vector<V> plan_of(X const& x, sinkhorn how, std::vector<V> const& z, offset_t experts) {
  offset_t const tokens = static_cast<offset_t>(z.size()) / experts;
  std::vector<V> plan(z.size(), V(77));
  auto work = memory(sinkhorn_workspace_bytes<X, V>(x, tokens, experts));
  sinkhorn_plan(x, how, matrix_view<V const>{z.data(), tokens, experts}, matrix_view<V>{plan.data(), tokens, experts},
                workspace(work));
  return plan;
}
}  // namespace

TEST_CASE("S088 preset P37 Sinkhorn: marginals within the tolerance, also for skewed and large logits") {
  for (double const scale : {1., 5.})
    for (double const shift : {0., 300.}) {
      offset_t const tokens = 70, experts = 8;
      auto z = normal_numbers(70 * 8, 1, scale);
      for (std::size_t i = 0; i < z.size(); ++i) z[i] += shift + (i % 8 == 3 ? 2 : 0);
      auto const plan = plan_of(serial{}, {.tolerance = 1e-9f, .max_rounds = 3000}, z, experts);
      std::vector<double> column(8);
      for (offset_t t = 0; t < tokens; ++t) {
        double row = 0;
        for (std::size_t e = 0; e < 8; ++e)
          row += plan[static_cast<std::size_t>(t) * 8 + e], column[e] += plan[static_cast<std::size_t>(t) * 8 + e];
        CHECK(row * 70 == doctest::Approx(1).epsilon(1e-4));
      }
      for (double const c : column) CHECK(c * 8 == doctest::Approx(1).epsilon(1e-4));
    }
}

TEST_CASE("preset P37 Sinkhorn: equal to the plain iteration, round by round") {
  std::size_t const tokens = 20, experts = 6;
  auto const z = normal_numbers(20 * 6, 2);
  for (index_t const rounds : {1, 2, 7}) {
    std::vector<double> d0(tokens), d1(experts, 1.);
    for (index_t i = 0; i < rounds; ++i) {
      for (std::size_t t = 0; t < tokens; ++t) {
        double sum = 0;
        for (std::size_t e = 0; e < experts; ++e) sum += d1[e] * std::exp(z[t * experts + e]);
        d0[t] = 1 / (20 * (sum + 1e-8));
      }
      for (std::size_t e = 0; e < experts; ++e) {
        double sum = 0;
        for (std::size_t t = 0; t < tokens; ++t) sum += d0[t] * std::exp(z[t * experts + e]);
        d1[e] = 1 / (6 * (sum + 1e-8));
      }
    }
    auto const plan = plan_of(serial{}, {.tolerance = 0, .max_rounds = rounds}, z, 6);
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t e = 0; e < experts; ++e)
        CHECK(plan[t * experts + e] == doctest::Approx(d0[t] * d1[e] * std::exp(z[t * experts + e])).epsilon(1e-6));
  }
}

TEST_CASE(
    "S088 preset P37 Sinkhorn token choice: ids from the plan, weights and gradient from the "
    "logits") {
  auto z = normal_numbers(48 * 6, 3);
  for (std::size_t i = 0; i < z.size(); i += 6) z[i] += 2;  // everybody likes expert 0
  auto const plan = plan_of(serial{}, {}, z, 6);
  router const r{.score = sigmoid{}, .select = ranked_by<top_k<>, double>{.plan = {plan.data(), 48, 6}, .base = {1}}};
  auto const balanced = run(r, z, 6), greedy = run(router{.score = sigmoid{}, .select = top_k{1}}, z, 6);
  offset_t most = 0, most_greedy = 0;
  for (offset_t t = 0; t < 48; ++t) {
    most += balanced.id(t, 0) == 0, most_greedy += greedy.id(t, 0) == 0;
    CHECK(balanced.weight(t, 0) ==
          doctest::Approx(1 / (1 + std::exp(-z[static_cast<std::size_t>(6 * t + balanced.id(t, 0))]))));
  }
  CHECK(most * 2 < most_greedy);
  auto const small = normal_numbers(5 * 6, 4);
  auto const small_plan = plan_of(serial{}, {}, small, 6);
  check_gradient(router{.select = ranked_by<top_k<>, double>{.plan = {small_plan.data(), 5, 6}, .base = {2}}}, small,
                 6);
}

TEST_CASE("S088 Sinkhorn expert choice: experts take the best of the plan's columns") {
  auto const z = normal_numbers(24 * 4, 5);
  auto const plan = plan_of(serial{}, {}, z, 4);
  std::vector<offset_t> tokens(24);
  std::vector<double> weights(24);
  router const r{.score = identity{}, .select = top_tokens<>{.capacity_factor = 1}};
  auto work = memory(route_experts_workspace_bytes<serial, decltype(r), double>(serial{}, r, 24, 4, 1, 6));
  route_experts(serial{}, r, batch<double>{.logits = {plan.data(), 24, 4}},
                expert_routing_view<double>{{tokens.data(), 4, 6}, {weights.data(), 4, 6}}, workspace(work));
  for (std::size_t e = 0; e < 4; ++e)
    for (std::size_t j = 0; j < 6; ++j)
      CHECK(weights[6 * e + j] == plan[static_cast<std::size_t>(tokens[6 * e + j]) * 4 + e]);
}

TEST_CASE(
    "preset P37 Sinkhorn: closed experts get nothing; every executor gives the same bits; "
    "refusals") {
  auto z = narrow(normal_numbers(150 * 9, 6));
  for (std::size_t i = 0; i < 20 * 9; i += 9) z[i] = -infinity<float>;
  z[4] = not_a_number<float>;
  auto const plan = plan_of(serial{}, {}, z, 9);
  for (std::size_t i = 0; i < 20 * 9; i += 9) CHECK(plan[i] == 0);
  CHECK(plan[4] == 0);
  CHECK(same_bits(plan, plan_of(lockstep{.lanes = 4}, {}, z, 9)));
  CHECK(same_bits(plan, plan_of(lockstep{.lanes = 32}, {}, z, 9)));
  CHECK(same_bits(plan, plan_of(threads{3}, {}, z, 9)));
  for (std::size_t const experts : {16u, 64u, 80u, 96u}) {  // widths that are served 16 at a time
    auto wide = narrow(normal_numbers(96 * experts, static_cast<unsigned>(experts), 2));
    wide[5] = -infinity<float>, wide[6] = not_a_number<float>, wide[7] = infinity<float>;
    for (std::size_t e = 0; e < experts; ++e) wide[3 * experts + e] = -infinity<float>;
    sinkhorn const how{.tolerance = 1e-3f, .max_rounds = 4};
    auto const a = plan_of(serial{}, how, wide, static_cast<offset_t>(experts));
    CHECK(same_bits(a, plan_of(lockstep{.lanes = 4}, how, wide, static_cast<offset_t>(experts))));
    CHECK(same_bits(a, plan_of(threads{2}, how, wide, static_cast<offset_t>(experts))));
  }
  std::vector<float> out(10);
  CHECK(!try_sinkhorn_plan(serial{}, {}, matrix_view<float const>{z.data(), 2, 9}, matrix_view<float>{out.data(), 2, 5},
                           {})
             .ok());
  CHECK(!try_sinkhorn_plan(serial{}, {.max_rounds = 0}, matrix_view<float const>{z.data(), 2, 5},
                           matrix_view<float>{out.data(), 2, 5}, {})
             .ok());
}
