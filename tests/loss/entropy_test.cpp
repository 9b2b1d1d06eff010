// Decides whether the entropy terms are right: promise P14 and known values.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/entropy.hpp>

using namespace p14;

TEST_CASE("promise P14: token entropy, Shannon and Tsallis, softmax and sigmoid") {
  check(terms{token_entropy{.alpha = .5}, token_entropy{.alpha = .5, .q = 1.1, .relative = true},
              token_entropy{.alpha = -.25, .q = 2, .by = segment_by::modality, .only = 1}},
        by_softmax, sample(27, 8, 2));
}

TEST_CASE("promise P14: token entropy of sigmoid scores") {
  check(token_entropy{.alpha = 1}, by_sigmoid, sample(19, 6, 2));
}

TEST_CASE(
    "S061: Tsallis entropy is in [0, 1], 1 at uniform, 0 at one-hot, continuous at q = 1; the "
    "shifted form is not") {
  auto t = flat(1, 8);
  for (double q : {.5, 1., 1.0001, 1.1, 2.}) {
    token_entropy const term{.alpha = 1, .q = q, .relative = true};
    t.logits.assign(8, 0);
    CHECK(value_of(term, by_softmax, t) == doctest::Approx(1).epsilon(1e-12));
    t.logits[3] = 800;
    CHECK(value_of(term, by_softmax, t) == doctest::Approx(0));
  }
  t.logits = {2, 1, .5, 0, 0, -.5, -1, -1};
  double const at_one = value_of(token_entropy{.alpha = 1, .relative = true}, by_softmax, t);
  CHECK(value_of(token_entropy{.alpha = 1, .q = 1.0001, .relative = true}, by_softmax, t) ==
        doctest::Approx(at_one).epsilon(1e-4));
  CHECK(std::fabs(value_of(token_entropy{.alpha = 1, .q = 1.0001, .relative = true, .shift = 1e-5}, by_softmax, t) -
                  at_one) > .1);
}

TEST_CASE("promise P14: usage entropy per modality with a threshold, and without (P34 LIMoE)") {
  check(terms{usage_entropy{.alpha = .5, .threshold = 2, .by = segment_by::modality, .segments = 2},
              usage_entropy{.alpha = .25}},
        by_softmax, sample(27, 8, 2, 3));
}

TEST_CASE(
    "P34 LIMoE: uniform usage gives -log E, one-hot tokens local 0, the hinge is inactive above "
    "tau") {
  auto const t = flat(5, 8);
  CHECK(value_of(usage_entropy{.alpha = 1}, by_softmax, t) == doctest::Approx(-std::log(8.)).epsilon(1e-14));
  usage_entropy const hinge{.alpha = 1, .threshold = 1.5};
  CHECK(value_of(hinge, by_softmax, t) == 0);
  for (double d : gradient_of(serial{}, hinge, by_softmax, t, sums_of(serial{}, hinge, by_softmax, t))) CHECK(d == 0);
  auto sharp = t;
  for (std::size_t i = 0; i < 5; ++i) sharp.logits[8 * i] = 900;
  CHECK(value_of(token_entropy{.alpha = 1}, by_softmax, sharp) == 0);
  CHECK(value_of(hinge, by_softmax, sharp) == doctest::Approx(1.5));
}

TEST_CASE("token entropy of scores as they are: the slope of every score, what a softmax would take away included") {
  std::vector<double> p{.5, .3, .2, .1, .6, .3};
  std::vector<std::byte> space(1 << 16);
  token_entropy const term{.alpha = 1};
  auto const value = [&] {
    std::vector<wide_sum> s(static_cast<std::size_t>(term.sums(3)));
    observe(serial{}, term, from_scores{matrix_view<double const>(p.data(), 2, 3)}, matrix_view<index_t const>{},
            row_view<wide_sum>(s), workspace(space));
    return std::pair{loss_value(term, 3, s), s};
  };
  std::vector<double> d(6);
  add_gradient(serial{}, term, from_scores{matrix_view<double const>(p.data(), 2, 3)}, matrix_view<index_t const>{},
               row_view<wide_sum const>(value().second), matrix_view<double>(d.data(), 2, 3), workspace(space));
  for (std::size_t i = 0; i < 6; ++i) {
    double const x = p[i];
    p[i] = x + 1e-5;
    double const up = value().first;
    p[i] = x - 1e-5;
    double const down = value().first;
    p[i] = x;
    CHECK(d[i] == doctest::Approx((up - down) / 2e-5).epsilon(1e-6));
  }
}
