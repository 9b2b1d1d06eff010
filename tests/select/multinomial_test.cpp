#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/router.hpp>
#include <moeroute/select/multinomial.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

TEST_CASE("multinomial: given numbers walk the cumulative softmax; an expert may come twice") {
  std::vector<float> const z{0, std::log(3.f), -infinity<float>, 0};  // 1/5, 3/5, 0, 1/5
  std::vector<double> const u{.1, .21, .79, .81};
  router const r{.select = multinomial<index_t, given_noise<double>>{4, 1, {{u.data(), 1, 4}}}};
  auto const got = run::route(serial{}, r, z, 4);
  CHECK(got.ids == std::vector<index_t>{0, 1, 1, 3});
}

TEST_CASE("multinomial: frequencies match softmax(z / t) in every place (chi-square, fixed seed)") {
  std::vector<float> const row{.9f, -.4f, 0.f, -1.3f, .3f};
  std::size_t const n = 100000;
  std::vector<float> z;
  for (std::size_t t = 0; t < n; ++t) z.insert(z.end(), row.begin(), row.end());
  auto const got = run::route(serial{}, router{.select = multinomial{.k = 3, .temperature = 2.f}}, z, 5);
  reference::row half(row.begin(), row.end());
  for (auto& x : half) x /= 2;
  auto const p = reference::softmax(half);
  for (std::size_t j = 0; j < 3; ++j) {
    double chi = 0;
    std::vector<double> seen(5);
    for (std::size_t t = 0; t < n; ++t) seen[static_cast<std::size_t>(got.id(t, j))] += 1;
    for (std::size_t e = 0; e < 5; ++e) {
      double const want = static_cast<double>(n) * p[e];
      chi += (seen[e] - want) * (seen[e] - want) / want;
    }
    CHECK(chi < 18.5);  // 0.1 % point with 4 degrees of freedom
  }
}

TEST_CASE("multinomial: the same draws for every lane group; rows without an open expert draw nobody") {
  for (auto const& row : inputs::adversarial(11)) {
    router const r{.select = multinomial{.k = 4}};
    auto const got = run::route(serial{}, r, row, 11);
    CHECK(run::route(lockstep{3}, r, row, 11).ids == got.ids);
    CHECK(run::route(threads{2}, r, row, 11).ids == got.ids);
    CHECK(run::route(lockstep_lanes::warp<lockstep_lanes::words<4>>{}, r, row, 11).ids == got.ids);
    for (index_t const id : got.ids) {
      bool const open = id != no_expert && row[static_cast<std::size_t>(id)] > -infinity<float>;
      bool any = false;
      for (float const x : row) any = any || x > -infinity<float>;
      CHECK(open == any);
    }
  }
}
