// Decides whether the router z-loss is right, also where a plain sum of exponentials would overflow.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/z_loss.hpp>

using namespace p14;

TEST_CASE("promise P14: z-loss") { check(z_loss{.alpha = .5}, router<>{}, sample(31, 8, 2)); }
TEST_CASE("promise P14: z-loss under sigmoid scores, together with a balance loss") {
  check(terms{z_loss{.alpha = .5}, switch_balance{.alpha = .5}}, router<no_gate, no_prior, sigmoid>{},
        sample(31, 8, 2));
}
TEST_CASE("z-loss: known values, logits of +-1e4 safe, float and double") {
  tokens<double> t{2, 4, 1, {0, 0, 0, 0, 1e4, 1e4, -1e4, -1e4}, {0, 0}, {0, 0}, {0, 0}, {}};
  double const a = std::log(4.), b = 1e4 + std::log(2.);
  CHECK(value_of(z_loss{.alpha = 1}, router<>{}, t) == doctest::Approx((a * a + b * b) / 2).epsilon(1e-14));
  CHECK(value_of(z_loss{.alpha = 1}, router<>{}, t.as<float>()) == doctest::Approx((a * a + b * b) / 2).epsilon(1e-6));
  auto const d =
      gradient_of(serial{}, z_loss{.alpha = 1}, router<>{}, t, sums_of(serial{}, z_loss{.alpha = 1}, router<>{}, t));
  CHECK(d[0] == doctest::Approx(a / 4).epsilon(1e-14));
  CHECK(d[4] == doctest::Approx(b / 2).epsilon(1e-14));
  CHECK(d[6] == 0);
}
TEST_CASE(
    "z-loss: rows that are closed or hold +inf count as tokens and add nothing; NaN counts as "
    "closed") {
  double const inf = infinity<double>, a = std::log(2.);
  tokens<double> t{4, 2, 1, {0, 0, -inf, -inf, inf, 0, 0, std::nan("")}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {}};
  auto const s = sums_of(serial{}, z_loss{.alpha = 1}, router<>{}, t);
  CHECK(loss_value(z_loss{.alpha = 1}, 2, s) == doctest::Approx(a * a / 4).epsilon(1e-14));
  auto const d = gradient_of(serial{}, z_loss{.alpha = 1}, router<>{}, t, s);
  CHECK(d[0] == doctest::Approx(a / 4).epsilon(1e-14));
  for (std::size_t i = 2; i < 8; ++i) CHECK(d[i] == 0);
}
