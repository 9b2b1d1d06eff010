// Decides whether DynMoLE's masked balance (S061) is right: promise P14 and known values.
#include "promise14.hpp"

#include <moeroute/loss/masked_balance.hpp>

using namespace p14;

TEST_CASE("promise P14: masked balance (S061 DynMoLE)") {
  check(masked_balance{.alpha = .5}, by_softmax, sample(27, 8, 3));
}

TEST_CASE("masked balance: the plain product where everybody is kept") {
  auto t = flat(6, 4);
  t.k = 4;
  t.ids.clear();
  for (int i = 0; i < 6; ++i)
    for (index_t e = 0; e < 4; ++e) t.ids.push_back(e);
  CHECK(value_of(masked_balance{.alpha = 1}, by_softmax, t) == doctest::Approx(1).epsilon(1e-14));
}
