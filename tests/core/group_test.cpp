#include <doctest/doctest.h>

#include <vector>

#include <moeroute/core/group.hpp>

using namespace moeroute;

namespace {
struct no_sync : serial_group {
  void sync() const = delete;
};
struct wrong_rank {
  long rank() const { return 0; }
};
}  // namespace

static_assert(lane_group<serial_group>);
static_assert(!lane_group<wrong_rank> && !lane_group<int>);
static_assert(is_serial<serial_group> && !is_serial<no_sync>);

TEST_CASE("group: one lane is the identity") {
  serial_group const g;
  CHECK(g.sum(3.f) == 3.f);
  CHECK(g.max(-2.) == -2.);
  CHECK(g.best(ranked<std::int32_t>{4, 2}).id == 2);
  CHECK(g.any(true));
}
