// Decides whether the mix is the sigmoid interpolation of BASE layers, and its gradient the derivative.
#include <cmath>

#include <moeroute/residual_mix.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S019 S050 residual mix: sigmoid interpolation, gradient by central differences, every lane group") {
  offset_t const tokens = 5, width = 7;
  auto z = normal_numbers(5, 1), f = normal_numbers(35, 2), x = normal_numbers(35, 3);
  auto const d = normal_numbers(35, 4);
  std::vector<double> y(35);
  auto const c = [&](std::vector<double> const& v) { return matrix_view<double const>{v.data(), tokens, width}; };
  auto const m = [&](std::vector<double>& v) { return matrix_view<double>{v.data(), tokens, width}; };
  auto const loss = [&] {
    residual_mix(serial{}, row_view<double const>(z), c(f), c(x), m(y));
    double sum = 0;
    for (std::size_t i = 0; i < 35; ++i) sum += d[i] * y[i];
    return sum;
  };
  loss();
  for (std::size_t i = 0; i < 35; ++i) {
    double const a = 1 / (1 + std::exp(-z[i / 7]));
    CHECK(y[i] == doctest::Approx(a * f[i] + (1 - a) * x[i]).epsilon(1e-12));
  }
  std::vector<double> d_f(35), d_x(35), d_z(5);
  residual_mix_backward(serial{}, row_view<double const>(z), c(f), c(x), c(d), m(d_f), m(d_x), row_view<double>(d_z));
  auto const check = [&](std::vector<double>& at, std::vector<double> const& found) {
    for (std::size_t i = 0; i < at.size(); ++i) {
      double const kept = at[i];
      at[i] = kept + 1e-6;
      double const up = loss();
      at[i] = kept - 1e-6;
      double const down = loss();
      at[i] = kept;
      CHECK(found[i] == doctest::Approx((up - down) / 2e-6).epsilon(1e-6).scale(1));
    }
  };
  check(z, d_z), check(f, d_f), check(x, d_x);
  auto const same = [&](auto const& run) {
    std::vector<double> y2(35), a(35), b(35), e(5);
    residual_mix(run, row_view<double const>(z), c(f), c(x), m(y2));
    residual_mix_backward(run, row_view<double const>(z), c(f), c(x), c(d), m(a), m(b), row_view<double>(e));
    loss();
    CHECK(same_bits(y, y2));
    CHECK(same_bits(d_f, a));
    CHECK(same_bits(d_x, b));
    CHECK(same_bits(d_z, e));
  };
  same(lockstep{.lanes = 4});
  same(threads{2});
  CHECK(!try_residual_mix(serial{}, row_view<double const>(z.data(), 4), c(f), c(x), m(y)).ok());
}
