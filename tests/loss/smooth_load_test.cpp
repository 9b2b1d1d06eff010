// Decides whether the smooth load (V-MoE) is right: promise P14 and its sum over experts.
#include "promise14.hpp"

#include <moeroute/loss/smooth_load.hpp>

using namespace p14;

namespace {
std::vector<double> noise_for(tokens<double> const& t, double sigma) {
  std::mt19937 rng(11);
  std::normal_distribution<double> normal(0, sigma);
  std::vector<double> n(t.logits.size());
  for (double& x : n) x = normal(rng);
  return n;
}
}  // namespace

TEST_CASE("promise P14, S180 M3ViT: smooth load by Gaussian noise (V-MoE), gradient through the threshold") {
  check(smooth_load_cv<double>{.sigma = .5, .k = 3}, by_softmax, sample(25, 8, 2));
  auto const whole = sample(25, 8, 2);  // noise belongs to rows, so shards are tested without
  auto const n = noise_for(whole, .5);
  CHECK(gradient_error(smooth_load_cv<double>{.noise = {n.data(), 25, 8}, .sigma = .5, .k = 2}, by_softmax, whole,
                       1e-6) < 1e-6);
  CHECK(gradient_error(
            smooth_load_cv<double>{
                .noise = {n.data(), 25, 8}, .sigma = .5, .k = 2, .ddof = 1, .eps = 1e-10, .of_scores = true},
            by_softmax, whole, 1e-6) < 1e-6);
}

TEST_CASE("smooth load: k of E experts, summed over experts, is near k a token when the noise is small") {
  auto const t = sample(40, 8, 2);
  auto const s = sums_of(serial{}, smooth_load_cv<double>{.sigma = 1e-3, .k = 2}, by_softmax, t);
  double sum = 0;
  for (auto const& x : s) sum += x.value();
  CHECK(sum == doctest::Approx(40 * 1.5).epsilon(.01));  // the threshold expert itself counts one half
}
