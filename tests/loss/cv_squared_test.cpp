// Decides whether the coefficient of variation of the importance is right: promise P14 and known values.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/cv_squared.hpp>

using namespace p14;

TEST_CASE("promise P14, S178, P33: CV^2 of the importance, ddof 0 and 1, softmax and sigmoid") {
  check(terms{importance_cv{.alpha = .5}, importance_cv{.alpha = .5, .ddof = 1, .eps = 1e-10}}, by_softmax,
        sample(27, 8, 2, 3));
}

TEST_CASE("promise P14: CV^2 of the importance on sigmoid scores") {
  check(importance_cv{}, by_sigmoid, sample(27, 5, 2, 3));
}

TEST_CASE("S178 CV^2: 0 and a finite, zero gradient at perfect balance and without mass (vmoe #218)") {
  auto const t = flat(6, 4);
  auto const s = sums_of(serial{}, importance_cv{}, by_softmax, t);
  CHECK(loss_value(importance_cv{}, 4, s) == 0);
  for (double d : gradient_of(serial{}, importance_cv{}, by_softmax, t, s)) CHECK(d == 0);
  auto closed = t;
  for (double& z : closed.logits) z = -infinity<double>;
  CHECK(value_of(importance_cv{}, by_softmax, closed) == 0);
  CHECK(value_of(importance_cv{}, by_softmax, sample(64, 8, 1, 5)) >
        value_of(importance_cv{}, by_softmax, sample(64, 8, 1, 0)));
}

TEST_CASE("CV^2: the formula, with the variance over E and over E - 1") {
  auto const t = sample(27, 8, 2, 3);
  std::vector<double> sum(8, 0.);
  for (offset_t i = 0; i < 27; ++i) {
    double all = 0;
    for (offset_t e = 0; e < 8; ++e) all += std::exp(t.logits[static_cast<std::size_t>(i * 8 + e)]);
    for (offset_t e = 0; e < 8; ++e)
      sum[static_cast<std::size_t>(e)] += std::exp(t.logits[static_cast<std::size_t>(i * 8 + e)]) / all;
  }
  double squares = 0;
  double const mean = 27. / 8;
  for (double const x : sum) squares += (x - mean) * (x - mean);
  CHECK(value_of(importance_cv{.alpha = .5}, by_softmax, t) ==
        doctest::Approx(.5 * squares / 8 / (mean * mean)).epsilon(1e-12));
  CHECK(value_of(importance_cv{.alpha = .5, .ddof = 1, .eps = .25}, by_softmax, t) ==
        doctest::Approx(.5 * squares / 7 / (mean * mean + .25)).epsilon(1e-12));
}
