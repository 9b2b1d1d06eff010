#include <doctest/doctest.h>

#include <moeroute/cpu/lockstep.hpp>

using namespace moeroute;

namespace {
struct collectives {
  int* wrong;
  offset_t scratch_bytes() const { return 64; }
  void operator()(lane_group auto const& g, offset_t, scratch s) const {
    index_t const n = g.size();
    int bad = 0;
    bad += g.sum(std::int64_t{1} << 40) != (std::int64_t{1} << 40) * n;
    bad += g.sum(static_cast<float>(g.rank())) != static_cast<float>(n * (n - 1) / 2);
    bad += g.max(static_cast<double>(-g.rank())) != 0.;
    bad += g.best(ranked<std::int64_t>{g.rank() / 2, g.rank()}).id != (n - 1) / 2 * 2;
    bad += g.any(g.rank() == n - 1) != true;
    bad += g.any(false) != false;
    auto* const shared = s.take<index_t>(1);
    if (g.rank() == n - 1) *shared = n;
    g.sync();
    bad += *shared != n;
    g.sync();
    if (g.rank() == 0) *wrong = 0;
    g.sync();
    if (bad != 0) *wrong = bad;
  }
};
}  // namespace

TEST_CASE("lockstep: collectives of 1 to 32 lanes") {
  for (index_t lanes : {1, 2, 3, 4, 8, 32}) {
    int wrong = -1;
    std::byte memory[192];
    REQUIRE(lockstep{lanes}.run(2, collectives{&wrong}, workspace{memory, 192}).ok());
    CHECK(wrong == 0);
  }
}
