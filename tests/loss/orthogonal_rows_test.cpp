// Decides whether the loss of orthogonal router rows (P23) is right, by central differences and closed values.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/loss/orthogonal_rows.hpp>

#include "support/differences.hpp"

using namespace moeroute;
using namespace differences;

namespace {
template <class X>
double orthogonal(X const& x, std::vector<double> const& w, index_t experts, std::vector<double>* d = nullptr,
                  double scale = 1) {
  double loss = -1;
  offset_t const width = static_cast<offset_t>(w.size()) / experts;
  matrix_view<double> const dv = d == nullptr ? matrix_view<double>{} : matrix_view<double>(d->data(), experts, width);
  orthogonal_rows_loss(x, orthogonal_rows{.lambda = .5}, matrix_view<double const>(w.data(), experts, width), &loss, dv,
                       workspace(memory()), scale);
  return loss;
}
}  // namespace

TEST_CASE("promise P14: orthogonal router rows (P23): gradient, lockstep, scale") {
  auto w = normals(6 * 5, 4);
  std::vector<double> d(30), e(30), f(30);
  double const loss = orthogonal(serial{}, w, 6, &d);
  CHECK(difference_error(w, d, [&] { return orthogonal(serial{}, w, 6); }) < 1e-6);
  for (index_t lanes : {2, 3, 32}) {
    e.assign(30, 0);
    CHECK(orthogonal(lockstep{lanes}, w, 6, &e) == loss);
    CHECK(e == d);
  }
  orthogonal(serial{}, w, 6, &f, 2.);
  for (std::size_t i = 0; i < 30; ++i) CHECK(f[i] == doctest::Approx(2 * d[i]));
}

TEST_CASE("P23 orthogonal rows: 0 for orthogonal rows, E (E - 1) for equal ones, any length, zero rows stay finite") {
  std::vector<double> const apart{3, 0, 0, 0, .1, 0, 0, 0, 7}, equal{1, 2, 2, 4, 3, 6};
  CHECK(orthogonal(serial{}, apart, 3) == doctest::Approx(0));
  CHECK(orthogonal(serial{}, equal, 3) == doctest::Approx(.5 * 6));
  std::vector<double> zero{0, 0, 1, 2}, d(4);
  CHECK(orthogonal(serial{}, zero, 2, &d) == doctest::Approx(.5));
  for (double x : d) CHECK(std::isfinite(x));
}
