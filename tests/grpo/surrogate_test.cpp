#include <doctest/doctest.h>

#include <cmath>

#include <moeroute/grpo/surrogate.hpp>

#include "support/reference.hpp"

using namespace moeroute;

TEST_CASE("surrogate: values and slopes of a term on both sides of the clip and at ratio 1") {
  policy_surrogate const clip = grpo_surrogate(.2);
  struct expected {
    double ratio, a, loss;
    bool clipped;
  };
  for (auto const& x : {expected{1, 2, -2, false}, expected{1.1, 2, -2.2, false}, expected{1.5, 2, -2.4, true},
                        expected{.5, 2, -1, false}, expected{1.5, -2, 3, false}, expected{.5, -2, 1.6, true},
                        expected{1.5, 0, 0, false}}) {
    auto const t = detail::surrogate_term(clip, x.ratio, x.a);
    CHECK(t.loss == doctest::Approx(x.loss).epsilon(1e-15));
    CHECK(t.clipped == x.clipped);
    CHECK(t.slope == doctest::Approx(x.clipped || x.a == 0 ? 0 : x.loss).epsilon(1e-15));  // d (-r A) / d log r
  }
  auto const wide = detail::surrogate_term(dapo_surrogate(), 1.25, 1);  // 1.28 above
  CHECK(!wide.clipped);
}

TEST_CASE("surrogate: slopes are central differences in the log-ratio") {
  double const h = 1e-6;
  for (auto const& s : {grpo_surrogate(), dapo_surrogate(), sapo_surrogate()})
    for (double const a : {1.5, -.7})
      for (double const x : {-.15, 0., .1, .6}) {
        auto const loss = [&](double y) { return detail::surrogate_term(s, std::exp(y), a).loss; };
        CHECK(detail::surrogate_term(s, std::exp(x), a).slope ==
              doctest::Approx((loss(x + h) - loss(x - h)) / (2 * h)).epsilon(1e-6));
      }
  for (auto const k : {kl_estimator::k1, kl_estimator::k2, kl_estimator::k3})
    for (double const x : {-.4, 0., .3}) {  // x = reference - log_prob, so the slope has the other sign
      auto const value = [&](double y) { return detail::kl_term(k, y).loss; };
      CHECK(detail::kl_term(k, x).slope == doctest::Approx(-(value(x + h) - value(x - h)) / (2 * h)).epsilon(1e-6));
    }
}

TEST_CASE("promise P17: surrogate names what does not fit") {
  policy_surrogate s;
  s.clip_low = 1.5;
  CHECK(!s.validate().ok());
  s = sapo_surrogate();
  s.tau_negative = 0;
  CHECK(!s.validate().ok());
  CHECK(grpo_surrogate().validate().ok());
}
