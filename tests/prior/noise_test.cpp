#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/prior/noise.hpp>
#include <moeroute/router.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

TEST_CASE("P33 V-MoE: choice and weight from softmax(z + n / E)") {
  auto const z = inputs::normal(5 * 8, 1), n = inputs::normal(5 * 8, 2);
  given_noise<> const given{{n.data(), 5, 8}};
  router const r{.prior = gaussian_noise<given_noise<>>{.deviation = 1, .source = given}, .select = top_k{2}};
  auto const got = run::route(serial{}, r, z, 8);
  for (std::size_t t = 0; t < 5; ++t) {
    reference::row x(8);
    for (std::size_t e = 0; e < 8; ++e)
      x[e] = static_cast<double>(z[t * 8 + e]) + static_cast<double>(n[t * 8 + e]) / 8;
    auto const want = reference::top_k(x, reference::softmax(x), 2);
    for (std::size_t j = 0; j < 2; ++j) {
      CHECK(got.id(t, j) == want.id[j]);
      CHECK(static_cast<double>(got.weight(t, j)) == doctest::Approx(want.weight[j]).epsilon(1e-5));
    }
  }
}

TEST_CASE(
    "S178 Shazeer et al.: z + n (softplus(r) + epsilon), softmax over the chosen, and the slope of the second gate") {
  auto const z = inputs::normal(4 * 6, 3), n = inputs::normal(4 * 6, 4), q = inputs::normal(4 * 6, 5);
  learned_noise<given_noise<>> const noise{{q.data(), 4, 6}, 1e-2f, {{n.data(), 4, 6}}};
  auto const got = run::route(
      serial{}, router{.prior = noise, .score = identity{}, .select = top_k{3}, .weigh = softmax_over_chosen{}}, z, 6);
  for (std::size_t t = 0; t < 4; ++t) {
    reference::row x(6);
    for (std::size_t e = 0; e < 6; ++e)
      x[e] = static_cast<double>(z[t * 6 + e]) +
             static_cast<double>(n[t * 6 + e]) *
                 (reference::softplus(static_cast<double>(q[t * 6 + e])) + static_cast<double>(1e-2f));
    auto const want = reference::top_k(x, x, 3);
    auto const w = reference::softmax(want.weight);
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(got.id(t, j) == want.id[j]);
      CHECK(static_cast<double>(got.weight(t, j)) == doctest::Approx(w[j]).epsilon(1e-5));
    }
  }
  row_context const c{.token = 1, .row = 1};
  double const slope = noise.derivative_of_noise_logit<double>(c, 2);
  CHECK(slope == doctest::Approx(static_cast<double>(n[8]) * reference::sigmoid(static_cast<double>(q[8]))));
}

TEST_CASE("jitter: within 1 +- epsilon, with its slope, and on hidden states") {
  std::vector<float> const ones(600, 1.f);
  auto const jittered = [&](auto const& x, std::vector<offset_t> const& names) {
    std::vector<float> out(600, 9.f);
    input_jitter(x, logit_jitter<>{.epsilon = .1f}, matrix_view<float const>{ones.data(), 20, 30},
                 row_view<offset_t const>(names), matrix_view<float>{out.data(), 20, 30});
    return out;
  };
  auto const a = jittered(serial{}, {});
  double mean = 0;
  for (float const x : a) {
    CHECK(std::fabs(x - 1.f) < .1001f);
    mean += static_cast<double>(x) / 600;
  }
  CHECK(mean == doctest::Approx(1).epsilon(.01));
  CHECK(run::same_bits(jittered(lockstep{3}, {}), a));
  std::vector<offset_t> names(20);
  for (std::size_t i = 0; i < 20; ++i) names[i] = static_cast<offset_t>(19 - i);
  auto const b = jittered(serial{}, names);
  for (std::size_t i = 0; i < 20; ++i)
    for (std::size_t j = 0; j < 30; ++j) CHECK(b[i * 30 + j] == a[(19 - i) * 30 + j]);
  // A router's gradient passes through the jitter of its logits.
  auto const raw = inputs::normal(6, 9);
  std::vector<double> const z(raw.begin(), raw.end()), d{1., -.5};
  router const r{.prior = logit_jitter<>{.epsilon = .3f}, .select = top_k{2}};
  auto const ids = run::route(serial{}, r, z, 6).ids;
  auto const got = run::route_backward(serial{}, r, z, 6, ids, d);
  auto const want = reference::gradient(
      [&](reference::row const& x) {
        auto const w = run::route(serial{}, r, x, 6).weights;
        return d[0] * w[0] + d[1] * w[1];
      },
      z, 1e-6);
  for (std::size_t e = 0; e < 6; ++e) CHECK(std::fabs(got[e] - want[e]) < 1e-6);
}

TEST_CASE("promise P20: noise depends on (seed, step, token, expert), not on batch, order or lanes") {
  auto const z = inputs::normal(12 * 8, 7);
  router const r{.prior = gaussian_noise<>{.deviation = 2, .source = {{.seed = 5, .step = 9}}}, .select = top_k{3}};
  auto const all = run::route(serial{}, r, z, 8);
  CHECK(run::route(lockstep{3}, r, z, 8).ids == all.ids);
  CHECK(run::same_bits(run::route(lockstep_lanes::warp<lockstep_lanes::words<8>>{}, r, z, 8).weights, all.weights));
  CHECK(run::same_bits(run::route(threads{2}, r, z, 8).weights, all.weights));
  std::vector<offset_t> const name{11, 4};
  std::vector<float> some(z.begin() + 88, z.end());
  some.insert(some.end(), z.begin() + 32, z.begin() + 40);
  batch<> in;
  in.token = row_view<offset_t const>(name);
  auto const two = run::route(serial{}, r, some, 8, in);
  for (std::size_t j = 0; j < 3; ++j) {
    CHECK(two.id(0, j) == all.id(11, j));
    CHECK(two.id(1, j) == all.id(4, j));
  }
}

TEST_CASE("promise P17: noise names what does not fit") {
  std::vector<float> const q(8);
  CHECK(std::string(message(validate(router{.prior = learned_noise<>{.noise_logits = {q.data(), 2, 4}}}, 6)).c_str()) ==
        "moeroute: noise.noise_logits columns = 4 must be 6");
}
