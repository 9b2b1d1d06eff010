// Decides whether a block's counts and ranks are those of counting one by one.
#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/count_block.hpp>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

TEST_CASE("P10 count_block: counts of a share, ranks in the order of the choices, the first unknown id") {
  index_t const experts = 11;
  offset_t const choices = 300, per_share = 128, shares = 3;
  std::vector<int> ids;
  draws const d{.seed = 2};
  for (offset_t i = 0; i < choices; ++i)
    ids.push_back(static_cast<int>(d.bits(i, 0) % 12) - (d.bits(i, 1) % 9 == 0 ? 12 : 0));
  for (int& id : ids)
    if (id < 0 || id == 11) id = -1;
  ids[150] = 40;
  std::vector<std::uint32_t> counts(static_cast<std::size_t>(shares * experts), 77);
  std::vector<offset_t> odd(3, 77);
  std::vector<std::int32_t> rank(300, -5);
  lockstep_lanes::block<8, 3> const x{};
  count_block<int, std::int32_t> const body{
      {{.ids = {ids.data(), 100, 3}}, {experts, 0, 0}, choices, per_share}, 3, counts.data(), odd.data(), rank.data()};
  std::vector<std::byte> memory(static_cast<std::size_t>(x.workspace_bytes(body.scratch_bytes())), std::byte{0xff});
  REQUIRE(x.run(shares, body, workspace(memory)).ok());
  for (offset_t s = 0; s < shares; ++s) {
    std::vector<std::int32_t> n(11, 0);
    for (offset_t c = s * per_share; c < std::min(choices, (s + 1) * per_share); ++c) {
      int const id = ids[static_cast<std::size_t>(c)];
      if (id < 0 || id >= 11) {
        CHECK(rank[static_cast<std::size_t>(c)] == -5);  // not an expert's: not written
        continue;
      }
      CHECK(rank[static_cast<std::size_t>(c)] == n[static_cast<std::size_t>(id)]++);
    }
    for (std::size_t e = 0; e < 11; ++e)
      CHECK(counts[static_cast<std::size_t>(s) * 11 + e] == static_cast<std::uint32_t>(n[e]));
    CHECK(odd[static_cast<std::size_t>(s)] == (s == 1 ? 150 : largest<offset_t>));
  }
}
