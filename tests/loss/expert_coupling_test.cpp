// Decides whether expert-router coupling (S150) is right, by central differences and closed values.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/loss/expert_coupling.hpp>

#include "support/differences.hpp"

using namespace moeroute;
using namespace differences;

namespace {
struct coupling {
  index_t E = 5;
  offset_t D = 4, W = 3;
  std::vector<double> router = normals(20, 1), delta = normals(20, 2), gate = normals(60, 3);
  std::vector<double> m = std::vector<double>(25), d_router = std::vector<double>(20), d_gate = std::vector<double>(60);
  double loss = -1;
  template <class X>
  double run(X const& x, double alpha, bool gradients) {
    matrix_view<double> const none;
    expert_coupling_loss(x, expert_coupling{.alpha = alpha, .lambda = 2},
                         matrix_view<double const>(router.data(), E, D), matrix_view<double const>(delta.data(), E, D),
                         matrix_view<double const>(gate.data(), E * D, W), matrix_view<double>(m.data(), E, E), &loss,
                         gradients ? matrix_view<double>(d_router.data(), E, D) : none,
                         gradients ? matrix_view<double>(d_gate.data(), E * D, W) : none, workspace(memory()));
    return loss;
  }
};
}  // namespace

TEST_CASE("promise P14: expert-router coupling (S150): gradients to the router and the gates, lockstep") {
  for (double alpha : {0., .5, 1.}) {
    coupling c;
    double const loss = c.run(serial{}, alpha, true);
    auto const dr = c.d_router, dg = c.d_gate, m = c.m;
    CHECK(difference_error(c.router, dr, [&] { return c.run(serial{}, alpha, false); }) < 1e-6);
    CHECK(difference_error(c.gate, dg, [&] { return c.run(serial{}, alpha, false); }) < 1e-6);
    for (index_t lanes : {2, 3}) {
      coupling other;
      CHECK(other.run(lockstep{lanes}, alpha, true) == loss);
      CHECK(other.d_router == dr);
      CHECK(other.d_gate == dg);
      CHECK(other.m == m);
    }
  }
}

TEST_CASE("S150: 0 where the own expert answers loudest, every off-diagonal counts at alpha 0") {
  coupling c;
  c.E = 2, c.D = 2, c.W = 1;
  c.router = {1, 0, 0, 1}, c.delta.assign(4, 1), c.gate = {3, 1, 1, 3}, c.m.resize(4);
  CHECK(c.run(serial{}, 1, false) == 0);
  CHECK(c.m == std::vector<double>{3, 1, 1, 3});
  CHECK(c.run(serial{}, 0, false) == doctest::Approx(2 * (4 * 1.) / 4));
}

TEST_CASE("S150: the noise bound is half the ratio to the nearest row, 0 for twins; draws stay inside") {
  std::vector<double> r{3, 4, 0, 0, 3, 4, 6, 8}, eps(4);
  std::vector<index_t> near(4);
  matrix_view<double const> const rows(r.data(), 4, 2);
  CHECK(try_expert_coupling_noise_bound(serial{}, rows, row_view<double>(eps), row_view<index_t>(near)).ok());
  CHECK(eps[0] == 0);  // row 2 is its twin
  CHECK(near[0] == 2);
  CHECK(eps[1] == 0);  // a zero row has no direction to move in
  CHECK(eps[3] == doctest::Approx(5. / 20));
  std::vector<double> again(4);
  CHECK(try_expert_coupling_noise_bound(lockstep{3}, rows, row_view<double>(again)).ok());
  CHECK(again == eps);
  std::vector<float> delta(4 * 50), other(4 * 50);
  draws const noise{.seed = 1, .step = 2};
  CHECK(try_expert_coupling_noise(serial{}, row_view<double const>(eps), noise, matrix_view<float>(delta.data(), 4, 50))
            .ok());
  CHECK(try_expert_coupling_noise(lockstep{3}, row_view<double const>(eps), noise,
                                  matrix_view<float>(other.data(), 4, 50))
            .ok());
  CHECK(delta == other);
  bool inside = true, moved = false;
  for (std::size_t i = 0; i < 50; ++i) {
    inside = inside && delta[i] == 1.f && std::fabs(delta[150 + i] - 1.f) <= .25f;
    moved = moved || std::fabs(delta[150 + i] - 1.f) > .2f;
  }
  CHECK(inside);
  CHECK(moved);
}
