// Decides whether two-level soft assignment keeps its groups apart, leaves padding out and clamps its gate.
#include <moeroute/soft/hierarchical.hpp>

#include <algorithm>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S134 Mamba HoME: groups do not meet at level 1, padding takes no part, level 2 columns sum to 1") {
  hierarchical_soft const how{.group = 4, .slots = 2};
  auto x = normal_numbers(10 * 3, 1);  // groups of 4, 4 and 2
  std::vector<double> means(9), vectors(18), a(20), slots(18), y(30);
  auto const c = [](std::vector<double>& v, offset_t rows, offset_t cols) {
    return matrix_view<double const>{v.data(), rows, cols};
  };
  auto const m = [](std::vector<double>& v, offset_t rows, offset_t cols) {
    return matrix_view<double>{v.data(), rows, cols};
  };
  auto const layer = [&] {
    REQUIRE(try_group_means(serial{}, how, c(x, 10, 3), m(means, 3, 3)).ok());
    for (std::size_t i = 0; i < 18; ++i)
      vectors[i] = means[i / 6 * 3 + i % 3] * (i / 3 % 2 == 0 ? 1 : -.5) + .1 * static_cast<double>(i % 3);
    REQUIRE(try_group_assignment(serial{}, how, c(x, 10, 3), c(vectors, 6, 3), m(a, 10, 2)).ok());
    REQUIRE(try_group_slots(serial{}, how, c(a, 10, 2), c(x, 10, 3), m(slots, 6, 3)).ok());
    REQUIRE(try_group_combine(serial{}, how, c(a, 10, 2), c(slots, 6, 3), m(y, 10, 3)).ok());
  };
  layer();
  CHECK(means[6] == doctest::Approx((x[24] + x[27]) / 2));
  for (std::size_t t = 0; t < 10; ++t) CHECK(a[2 * t] + a[2 * t + 1] == doctest::Approx(1).epsilon(1e-12));
  for (std::size_t s = 0; s < 6; ++s)
    for (std::size_t i = 0; i < 3; ++i) {
      double sum = 0;
      for (std::size_t t = s / 2 * 4; t < std::min<std::size_t>(10, s / 2 * 4 + 4); ++t)
        sum += a[2 * t + s % 2] * x[3 * t + i];
      CHECK(slots[3 * s + i] == doctest::Approx(sum).epsilon(1e-12));
    }
  auto const before = y;
  for (std::size_t i = 12; i < 24; ++i) x[i] = -x[i];  // group 1 alone
  layer();
  for (std::size_t i = 0; i < 30; ++i)
    if (i < 12 || i >= 24) CHECK(y[i] == before[i]);
  std::vector<double> logits(36), dispatch(36), combine(36);
  for (std::size_t i = 0; i < 36; ++i) logits[i] = slots[i / 6 * 3] * slots[i % 6 * 3];
  soft_weights(serial{}, c(logits, 6, 6), m(dispatch, 6, 6), m(combine, 6, 6));
  for (std::size_t s = 0; s < 6; ++s) {
    double sum = 0;
    for (std::size_t t = 0; t < 6; ++t) sum += dispatch[6 * t + s];
    CHECK(sum == doctest::Approx(1).epsilon(1e-12));
  }
  CHECK(how.gate(-50.) == doctest::Approx(.01));
  CHECK(how.gate(50.) == doctest::Approx(1));
  CHECK(how.gate(0.) == .5);
  CHECK(!try_group_slots(serial{}, how, c(a, 10, 2), c(x, 10, 3), m(slots, 5, 3)).ok());
  CHECK(!hierarchical_soft{.group = 0}.validate().ok());
}
