// Decides whether manifold alignment (S034 RoMA) is right, by central differences.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/manifold_alignment.hpp>

#include "support/differences.hpp"

using namespace p14;
using namespace differences;

TEST_CASE("promise P14: manifold alignment (S034 RoMA): gradient, nearest right answers only") {
  auto const x = normals(7 * 2, 4);
  auto r = normals(7 * 3, 5);
  std::vector<std::uint8_t> right{1, 1, 0, 1, 1, 0, 1};
  manifold_alignment const term{.lambda = .5, .sigma = .7, .k = 2};
  std::vector<double> d(21);
  auto const constant = r;  // neighbours are constants: their rows stay
  auto const value = [&](matrix_view<double> grad) { return term({x.data(), 7, 2}, right, {r.data(), 7, 3}, grad); };
  value({d.data(), 7, 3});
  // Sample 2 is nobody's neighbour, so its row is a free variable.
  double worst = 0;
  for (std::size_t c = 6; c < 9; ++c) {
    double const keep = r[c];
    r[c] = keep + 1e-6;
    double const up = value({});
    r[c] = keep - 1e-6;
    double const down = value({});
    r[c] = keep;
    worst = std::max(worst, std::fabs(d[c] - (up - down) / 2e-6));
  }
  CHECK(worst < 1e-6);
  for (std::size_t i = 0; i < 21; ++i) r[i] = constant[i % 3];
  CHECK(value({}) == 0);
  std::vector<std::uint8_t> const nobody(7);
  CHECK(term({x.data(), 7, 2}, nobody, {constant.data(), 7, 3}) == 0);
  // By hand: 1-d, the nearest of 0 among {1, 3} with k = 1 is 1.
  std::vector<double> const line{0, 1, 3}, routes{5, 2, 9};
  std::vector<std::uint8_t> const good{0, 1, 1};
  CHECK(manifold_alignment{.k = 1}({line.data(), 3, 1}, good, {routes.data(), 3, 1}) == doctest::Approx(9 + 49 + 49));
}
