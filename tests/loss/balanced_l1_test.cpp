// Decides whether ReMoE's balanced L1 and its controller are right: promise P14 and known values.
#include "promise14.hpp"

#include <moeroute/loss/balanced_l1.hpp>

using namespace p14;

namespace {
auto const by_relu = router<no_gate, no_prior, relu>{};
}  // namespace

TEST_CASE("promise P14: load-balanced L1 of ReLU scores (S096 ReMoE)") {
  check(terms{balanced_l1{.lambda = .5, .k = 2}, balanced_l1{.lambda = .1, .balanced = false}}, by_relu,
        sample(27, 8, 2), 1e-6);
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
