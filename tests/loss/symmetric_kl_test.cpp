// Decides whether two passes pay for where they disagree, and only there.
#include <moeroute/loss/symmetric_kl.hpp>

#include <algorithm>
#include <cmath>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S090 symmetric KL: 0 when passes agree, the identity of its two halves, gradient") {
  std::vector<double> p{.5, .3, .2, .1, .1, .8}, q{.4, .4, .2, .3, .3, .4};
  matrix_view<double const> const a{p.data(), 2, 3}, b{q.data(), 2, 3};
  symmetric_kl const loss{.alpha = 2};
  CHECK(loss(a, a) == 0);
  double kl = 0;
  for (std::size_t i = 0; i < 6; ++i) kl += p[i] * std::log(p[i] / q[i]) + q[i] * std::log(q[i] / p[i]);
  CHECK(loss(a, b) == doctest::Approx(kl));
  std::vector<double> dp(6), dq(6);
  loss(a, b, {dp.data(), 2, 3}, {dq.data(), 2, 3});
  for (std::size_t i = 0; i < 6; ++i)
    for (auto [v, d] : {std::pair{&p, &dp}, std::pair{&q, &dq}}) {
      double const kept = (*v)[i];
      (*v)[i] = kept + 1e-6;
      double const up = loss(a, b);
      (*v)[i] = kept - 1e-6;
      double const down = loss(a, b);
      (*v)[i] = kept;
      CHECK((*d)[i] == doctest::Approx((up - down) / 2e-6).epsilon(1e-6));
    }
}
