// Decides whether the frozen projection is exactly sparse, and FlyLoRA chooses by magnitude through it.
#include <cmath>

#include <moeroute/gate/sparse_projection.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S067 FlyLoRA: exact row sparsity, logits are A x, the gradient is A^T d") {
  drawn_projection const a(12, 40, .25, 3);
  auto const gate = a.gate();
  CHECK(gate.place.cols == 10);
  std::vector<double> dense(12 * 40);
  for (offset_t e = 0; e < 12; ++e)
    for (offset_t i = 0; i < 10; ++i) {
      if (i > 0) CHECK(gate.place[e][i] > gate.place[e][i - 1]);
      dense[static_cast<std::size_t>(e * 40 + gate.place[e][i])] = static_cast<double>(gate.value[e][i]);
    }
  auto const x = normal_numbers(5 * 40, 1), d = normal_numbers(5 * 12, 2);
  std::vector<double> y(60), d_x(200);
  REQUIRE(gate(serial{}, matrix_view<double const>{x.data(), 5, 40}, matrix_view<double>{y.data(), 5, 12}, {}).ok());
  REQUIRE(
      gate.backward(serial{}, matrix_view<double const>{d.data(), 5, 12}, matrix_view<double>{d_x.data(), 5, 40}, {})
          .ok());
  for (std::size_t t = 0; t < 5; ++t) {
    for (std::size_t e = 0; e < 12; ++e) {
      double sum = 0;
      for (std::size_t i = 0; i < 40; ++i) sum += dense[40 * e + i] * x[40 * t + i];
      CHECK(y[12 * t + e] == doctest::Approx(sum).epsilon(1e-9));
    }
    for (std::size_t i = 0; i < 40; ++i) {
      double sum = 0;
      for (std::size_t e = 0; e < 12; ++e) sum += dense[40 * e + i] * d[12 * t + e];
      CHECK(d_x[40 * t + i] == doctest::Approx(sum).epsilon(1e-9));
    }
  }
  CHECK_THROWS_AS(drawn_projection(4, 10, .01, 1), error);
}

TEST_CASE("S067 FlyLoRA: large negative values are chosen, the bias moves the choice and never the weight") {
  std::vector<double> const y{-5, 1, 2, .5};
  std::vector<double> const bias{0, 0, 0, 9};
  router const r{.score = identity{}, .bias = correction_bias<double>{bias}, .select = magnitude_top_k<>{2}};
  auto const out = run(r, y, 4);
  CHECK(out.ids == std::vector<index_t>{3, 0});
  CHECK(out.weights == std::vector<double>{.5, -5});
}

namespace {
struct magnitude {  // |y|: with it the bias acts as |y| + b
  template <class V>
  V operator()(V y) const {
    return y < V(0) ? -y : y;
  }
};
}  // namespace

// |y + b| grows with b of either sign, so the sign rule cannot balance it; of the three published forms |y| + b can.
TEST_CASE("S067 FlyLoRA: loads come to k / r on skewed data when |y| + b ranks and b follows the missing share") {
  drawn_projection const a(8, 32, .25, 5);
  auto x = normal_numbers(400 * 32, 7);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= i % 32 < 8 ? 4 : 1;  // some directions are much louder
  std::vector<double> y(400 * 8), bias(8);
  REQUIRE(
      a.gate()(serial{}, matrix_view<double const>{x.data(), 400, 32}, matrix_view<double>{y.data(), 400, 8}, {}).ok());
  router const r{.score = magnitude{}, .bias = correction_bias<double>{bias}, .select = top_k<>{2}};
  auto const worst = [&](double rate) {
    auto const out = run(r, y, 8);
    std::vector<double> load(8);
    for (index_t const e : out.ids) load[static_cast<std::size_t>(e)] += 1. / 400;
    double most = 0;
    for (std::size_t e = 0; e < 8; ++e) {
      most = std::fmax(most, std::fabs(load[e] - .25));
      bias[e] += rate * ((load[e] < .25) - (load[e] > .25));
    }
    return most;
  };
  double const before = worst(0);
  for (int step = 0; step < 600; ++step) worst(step < 400 ? .002 : .0005);
  CHECK(worst(0) < before / 3);
}
