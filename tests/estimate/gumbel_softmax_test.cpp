// Decides whether relaxed samples are one-hot in the limit, and their gradient that of the soft sample.
#include <cmath>

#include <moeroute/estimate/gumbel_softmax.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
struct sample {
  std::vector<double> soft, out;
};
sample draw(gumbel_softmax const& how, std::vector<double> const& z, offset_t n, auto const& x) {
  sample s{std::vector<double>(z.size()), std::vector<double>(z.size())};
  offset_t const rows = static_cast<offset_t>(z.size()) / n;
  REQUIRE(try_gumbel_softmax_sample(x, how, matrix_view<double const>{z.data(), rows, n},
                                    matrix_view<double>{s.soft.data(), rows, n},
                                    matrix_view<double>{s.out.data(), rows, n})
              .ok());
  return s;
}
}  // namespace

TEST_CASE("S006 S167 straight-through: forward exactly one-hot, backward that of the soft sample") {
  auto z = normal_numbers(20 * 5, 1);
  gumbel_softmax how{.tau = .7f, .form = sample_form::straight_through, .random = {.seed = 2}};
  auto const s = draw(how, z, 5, serial{});
  for (std::size_t t = 0; t < 20; ++t) {
    double sum = 0, ones = 0, soft = 0;
    for (std::size_t e = 0; e < 5; ++e)
      sum += s.out[5 * t + e], ones += s.out[5 * t + e] == 1, soft += s.soft[5 * t + e];
    CHECK(sum == 1);
    CHECK(ones == 1);
    CHECK(soft == doctest::Approx(1).epsilon(1e-12));
  }
  auto const d = normal_numbers(100, 3);
  std::vector<double> found(100);
  REQUIRE(try_gumbel_softmax_backward(serial{}, how, matrix_view<double const>{s.soft.data(), 20, 5},
                                      matrix_view<double const>{d.data(), 20, 5},
                                      matrix_view<double>{found.data(), 20, 5})
              .ok());
  for (std::size_t i = 0; i < 100; ++i) {
    auto const loss = [&](double h) {
      double const kept = z[i];
      z[i] = kept + h;
      auto const there = draw(how, z, 5, serial{});
      z[i] = kept;
      double sum = 0;
      for (std::size_t j = 0; j < 100; ++j) sum += d[j] * there.soft[j];
      return sum;
    };
    CHECK(found[i] == doctest::Approx((loss(1e-5) - loss(-1e-5)) / 2e-5).epsilon(1e-6).scale(1));
  }
  CHECK(same_bits(draw(how, z, 5, lockstep{.lanes = 4}).soft, s.soft));
  how.tau = 0;
  CHECK(!how.validate().ok());
}

TEST_CASE("S006 Gumbel-softmax: one-hot frequencies are the softmax; large tau is near uniform, small tau near hard") {
  std::vector<double> const row{1, 0, -.5};
  std::vector<double> z;
  for (int i = 0; i < 20000; ++i) z.insert(z.end(), row.begin(), row.end());
  auto const s = draw({.tau = .01f, .form = sample_form::straight_through}, z, 3, serial{});
  double const sum = std::exp(1.) + 1 + std::exp(-.5);
  double far = 0;
  for (std::size_t e = 0; e < 3; ++e) {
    double n = 0;
    for (std::size_t t = 0; t < 20000; ++t)
      n += s.out[3 * t + e], far += std::fabs(s.out[3 * t + e] - s.soft[3 * t + e]);
    double const p = std::exp(row[e]) / sum;
    CHECK(std::fabs(n - 20000 * p) < 4.5 * std::sqrt(20000 * p * (1 - p)));
  }
  CHECK(far / 20000 < .03);
  auto const flat = draw({.tau = 1000}, std::vector<double>(z.begin(), z.begin() + 30), 3, serial{});
  for (double const y : flat.out) CHECK(y == doctest::Approx(1. / 3).epsilon(.05));
}

TEST_CASE("S167 prefix masks: running sums forward and backward; a hard candidate gives a prefix of ones") {
  std::vector<double> const y{.2, .5, .3}, d{1, -2, 4}, hard{0, 1, 0};
  std::vector<double> m(3), back(3);
  prefix_masks(row_view<double const>(y), row_view<double>(m));
  CHECK(m[0] == doctest::Approx(1));
  CHECK(m[1] == doctest::Approx(.8));
  CHECK(m[2] == doctest::Approx(.3));
  prefix_masks_backward(row_view<double const>(d), row_view<double>(back));
  CHECK(back == std::vector<double>{1, -1, 3});
  prefix_masks(row_view<double const>(hard), row_view<double>(m));
  CHECK(m == std::vector<double>{1, 1, 0});
}
