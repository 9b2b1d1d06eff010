// Decides whether the score-function estimator has the mean it should, whatever the baseline.
#include <cmath>

#include <moeroute/estimate/reinforce.hpp>
#include <moeroute/core/philox.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S107 S137 REINFORCE: unbiased for any baseline, less variance with a good one") {
  std::vector<double> const row{.4, -.2, .1}, value{1, 3, -2};
  double sum = 0, mean_value = 0;
  for (double const x : row) sum += std::exp(x);
  std::vector<double> p(3), want(3);
  for (std::size_t e = 0; e < 3; ++e) p[e] = std::exp(row[e]) / sum, mean_value += p[e] * value[e];
  for (std::size_t e = 0; e < 3; ++e) want[e] = p[e] * (value[e] - mean_value);  // d E[R] / d z
  std::size_t const n = 100000;
  std::vector<double> z, reward(n);
  std::vector<index_t> drawn(n);
  draws const random{.seed = 8};
  for (std::size_t t = 0; t < n; ++t) {
    z.insert(z.end(), row.begin(), row.end());
    double u = random.uniform<double>(static_cast<offset_t>(t), 0);
    index_t e = 0;
    while (e < 2 && u >= p[static_cast<std::size_t>(e)]) u -= p[static_cast<std::size_t>(e++)];
    drawn[t] = e;
    reward[t] = value[static_cast<std::size_t>(e)];
  }
  double spread[2];
  for (double const baseline : {0., mean_value}) {
    std::vector<double> d(3 * n), work(16);
    REQUIRE(try_reinforce(serial{}, matrix_view<double const>{z.data(), 100000, 3}, row_view<index_t const>(drawn),
                          row_view<double const>(reward), baseline, 1., matrix_view<double>{d.data(), 100000, 3},
                          workspace(work))
                .ok());
    double square = 0;
    for (std::size_t e = 0; e < 3; ++e) {
      double mean = 0;
      for (std::size_t t = 0; t < n; ++t)
        mean += d[3 * t + e] / static_cast<double>(n), square += d[3 * t + e] * d[3 * t + e];
      CHECK(std::fabs(mean - want[e]) < .03);
    }
    spread[baseline == 0 ? 0 : 1] = square;
  }
  CHECK(spread[1] < spread[0]);
  running_baseline b{.rate = .1};
  b.observe(2);
  CHECK(b.value == 2);
  b.observe(3);
  CHECK(b.value == doctest::Approx(2.1));
}
