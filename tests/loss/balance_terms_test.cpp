// Decides whether importance, smooth load, entropy, L1 and masked balance terms are right: promise P14 and
// the values that can be written down.
#include "promise14.hpp"

#include <moeroute/loss/balanced_l1.hpp>
#include <moeroute/loss/cv_squared.hpp>
#include <moeroute/loss/entropy.hpp>
#include <moeroute/loss/masked_balance.hpp>
#include <moeroute/loss/smooth_load.hpp>
#include <moeroute/loss/switch_balance.hpp>

using namespace p14;

namespace {
auto const plain = router<>{};
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
  tokens<double> t{n, experts, 1, std::vector<double>(static_cast<std::size_t>(n * experts)), {}, {}, {}, {}};
  for (offset_t i = 0; i < n; ++i)
    t.ids.push_back(static_cast<index_t>(i % experts)), t.sequence.push_back(0), t.modality.push_back(0);
  return t;
}
}  // namespace

TEST_CASE("promise P14: CV^2 of the importance, ddof 0 and 1, softmax and sigmoid") {
  check(terms{importance_cv{.alpha = .5}, importance_cv{.alpha = .5, .ddof = 1, .eps = 1e-10}}, plain, sample(27, 8, 2, 3));
}
TEST_CASE("promise P14: CV^2 of the importance on sigmoid scores") {
  check(importance_cv{}, by_sigmoid, sample(27, 5, 2, 3));
}
TEST_CASE("CV^2: 0 and a finite, zero gradient at perfect balance and without mass (vmoe #218)") {
  auto const t = flat(6, 4);
  auto const s = sums_of(serial{}, importance_cv{}, plain, t);
  CHECK(loss_value(importance_cv{}, 4, s) == 0);
  for (double d : gradient_of(serial{}, importance_cv{}, plain, t, s)) CHECK(d == 0);
  auto closed = t;
  for (double& z : closed.logits) z = -infinity<double>;
  CHECK(value_of(importance_cv{}, plain, closed) == 0);
  CHECK(value_of(importance_cv{}, plain, sample(64, 8, 1, 5)) > value_of(importance_cv{}, plain, sample(64, 8, 1, 0)));
}
TEST_CASE("promise P14: smooth load by Gaussian noise (V-MoE), gradient through the threshold") {
  check(smooth_load_cv<double>{.sigma = .5, .k = 3}, plain, sample(25, 8, 2));
  auto const whole = sample(25, 8, 2);  // noise belongs to rows, so shards are tested without
  auto const n = noise_for(whole, .5);
  CHECK(gradient_error(smooth_load_cv<double>{.noise = {n.data(), 25, 8}, .sigma = .5, .k = 2}, plain, whole, 1e-6) < 1e-6);
  CHECK(gradient_error(smooth_load_cv<double>{.noise = {n.data(), 25, 8}, .sigma = .5, .k = 2, .ddof = 1, .eps = 1e-10, .of_scores = true},
                       plain, whole, 1e-6) < 1e-6);
}
TEST_CASE("smooth load: k of E experts, summed over experts, is near k a token when the noise is small") {
  auto const t = sample(40, 8, 2);
  auto const s = sums_of(serial{}, smooth_load_cv<double>{.sigma = 1e-3, .k = 2}, plain, t);
  double sum = 0;
  for (auto const& x : s) sum += x.value();
  CHECK(sum == doctest::Approx(40 * 1.5).epsilon(.01));  // the threshold expert itself counts one half
}
TEST_CASE("promise P14: token entropy, Shannon and Tsallis, softmax and sigmoid") {
  check(terms{token_entropy{.alpha = .5}, token_entropy{.alpha = .5, .q = 1.1, .relative = true},
              token_entropy{.alpha = -.25, .q = 2, .by = segment_by::modality, .only = 1}},
        plain, sample(27, 8, 2));
}
TEST_CASE("promise P14: token entropy of sigmoid scores") { check(token_entropy{.alpha = 1}, by_sigmoid, sample(19, 6, 2)); }
TEST_CASE("S061: Tsallis entropy is in [0, 1], 1 at uniform, 0 at one-hot, continuous at q = 1; the shifted form is not") {
  auto t = flat(1, 8);
  for (double q : {.5, 1., 1.0001, 1.1, 2.}) {
    token_entropy const term{.alpha = 1, .q = q, .relative = true};
    t.logits.assign(8, 0);
    CHECK(value_of(term, plain, t) == doctest::Approx(1).epsilon(1e-12));
    t.logits[3] = 800;
    CHECK(value_of(term, plain, t) == doctest::Approx(0));
  }
  t.logits = {2, 1, .5, 0, 0, -.5, -1, -1};
  double const at_one = value_of(token_entropy{.alpha = 1, .relative = true}, plain, t);
  CHECK(value_of(token_entropy{.alpha = 1, .q = 1.0001, .relative = true}, plain, t) == doctest::Approx(at_one).epsilon(1e-4));
  CHECK(std::fabs(value_of(token_entropy{.alpha = 1, .q = 1.0001, .relative = true, .shift = 1e-5}, plain, t) - at_one) > .1);
}
TEST_CASE("promise P14: usage entropy per modality with a threshold, and without (P34 LIMoE)") {
  check(terms{usage_entropy{.alpha = .5, .threshold = 2, .by = segment_by::modality, .segments = 2}, usage_entropy{.alpha = .25}},
        plain, sample(27, 8, 2, 3));
}
TEST_CASE("P34 LIMoE: uniform usage gives -log E, one-hot tokens local 0, the hinge is inactive above tau") {
  auto const t = flat(5, 8);
  CHECK(value_of(usage_entropy{.alpha = 1}, plain, t) == doctest::Approx(-std::log(8.)).epsilon(1e-14));
  usage_entropy const hinge{.alpha = 1, .threshold = 1.5};
  CHECK(value_of(hinge, plain, t) == 0);
  for (double d : gradient_of(serial{}, hinge, plain, t, sums_of(serial{}, hinge, plain, t))) CHECK(d == 0);
  auto sharp = t;
  for (std::size_t i = 0; i < 5; ++i) sharp.logits[8 * i] = 900;
  CHECK(value_of(token_entropy{.alpha = 1}, plain, sharp) == 0);
  CHECK(value_of(hinge, plain, sharp) == doctest::Approx(1.5));
}
TEST_CASE("promise P14: load-balanced L1 of ReLU scores (S096 ReMoE)") {
  check(terms{balanced_l1{.lambda = .5, .k = 2}, balanced_l1{.lambda = .1, .balanced = false}}, by_relu, sample(27, 8, 2), 1e-6);
}
TEST_CASE("S096: zero logits are not active; the controller multiplies below the target and divides else") {
  tokens<double> t{2, 4, 1, {1, 0, -1, 2, 0, 0, 0, 3}, {0, 3}, {0, 0}, {0, 0}, {}};
  balanced_l1 const term{.lambda = 1, .k = 1};
  auto const s = sums_of(serial{}, term, by_relu, t);
  CHECK(term.sparsity(4, s) == 1 - 3. / 8);
  CHECK(loss_value(term, 4, s) == doctest::Approx(4. / (1 * 4) * (1 * 1 + 2 * 5)));
  sparsity_controller const c{.multiplier = 2, .target = .75};
  CHECK(c.next(1, .7) == 2);
  CHECK(c.next(1, .75) == .5);
}
TEST_CASE("promise P14: masked balance (S061 DynMoLE)") {
  check(masked_balance{.alpha = .5}, plain, sample(27, 8, 3));
}
TEST_CASE("masked balance: the plain product where everybody is kept") {
  auto t = flat(6, 4);
  t.k = 4;
  t.ids.clear();
  for (int i = 0; i < 6; ++i)
    for (index_t e = 0; e < 4; ++e) t.ids.push_back(e);
  CHECK(value_of(masked_balance{.alpha = 1}, plain, t) == doctest::Approx(1).epsilon(1e-14));
}
TEST_CASE("S042 SMILE: two Switch losses, one over nodes and one over local experts, each its coefficient at balance") {
  auto const nodes = flat(16, 4), local = flat(16, 8);
  double const both_levels = value_of(switch_balance{.alpha = .3}, plain, nodes) + value_of(switch_balance{.alpha = .2}, plain, local);
  CHECK(both_levels == doctest::Approx(.5).epsilon(1e-14));
}
