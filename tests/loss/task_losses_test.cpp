// Decides whether label dependence (S044), InfoNCE over task gates (S035) and manifold alignment (S034) are right.
#include "promise14.hpp"

#include <moeroute/loss/info_nce.hpp>
#include <moeroute/loss/label_dependence.hpp>
#include <moeroute/loss/manifold_alignment.hpp>

using namespace p14;

namespace {
std::vector<double> normals(std::size_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> normal;
  std::vector<double> v(n);
  for (double& x : v) x = normal(rng);
  return v;
}
template <class F>
double difference_error(std::vector<double>& v, std::vector<double> const& d, F const& value) {
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < v.size(); ++i) {
    double const x = v[i], h = 1e-6;
    v[i] = x + h;
    double const up = value();
    v[i] = x - h;
    double const down = value();
    v[i] = x;
    worst = std::max(worst, std::fabs(d[i] - (up - down) / (2 * h)));
    largest = std::max(largest, std::fabs(d[i]));
  }
  CHECK(largest > 0);
  return worst / largest;
}
}  // namespace

TEST_CASE("promise P14: label dependence (S044 BECoTTA), softmax") {
  check(label_dependence{.alpha = 2}, router<>{}, sample(27, 8, 2));
}
TEST_CASE("S044: -ln 2 where two labels use different halves, 0 where they do not care") {
  tokens<double> t{2, 4, 1, {0, 0, -900, -900, -900, -900, 0, 0}, {0, 2}, {0, 0}, {0, 1}, {}};
  label_dependence const term{.alpha = 1};
  CHECK(value_of(term, router<>{}, t) == doctest::Approx(-std::log(2.)));
  for (double& z : t.logits) z = 0;
  CHECK(value_of(term, router<>{}, t) == doctest::Approx(0));
  t.modality[1] = 2;
  CHECK(is_nan(value_of(term, router<>{}, t)));
}
TEST_CASE("promise P14: InfoNCE over task gates (S035 T2MIR)") {
  auto a = normals(12, 1), w = normals(9, 2);
  auto const b = normals(12, 3);
  std::vector<double> da(12), dw(9);
  auto const of = [&](double* pa, double* pw) {
    return info_nce{.alpha = 2}(
        {a.data(), 4, 3}, {b.data(), 4, 3}, {w.data(), 3, 3},
        pa == nullptr ? matrix_view<double>{} : matrix_view<double>(pa, 4, 3),
        pw == nullptr ? matrix_view<double>{} : matrix_view<double>(pw, 3, 3));
  };
  of(da.data(), dw.data());
  CHECK(difference_error(a, da, [&] { return of(nullptr, nullptr); }) < 1e-6);
  CHECK(difference_error(w, dw, [&] { return of(nullptr, nullptr); }) < 1e-6);
  for (std::size_t i = 3; i < 12; ++i) a[i] = a[i % 3];
  std::vector<double> same = a;
  CHECK(info_nce{}({a.data(), 4, 3}, {same.data(), 4, 3}, {w.data(), 3, 3}) ==
        doctest::Approx(std::log(4.)));
  std::vector<double> const apart{1, 0, 0, 1}, strong{50, 0, 0, 50};
  CHECK(info_nce{}({apart.data(), 2, 2}, {apart.data(), 2, 2}, {strong.data(), 2, 2}) < 1e-12);
  std::vector<double> target{0, 1}, online{1, 1};
  ema_copy{.rate = .25}(row_view<double const>(online), row_view<double>(target));
  CHECK(target == std::vector<double>{.25, 1});
}
TEST_CASE("promise P14: manifold alignment (S034 RoMA): gradient, nearest right answers only") {
  auto const x = normals(7 * 2, 4);
  auto r = normals(7 * 3, 5);
  std::vector<std::uint8_t> right{1, 1, 0, 1, 1, 0, 1};
  manifold_alignment const term{.lambda = .5, .sigma = .7, .k = 2};
  std::vector<double> d(21);
  auto const constant = r;  // neighbours are constants: their rows stay
  auto const value = [&](matrix_view<double> grad) {
    return term({x.data(), 7, 2}, right, {r.data(), 7, 3}, grad);
  };
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
  CHECK(manifold_alignment{.k = 1}({line.data(), 3, 1}, good, {routes.data(), 3, 1}) ==
        doctest::Approx(9 + 49 + 49));
}
