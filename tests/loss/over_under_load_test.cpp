// Decides whether StableMoE's balance loss (S050) is right: promise P14 and known values.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/over_under_load.hpp>

using namespace p14;

TEST_CASE("promise P14: over- and under-load (S050 StableMoE), one choice and three") {
  check(over_under_load{.alpha = .5}, by_sigmoid, sample(27, 8, 1, 3));
  check(over_under_load{.alpha = .5}, by_sigmoid, sample(27, 8, 3, 3));
}

TEST_CASE("S050 StableMoE: the sign of the gradient is that of the load; nothing at perfect balance") {
  tokens<double> t{4, 2, 1, {.3, -.2, 1, 0, -1, .4, .1, .2}, {0, 0, 0, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {}};
  auto const s = sums_of(serial{}, over_under_load{.alpha = 2}, by_sigmoid, t);
  auto const d = gradient_of(serial{}, over_under_load{.alpha = 2}, by_sigmoid, t, s);
  auto const f = [](double z) { return 1 / (1 + std::exp(-z)); };
  // n = 3, 1; mean 2; ratios 1/2 and -1/2.
  CHECK(loss_value(over_under_load{.alpha = 2}, 2, s) == doctest::Approx(f(.3) + f(1) + f(-1) - f(.2)).epsilon(1e-12));
  CHECK(d[0] == doctest::Approx(f(.3) * (1 - f(.3))).epsilon(1e-6));   // crowded: down
  CHECK(d[7] == doctest::Approx(-f(.2) * (1 - f(.2))).epsilon(1e-6));  // idle: up
  CHECK(d[1] == 0);
  t.ids = {0, 1, 0, 1};
  auto const even = sums_of(serial{}, over_under_load{}, by_sigmoid, t);
  CHECK(loss_value(over_under_load{}, 2, even) == 0);
  for (double const x : gradient_of(serial{}, over_under_load{}, by_sigmoid, t, even)) CHECK(x == 0);
}
