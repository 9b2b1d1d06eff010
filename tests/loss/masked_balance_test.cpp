// Decides whether DynMoLE's masked balance (S061) is right: promise P14 and known values.
#include "promise14.hpp"

#include <moeroute/loss/masked_balance.hpp>

using namespace p14;

namespace {
auto const by_softmax = router<>{};
tokens<double> flat(offset_t n, index_t experts) {
  tokens<double> t{n, experts, 1, std::vector<double>(static_cast<std::size_t>(n * experts)), {}, {}, {}, {}};
  for (offset_t i = 0; i < n; ++i)
    t.ids.push_back(static_cast<index_t>(i % experts)), t.sequence.push_back(0), t.modality.push_back(0);
  return t;
}
}  // namespace

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
