// Decides whether identity experts add weight times token, no more and no less, and send both gradients.
#include <moeroute/select/identity_experts.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("preset P25 LongCat: identity experts contribute g x; the scale flag; gradients") {
  std::vector<index_t> const ids{0, 5, 4, 6, 1, no_expert};
  std::vector<double> w{.5, .3, .2, .1, .7, .9};
  auto x = normal_numbers(9, 1);
  auto const d_y = normal_numbers(9, 2);
  matrix_view<index_t const> const chosen{ids.data(), 3, 2};
  auto const forward = [&](float scale) {
    std::vector<double> y(9, 1.);
    REQUIRE(try_add_identity_experts(serial{}, chosen, matrix_view<double const>{w.data(), 3, 2}, 4,
                                     matrix_view<double const>{x.data(), 3, 3}, matrix_view<double>{y.data(), 3, 3},
                                     scale)
                .ok());
    return y;
  };
  auto const y = forward(1), small = forward(.5f);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(y[i] == doctest::Approx(1 + .3 * x[i]));
    CHECK(y[3 + i] == doctest::Approx(1 + .3 * x[3 + i]));
    CHECK(y[6 + i] == 1);
    CHECK(small[i] == doctest::Approx(1 + .15 * x[i]));
  }
  std::vector<double> d_x(9), d_w(6);
  REQUIRE(try_add_identity_experts_backward(
              serial{}, chosen, matrix_view<double const>{w.data(), 3, 2}, 4, matrix_view<double const>{x.data(), 3, 3},
              matrix_view<double const>{d_y.data(), 3, 3}, matrix_view<double>{d_x.data(), 3, 3},
              matrix_view<double>{d_w.data(), 3, 2}, .5f)
              .ok());
  auto const check = [&](std::vector<double>& p, std::vector<double> const& found) {
    for (std::size_t i = 0; i < p.size(); ++i) {
      auto const loss = [&](double h) {
        double const kept = p[i];
        p[i] = kept + h;
        auto const there = forward(.5f);
        p[i] = kept;
        double sum = 0;
        for (std::size_t j = 0; j < 9; ++j) sum += d_y[j] * there[j];
        return sum;
      };
      CHECK(found[i] == doctest::Approx((loss(1e-6) - loss(-1e-6)) / 2e-6).epsilon(1e-6).scale(1));
    }
  };
  check(x, d_x);
  check(w, d_w);
}
