// Decides whether counts of shares become offsets, maps and padding: one example by hand.
#include <doctest/doctest.h>

#include <moeroute/cuda/place_block.hpp>

#include "support/lockstep_lanes.hpp"
#include "support/plan_arrays.hpp"

using namespace moeroute;

TEST_CASE("P11 place_block: two shares of four choices, three experts, rows in pairs") {
  int const ids[] = {2, 0, 2, -1, 0, 2, 2, 1};
  plan_arrays<std::int32_t> p(8, 3, 12);
  p.slot_of_choice = {0, 0, 1, -1, 0, 0, 1, 0};  // ranks inside each share
  std::uint32_t const counts[] = {1, 0, 2, 1, 1, 2};
  offset_t const odd[] = {largest<offset_t>, 5};
  offset_t first_odd = 77;
  using ints = std::vector<std::int32_t>;
  SUBCASE("dropless") {
    place_block<int, std::int32_t> const body{
        {{.ids = {ids, 4, 2}}, {3, 0, 0}, 8, 4}, 2, 2, counts, odd, p.view, &first_odd};
    lockstep_lanes::block<4, 2> const x{};
    std::vector<std::byte> memory(static_cast<std::size_t>(x.workspace_bytes(body.scratch_bytes())), std::byte{0xff});
    REQUIRE(x.run(2, body, workspace(memory)).ok());
    CHECK(p.offsets == std::vector<offset_t>{0, 2, 4, 8});
    CHECK(p.counts == std::vector<offset_t>{2, 1, 4});
    CHECK(p.slot_of_choice == ints{4, 0, 5, -1, 1, 6, 7, 2});
    CHECK(p.rank_of_choice == ints{0, 0, 1, -1, 1, 2, 3, 0});
    CHECK(p.token_of_slot == ints{0, 2, 3, -1, 0, 1, 2, 3, -1, -1, -1, -1});
    CHECK(p.choice_of_slot == ints{1, 4, 7, -1, 0, 2, 5, 6, -1, -1, -1, -1});
    CHECK(first_odd == 5);
  }
  SUBCASE("three rows an expert at most") {
    place_block<int, std::int32_t> const body{
        {{.ids = {ids, 4, 2}}, {3, 0, 0}, 8, 4}, 2, 1, counts, odd, p.view, nullptr, 3};
    lockstep_lanes::block<4, 2> const x{};
    std::vector<std::byte> memory(static_cast<std::size_t>(x.workspace_bytes(body.scratch_bytes())), std::byte{0xff});
    REQUIRE(x.run(2, body, workspace(memory)).ok());
    CHECK(p.kept == std::vector<offset_t>{2, 1, 3});
    CHECK(p.offsets == std::vector<offset_t>{0, 2, 3, 6});
    CHECK(p.slot_of_choice == ints{3, 0, 4, -1, 1, 5, static_cast<std::int32_t>(dropped_slot), 2});
  }
}
