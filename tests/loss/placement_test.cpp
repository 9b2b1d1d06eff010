// Decides whether locality, label cross-entropy and group variance are right: promise P14 and known values.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/placement.hpp>

using namespace p14;

namespace {
std::vector<index_t> const home{0, 0, 0, 0, 1, 1, 1, 1};
std::vector<std::uint8_t> const groups{1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
}  // namespace

TEST_CASE("promise P14: locality (S028), label cross-entropy (S146), group variance (S043)") {
  check(
      terms{locality{.mu = .5, .home = home, .devices = 2, .by = segment_by::modality},
            label_cross_entropy{.alpha = .5, .group = {groups.data(), 2, 8}}, group_variance{.alpha = 3, .groups = 2}},
      by_softmax, sample(27, 8, 2));
}

TEST_CASE("promise P14: the same on sigmoid scores") {
  check(
      terms{locality{.mu = .5, .home = home, .devices = 2, .by = segment_by::modality},
            label_cross_entropy{.alpha = .5, .group = {groups.data(), 2, 8}}, group_variance{.alpha = 3, .groups = 2}},
      by_sigmoid, sample(15, 8, 2));
}

TEST_CASE(
    "S028: 0 for a fully local assignment, positive otherwise; S146: -ln of the group's mass; S043: 0 iff equal inside "
    "groups") {
  tokens<double> t{2, 8, 1, std::vector<double>(16, -800.), {0, 4}, {0, 0}, {0, 1}, {}};
  t.logits[0] = 0, t.logits[8 + 4] = 0;
  locality const near{.mu = 1, .home = home, .devices = 2, .by = segment_by::modality};
  label_cross_entropy const labels{.alpha = 1, .group = {groups.data(), 2, 8}};
  CHECK(value_of(near, by_softmax, t) == doctest::Approx(0));
  CHECK(value_of(labels, by_softmax, t) == doctest::Approx(0));
  for (double& z : t.logits) z = 0;
  CHECK(value_of(near, by_softmax, t) == doctest::Approx(std::log(2.)));
  CHECK(value_of(labels, by_softmax, t) == doctest::Approx((std::log(8. / 3) + std::log(8. / 5)) / 2));
  CHECK(value_of(group_variance{.groups = 2}, by_softmax, t) == doctest::Approx(0));
  t.logits[0] = 1;
  CHECK(value_of(group_variance{.groups = 2}, by_softmax, t) > 0);
  for (std::size_t e = 0; e < 4; ++e) t.logits[e] = 1;
  CHECK(value_of(group_variance{.groups = 2}, by_softmax, t) == doctest::Approx(0));
}
