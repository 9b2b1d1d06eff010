// Decides whether importance, smooth load and L1 terms are right: promise P14 and
// the values that can be written down.
#include "promise14.hpp"

#include <moeroute/loss/balanced_l1.hpp>
#include <moeroute/loss/cv_squared.hpp>
#include <moeroute/loss/smooth_load.hpp>
#include <moeroute/loss/switch_balance.hpp>

using namespace p14;

namespace {
auto const by_softmax = router<>{};
auto const by_sigmoid = router<no_gate, no_prior, sigmoid>{};
auto const by_relu = router<no_gate, no_prior, relu>{};

std::vector<double> noise_for(tokens<double> const& t, double sigma) {
  std::mt19937 rng(11);
  std::normal_distribution<double> normal(0, sigma);
  std::vector<double> n(t.logits.size());
  for (double& x : n) x = normal(rng);
  return n;
}
tokens<double> flat(offset_t n, index_t experts) {
  tokens<double> t{n,  experts, 1,  std::vector<double>(static_cast<std::size_t>(n * experts)),
                   {}, {},      {}, {}};
  for (offset_t i = 0; i < n; ++i)
    t.ids.push_back(static_cast<index_t>(i % experts)), t.sequence.push_back(0),
        t.modality.push_back(0);
  return t;
}
}  // namespace

TEST_CASE("promise P14: CV^2 of the importance, ddof 0 and 1, softmax and sigmoid") {
  check(terms{importance_cv{.alpha = .5}, importance_cv{.alpha = .5, .ddof = 1, .eps = 1e-10}},
        by_softmax, sample(27, 8, 2, 3));
}

TEST_CASE("promise P14: CV^2 of the importance on sigmoid scores") {
  check(importance_cv{}, by_sigmoid, sample(27, 5, 2, 3));
}

TEST_CASE("CV^2: 0 and a finite, zero gradient at perfect balance and without mass (vmoe #218)") {
  auto const t = flat(6, 4);
  auto const s = sums_of(serial{}, importance_cv{}, by_softmax, t);
  CHECK(loss_value(importance_cv{}, 4, s) == 0);
  for (double d : gradient_of(serial{}, importance_cv{}, by_softmax, t, s)) CHECK(d == 0);
  auto closed = t;
  for (double& z : closed.logits) z = -infinity<double>;
  CHECK(value_of(importance_cv{}, by_softmax, closed) == 0);
  CHECK(value_of(importance_cv{}, by_softmax, sample(64, 8, 1, 5)) >
        value_of(importance_cv{}, by_softmax, sample(64, 8, 1, 0)));
}

TEST_CASE("promise P14: smooth load by Gaussian noise (V-MoE), gradient through the threshold") {
  check(smooth_load_cv<double>{.sigma = .5, .k = 3}, by_softmax, sample(25, 8, 2));
  auto const whole = sample(25, 8, 2);  // noise belongs to rows, so shards are tested without
  auto const n = noise_for(whole, .5);
  CHECK(gradient_error(smooth_load_cv<double>{.noise = {n.data(), 25, 8}, .sigma = .5, .k = 2},
                       by_softmax, whole, 1e-6) < 1e-6);
  CHECK(gradient_error(smooth_load_cv<double>{.noise = {n.data(), 25, 8},
                                              .sigma = .5,
                                              .k = 2,
                                              .ddof = 1,
                                              .eps = 1e-10,
                                              .of_scores = true},
                       by_softmax, whole, 1e-6) < 1e-6);
}

TEST_CASE(
    "smooth load: k of E experts, summed over experts, is near k a token when the noise is small") {
  auto const t = sample(40, 8, 2);
  auto const s = sums_of(serial{}, smooth_load_cv<double>{.sigma = 1e-3, .k = 2}, by_softmax, t);
  double sum = 0;
  for (auto const& x : s) sum += x.value();
  CHECK(sum ==
        doctest::Approx(40 * 1.5).epsilon(.01));  // the threshold expert itself counts one half
}

TEST_CASE("promise P14: load-balanced L1 of ReLU scores (S096 ReMoE)") {
  check(terms{balanced_l1{.lambda = .5, .k = 2}, balanced_l1{.lambda = .1, .balanced = false}},
        by_relu, sample(27, 8, 2), 1e-6);
}

TEST_CASE(
    "S096: zero logits are not active; the controller multiplies below the target and divides "
    "else") {
  tokens<double> t{2, 4, 1, {1, 0, -1, 2, 0, 0, 0, 3}, {0, 3}, {0, 0}, {0, 0}, {}};
  balanced_l1 const term{.lambda = 1, .k = 1};
  auto const s = sums_of(serial{}, term, by_relu, t);
  CHECK(term.sparsity(4, s) == 1 - 3. / 8);
  CHECK(loss_value(term, 4, s) == doctest::Approx(4. / (1 * 4) * (1 * 1 + 2 * 5)));
  sparsity_controller const c{.multiplier = 2, .target = .75};
  CHECK(c.next(1, .7) == 2);
  CHECK(c.next(1, .75) == .5);
}

TEST_CASE(
    "S042 SMILE: two Switch losses, one over nodes and one over local experts, each its "
    "coefficient at balance") {
  auto const nodes = flat(16, 4), local = flat(16, 8);
  double const both_levels = value_of(switch_balance{.alpha = .3}, by_softmax, nodes) +
                             value_of(switch_balance{.alpha = .2}, by_softmax, local);
  CHECK(both_levels == doctest::Approx(.5).epsilon(1e-14));
}
