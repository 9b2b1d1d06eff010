#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/grpo/diversity.hpp>

using namespace moeroute;

TEST_CASE("diversity: entropy of use is log n at equal use and 0 for one expert") {
  std::vector<std::int64_t> const even{3, 1, 2, 2, 1, 3, 2, 2}, one{0, 5, 0, 7}, none(4);
  CHECK(use_entropy(matrix_view<std::int64_t const>{even.data(), 2, 4}) == doctest::Approx(std::log(4.)));
  CHECK(use_entropy(matrix_view<std::int64_t const>{one.data(), 2, 2}) == 0);
  CHECK(use_entropy(matrix_view<std::int64_t const>{none.data(), 2, 2}) == 0);
}

TEST_CASE("diversity: divergence is 0 for equal use, log 2 for disjoint use, whatever the totals") {
  std::vector<std::int64_t> const t{1, 1, 0, 0, 10, 10, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0};
  matrix_view<std::int64_t const> const m{t.data(), 4, 4};
  CHECK(jensen_shannon(m[0], m[1]) == 0);
  CHECK(jensen_shannon(m[0], m[2]) == doctest::Approx(std::log(2.)));
  CHECK(mean_divergence(m) == doctest::Approx(2 * std::log(2.) / 3));  // the empty label takes no part
  std::vector<double> const p{.5, .5}, q{.9, .1};
  double const want =
      .5 * (.5 * std::log(.5 / .7) + .5 * std::log(.5 / .3)) + .5 * (.9 * std::log(.9 / .7) + .1 * std::log(.1 / .3));
  CHECK(jensen_shannon(row_view<double const>(p), row_view<double const>(q)) == doctest::Approx(want).epsilon(1e-13));
}
