#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/grpo/entropy.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

namespace {

struct answer {
  std::vector<double> h, d;
};
template <class X, class Prior>
answer entropy(X const& x, Prior const& prior, route_measure m, std::vector<double> const& z, offset_t experts,
               std::vector<double> const& d) {
  offset_t const tokens = static_cast<offset_t>(z.size()) / experts;
  answer a{std::vector<double>(static_cast<std::size_t>(tokens), 9.), std::vector<double>(z.size(), 0.)};
  std::vector<std::byte> space(
      static_cast<std::size_t>(route_log_prob_workspace_bytes<X, double>(x, m, static_cast<index_t>(experts), 0)),
      std::byte{0xff});
  gate_entropy(x, prior, m, batch<double>{.logits = {z.data(), tokens, experts}}, row_view<double>(a.h),
               workspace(space), row_view<double const>(d), matrix_view<double>{a.d.data(), tokens, experts});
  return a;
}

}  // namespace

TEST_CASE("entropy: of the gate in nats, with its gradient, closed experts left out") {
  auto const raw = inputs::normal(8, 3, 2);
  std::vector<double> const z(raw.begin(), raw.end());
  std::vector<std::uint8_t> const open{1, 0, 1, 1, 1, 1, 1, 0};
  expert_mask const prior{row_view<std::uint8_t const>(open)};
  route_measure const m{.temperature = 1.5f};
  auto const a = entropy(serial{}, prior, m, z, 8, {2.});
  reference::row inside;
  for (std::size_t e = 0; e < 8; ++e)
    if (open[e] != 0) inside.push_back(z[e] / 1.5);
  double want = 0;
  for (double const p : reference::softmax(inside)) want -= p * std::log(p);
  CHECK(a.h[0] == doctest::Approx(want).epsilon(1e-13));
  auto const g = reference::gradient(
      [&](reference::row const& x) { return 2 * entropy(serial{}, prior, m, x, 8, {2.}).h[0]; }, z, 1e-5);
  for (std::size_t e = 0; e < 8; ++e) CHECK(std::fabs(a.d[e] - g[e]) < 1e-6);
  CHECK(a.d[1] == 0);
}

TEST_CASE("entropy: log n for equal logits, 0 for one open expert and for none") {
  CHECK(entropy(serial{}, no_prior{}, {}, std::vector<double>(8, 3.), 8, {1.}).h[0] == doctest::Approx(std::log(8.)));
  double const inf = infinity<double>;
  auto const a = entropy(serial{}, no_prior{}, {}, {-inf, 2, -inf, -inf, -inf, -inf}, 3, {1., 1.});
  CHECK(a.h == std::vector<double>{0, 0});
  for (double const d : a.d) CHECK(d == 0);
}

TEST_CASE("entropy: the same bits for every lane group") {
  auto const raw = inputs::normal(33, 3, 2);
  std::vector<double> const z(raw.begin(), raw.end());
  auto const want = entropy(serial{}, no_prior{}, {}, z, 11, {1., 2., -1.});
  auto const same = [&](auto const& x) {
    auto const got = entropy(x, no_prior{}, {}, z, 11, {1., 2., -1.});
    CHECK(run::same_bits(got.h, want.h));
    CHECK(run::same_bits(got.d, want.d));
  };
  same(lockstep{3});
  same(lockstep_lanes::warp<lockstep_lanes::words<8>>{});
}
