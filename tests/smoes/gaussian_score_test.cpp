// SMoES, oracle 7: the score that Gaussian statistics give.
#include <cmath>

#include "gaussian_fixture.hpp"

using namespace smoes_test;

TEST_CASE("SMoES Gaussian score: far apart 0 or 1, identical exactly 1/2, a logistic of a mean") {
  constexpr offset_t width = 16;
  gaussian_state<double> s(2, width);
  s.known = table<std::uint8_t>(1, 2, 1);
  auto const x = numbers(11).normals<double>(20, width);
  auto const even = score(serial{}, x, s);
  for (offset_t t = 0; t < 20; ++t) CHECK(even.at(t, 0) == .5);

  numbers n(12);
  for (auto& v : s.mean.values) v = n.normal();
  for (auto& v : s.variance.values) v = .2 + n.unit();
  auto const u = score(serial{}, x, s);
  for (offset_t t = 0; t < 20; ++t) {
    double logit = 0;
    for (offset_t d = 0; d < width; ++d)
      logit += std::log(s.variance.at(0, d) / s.variance.at(1, d)) +
               std::pow(x.at(t, d) - s.mean.at(0, d), 2) / s.variance.at(0, d) -
               std::pow(x.at(t, d) - s.mean.at(1, d), 2) / s.variance.at(1, d);
    CHECK(u.at(t, 1) == doctest::Approx(1 / (1 + std::exp(-logit / width))).epsilon(1e-12));
  }
  for (offset_t d = 0; d < width; ++d) s.mean.at(0, d) = -100, s.mean.at(1, d) = 100;
  table<double> far(2, width, 100);
  for (offset_t d = 0; d < width; ++d) far.at(1, d) = -100;
  auto const apart = score(serial{}, far, s);
  CHECK(apart.at(0, 1) == 1.);
  CHECK(apart.at(1, 1) == 0.);
}

TEST_CASE("SMoES Gaussian score: doubling every dimension changes nothing (tau = D / 2)") {
  numbers n(13);
  gaussian_state<double> narrow(3, 4), twice(3, 8);
  narrow.known = twice.known = table<std::uint8_t>(1, 3, 1);
  table<double> const x = n.normals<double>(10, 4);
  table<double> xx(10, 8);
  for (index_t m = 0; m < 3; ++m)
    for (offset_t d = 0; d < 8; ++d) {
      if (d < 4) narrow.mean.at(m, d) = n.normal(), narrow.variance.at(m, d) = .5 + n.unit();
      twice.mean.at(m, d) = narrow.mean.at(m, d % 4), twice.variance.at(m, d) = narrow.variance.at(m, d % 4);
    }
  for (offset_t t = 0; t < 10; ++t)
    for (offset_t d = 0; d < 8; ++d) xx.at(t, d) = x.at(t, d % 4);
  auto const a = score(serial{}, x, narrow), b = score(serial{}, xx, twice);
  for (std::size_t i = 0; i < a.values.size(); ++i) CHECK(a.values[i] == doctest::Approx(b.values[i]).epsilon(1e-12));
  for (offset_t t = 0; t < 10; ++t) CHECK(a.at(t, 0) + a.at(t, 1) + a.at(t, 2) == doctest::Approx(1.));
}

TEST_CASE("SMoES Gaussian score: until a modality was seen, the label stands in; without labels, even") {
  gaussian_state<float> s(2, 3);
  s.known.at(0, 0) = 1;
  auto const x = numbers(14).normals<float>(4, 3);
  auto const labeled = score(serial{}, x, s, {1, 0, 1, 1});
  CHECK(labeled.at(0, 1) == 1.f);
  CHECK(labeled.at(1, 1) == 0.f);
  CHECK(score(serial{}, x, s).at(2, 0) == .5f);
}

TEST_CASE("SMoES Gaussian: every group the same bits; bad parameters are named") {
  auto const x = numbers(15).normals<float>(600, 7, 3);
  auto const label = labels(600, 2, 16);
  same_everywhere([&](auto const& on) { return moments_of(on, x, label, 2).values; });
  same_everywhere([&](auto const& on) {
    gaussian_state<float> s(2, 7);
    auto const m = moments_of(serial{}, x, label, 2);
    update_gaussians(on, {}, m.seen(), s.view(), memory(on.workspace_bytes(0)));
    auto out = score(on, x, s).values;
    out.insert(out.end(), s.variance.values.begin(), s.variance.values.end());
    return out;
  });
  gaussian_state<double> s(2, 7);
  table<wide_sum> const m(2, moment_columns(7));
  CHECK(try_update_gaussians(serial{}, gaussian_ema{.beta = 1}, m.seen(), s.view(), {}).code == errc::bad_value);
  CHECK(try_update_gaussians(serial{}, gaussian_ema{}, table<wide_sum>(2, 3).seen(), s.view(), {}).code ==
        errc::bad_shape);
}
