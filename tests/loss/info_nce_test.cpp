// Decides whether InfoNCE over task gates (S035 T2MIR) is right, by central differences.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/info_nce.hpp>

#include "support/differences.hpp"

using namespace p14;
using namespace differences;

TEST_CASE("promise P14: InfoNCE over task gates (S035, S154 T2MIR)") {
  auto a = normals(12, 1), w = normals(9, 2);
  auto const b = normals(12, 3);
  std::vector<double> da(12), dw(9);
  auto const of = [&](double* pa, double* pw) {
    return info_nce{.alpha = 2}({a.data(), 4, 3}, {b.data(), 4, 3}, {w.data(), 3, 3},
                                pa == nullptr ? matrix_view<double>{} : matrix_view<double>(pa, 4, 3),
                                pw == nullptr ? matrix_view<double>{} : matrix_view<double>(pw, 3, 3));
  };
  of(da.data(), dw.data());
  CHECK(difference_error(a, da, [&] { return of(nullptr, nullptr); }) < 1e-6);
  CHECK(difference_error(w, dw, [&] { return of(nullptr, nullptr); }) < 1e-6);
  for (std::size_t i = 3; i < 12; ++i) a[i] = a[i % 3];
  std::vector<double> same = a;
  CHECK(info_nce{}({a.data(), 4, 3}, {same.data(), 4, 3}, {w.data(), 3, 3}) == doctest::Approx(std::log(4.)));
  std::vector<double> const apart{1, 0, 0, 1}, strong{50, 0, 0, 50};
  CHECK(info_nce{}({apart.data(), 2, 2}, {apart.data(), 2, 2}, {strong.data(), 2, 2}) < 1e-12);
  std::vector<double> target{0, 1}, online{1, 1};
  ema_copy{.rate = .25}(row_view<double const>(online), row_view<double>(target));
  CHECK(target == std::vector<double>{.25, 1});
}
