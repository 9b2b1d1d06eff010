// Decides what counts as a loss term and what does not, and that terms joined are terms.
#include <doctest/doctest.h>

#include <moeroute/bias.hpp>
#include <moeroute/loss/term.hpp>
#include <moeroute/loss/z_loss.hpp>

using namespace moeroute;

namespace {
struct without_gradient {
  using is_regularizer = void;
};
}  // namespace

static_assert(loss_term<z_loss> && statistic<z_loss>);
static_assert(loss_term<terms<z_loss>> && loss_term<terms<z_loss, z_loss>>);
static_assert(!loss_term<int> && !loss_term<softmax> && !loss_term<no_bias>);
static_assert(!loss_term<without_gradient> && !statistic<without_gradient>);

TEST_CASE("terms: the sums of joined terms stand side by side") {
  index_t const experts = 6;
  auto const one = z_loss{}.sums(experts);
  CHECK(one > 0);
  CHECK(terms{z_loss{}, z_loss{.alpha = 2}}.sums(experts) == 2 * one);
}
