// Decides whether slot logits are dot products, or scaled cosines where normalized.
#include <cmath>

#include <moeroute/soft/slot_logits.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S088 slot logits: plain dots, and cosines that ignore the lengths") {
  auto x = normal_numbers(6, 1), phi = normal_numbers(12, 2);
  std::vector<double> out(8), again(8);
  auto const run_it = [&](slot_logits how, std::vector<double>& to) {
    compute_slot_logits(serial{}, how, matrix_view<double const>{x.data(), 2, 3},
                        matrix_view<double const>{phi.data(), 3, 4}, matrix_view<double>{to.data(), 2, 4});
  };
  run_it({}, out);
  for (std::size_t t = 0; t < 2; ++t)
    for (std::size_t s = 0; s < 4; ++s) {
      double dot = 0;
      for (std::size_t i = 0; i < 3; ++i) dot += x[3 * t + i] * phi[4 * i + s];
      CHECK(out[4 * t + s] == doctest::Approx(dot).epsilon(1e-12));
    }
  slot_logits const cosine{.normalized = true, .scale = 2, .epsilon = 0};
  run_it(cosine, out);
  for (auto& v : x) v *= 7;
  for (auto& v : phi) v *= 3;
  run_it(cosine, again);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(again[i] == doctest::Approx(out[i]).epsilon(1e-12));
    CHECK(std::fabs(out[i]) <= 2.000001);
  }
  CHECK(!try_slot_logits(serial{}, cosine, matrix_view<double const>{x.data(), 2, 3},
                         matrix_view<double const>{phi.data(), 4, 3}, matrix_view<double>{out.data(), 2, 3})
             .ok());
}
