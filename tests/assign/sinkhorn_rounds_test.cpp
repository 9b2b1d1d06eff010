// Decides whether one round of row and column factors is the equation, for widths with and without a vector way.
#include <cmath>

#include <moeroute/assign/sinkhorn_rounds.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("preset P37 Sinkhorn rounds: row factors and column sums of one block, in double precision") {
  for (std::size_t const experts : {7u, 32u, 48u}) {
    std::size_t const tokens = 48;
    auto c = narrow(normal_numbers(tokens * experts, 3));
    for (float& x : c) x = std::exp(x);
    auto d1 = narrow(normal_numbers(experts, 4));
    for (float& x : d1) x = std::exp(x);
    std::vector<float> d0(tokens), sum(experts);
    std::int64_t done = 0;
    detail::sinkhorn_rows<float> const body{
        {}, {c.data(), 48, static_cast<offset_t>(experts)}, {d0.data(), d1.data(), sum.data(), &done}};
    body(serial_group{}, 0, {});
    std::vector<double> want(experts);
    for (std::size_t t = 0; t < tokens; ++t) {
      double mass = 0;
      for (std::size_t e = 0; e < experts; ++e)
        mass += static_cast<double>(d1[e]) * static_cast<double>(c[t * experts + e]);
      CHECK(static_cast<double>(d0[t]) == doctest::Approx(1 / (48 * (mass + 1e-8))).epsilon(1e-6));
      for (std::size_t e = 0; e < experts; ++e)
        want[e] += static_cast<double>(d0[t]) * static_cast<double>(c[t * experts + e]);
    }
    for (std::size_t e = 0; e < experts; ++e)
      CHECK(static_cast<double>(sum[e]) == doctest::Approx(want[e]).epsilon(1e-6));
  }
}
