// Decides whether the sparse plan keeps its support and mass, and balances the rows.
#include <cmath>

#include <moeroute/assign/sparse_transport.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE(
    "S088 sparse transport: columns of at most C tokens with mass 1/E exactly, rows near 1/T, "
    "equal bits everywhere") {
  auto z = normal_numbers(48 * 6, 1);
  for (std::size_t i = 0; i < 6 * 6; ++i) z[i] += 2;  // six popular tokens
  auto const solve = [&](auto const& x, index_t rounds) {
    std::vector<double> plan(z.size(), 77.);
    sparse_transport const how{.tokens_per_expert = 12, .rounds = rounds};
    auto work = memory(sparse_transport_workspace_bytes(x, 48, 6, 12));
    REQUIRE(try_sparse_transport_plan(x, how, matrix_view<double const>{z.data(), 48, 6},
                                      matrix_view<double>{plan.data(), 48, 6}, workspace(work))
                .ok());
    return plan;
  };
  auto const worst_row = [&](std::vector<double> const& plan) {
    double worst = 0;
    for (std::size_t t = 0; t < 48; ++t) {
      double sum = 0;
      for (std::size_t e = 0; e < 6; ++e) sum += plan[6 * t + e];
      worst = std::fmax(worst, std::fabs(sum * 48 - 1));
    }
    return worst;
  };
  auto const plan = solve(serial{}, 400), first = solve(serial{}, 1);
  for (std::size_t e = 0; e < 6; ++e) {
    int support = 0;
    double mass = 0;
    for (std::size_t t = 0; t < 48; ++t) {
      CHECK(plan[6 * t + e] >= 0);
      support += plan[6 * t + e] > 0, mass += plan[6 * t + e];
    }
    CHECK(support <= 12);
    CHECK(mass == doctest::Approx(1. / 6).epsilon(1e-9));
  }
  CHECK(worst_row(plan) < .1);
  CHECK(worst_row(first) > 1);
  CHECK(same_bits(plan, solve(lockstep{.lanes = 4}, 400)));
  CHECK(same_bits(plan, solve(threads{2}, 400)));
  std::vector<double> small(48 * 6);
  CHECK(!try_sparse_transport_plan(serial{}, sparse_transport{.tokens_per_expert = 7},
                                   matrix_view<double const>{z.data(), 48, 6}, matrix_view<double>{small.data(), 48, 6},
                                   {})
             .ok());
}
