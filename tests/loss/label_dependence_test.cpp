// Decides whether label dependence (S044 BECoTTA) is right: promise P14 and known values.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/label_dependence.hpp>

using namespace p14;

TEST_CASE("promise P14: label dependence (S044 BECoTTA), softmax") {
  check(label_dependence{.alpha = 2}, router<>{}, sample(27, 8, 2));
}

TEST_CASE("S044: -ln 2 where two labels use different halves, 0 where they do not care") {
  tokens<double> t{2, 4, 1, {0, 0, -900, -900, -900, -900, 0, 0}, {0, 2}, {0, 0}, {0, 1}, {}};
  label_dependence const term{.alpha = 1};
  CHECK(value_of(term, router<>{}, t) == doctest::Approx(-std::log(2.)));
  for (double& z : t.logits) z = 0;
  CHECK(value_of(term, router<>{}, t) == doctest::Approx(0));
  t.modality[1] = 2;
  CHECK(is_nan(value_of(term, router<>{}, t)));
}
