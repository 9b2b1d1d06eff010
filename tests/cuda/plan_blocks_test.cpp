#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/plan_blocks.hpp>

#include "support/lockstep_lanes.hpp"
#include "support/plan_arrays.hpp"

using namespace moeroute;

namespace {

struct problem {
  choices_view<int> in;
  index_t experts;
  plan_options options;
  offset_t choices;
};

template <class X>
void compare_by(X const& x, index_t parts, problem const& p, plan_arrays<std::int32_t> const& one,
                offset_t odd_wanted) {
  plan_arrays<std::int32_t> many(p.choices, p.experts, static_cast<offset_t>(one.token_of_slot.size()));
  std::vector<std::byte> memory(static_cast<std::size_t>(plan_by_blocks_workspace_bytes(x, p.experts, parts)),
                                std::byte{0xff});
  offset_t odd = -77;
  status const s = plan_by_blocks(x, parts, p.in, p.experts, p.options, many.view, workspace(memory), &odd);
  REQUIRE(s.ok());
  CHECK(odd == odd_wanted);
  if (odd_wanted >= 0) return;
  check_same(many, one);
}

// The plan by blocks of `Parts` warps equals the plan of one lane, array by array, poison beyond: in two runs, block after
// block, and in one, with as many blocks as there are shares, fewer and more.
template <index_t Lanes, index_t Parts>
void compare(problem const& p, offset_t odd_wanted = -1) {
  CAPTURE(p.experts);
  CAPTURE(p.choices);
  plan_arrays<std::int32_t> one(p.choices, p.experts, plan_rows_bound(p.choices, p.experts, p.options.align) + 3);
  if (odd_wanted < 0) {
    std::vector<std::byte> memory(static_cast<std::size_t>(plan_workspace_bytes(serial{}, p.experts)), std::byte{0xff});
    make_plan(serial{}, p.in, p.experts, p.options, one.view, workspace(memory));
  }
  compare_by(lockstep_lanes::block<Lanes, Parts>{}, Parts, p, one, odd_wanted);
  compare_by(lockstep_lanes::grid<Lanes, Parts, 2>{}, Parts, p, one, odd_wanted);
  if constexpr (Lanes < 32) compare_by(lockstep_lanes::grid<Lanes, Parts, 5>{}, Parts, p, one, odd_wanted);
}

std::vector<int> some_ids(offset_t n, index_t known, std::uint64_t seed) {
  std::vector<int> ids;
  draws const d{.seed = seed};
  for (offset_t i = 0; i < n; ++i) {
    auto const u = d.bits(i, 0);
    ids.push_back(u % 7 == 0 ? -1 : static_cast<int>(u % 5 == 0 ? 0 : u / 8 % static_cast<std::uint32_t>(known)));
  }
  return ids;
}

}  // namespace

TEST_CASE("P10 P11 a plan by blocks equals the plan of one lane") {
  for (offset_t tokens : {0, 1, 13, 700}) {
    for (index_t experts : {1, 6, 32, 33}) {
      auto const ids = some_ids(tokens * 2, experts, 3);
      compare<8, 3>({{.ids = {ids.data(), tokens, 2}}, experts, {.align = 1}, tokens * 2});
      compare<4, 2>({{.ids = {ids.data(), tokens, 2}}, experts, {.align = 8}, tokens * 2});
    }
  }
  auto const ids = some_ids(1800, 300, 4);  // more experts than lanes, several shares
  compare<32, 2>({{.ids = {ids.data(), 600, 3}}, 300, {.align = 16}, 1800});
}

TEST_CASE("a plan by blocks: row stride, padding tokens, ragged choices, identity and null experts") {
  auto const ids = some_ids(900 * 5, 12, 5);
  std::vector<std::uint8_t> valid(900);
  for (std::size_t t = 0; t < valid.size(); ++t) valid[t] = t % 3 != 1;
  compare<8, 3>({{.ids = {ids.data(), 900, 2, 5}, .valid = valid}, 12, {.align = 4}, 1800});
  compare<8, 3>({{.ids = {ids.data(), 900, 2}}, 8, {.identity = 3, .null = 1}, 1800});
  std::vector<offset_t> offsets{0};
  for (int t = 0; t < 600; ++t) offsets.push_back(offsets.back() + t % 4);
  offset_t const all = offsets.back();
  std::vector<std::uint8_t> some(600, 1);
  some[7] = 0;
  compare<8, 3>({{.ids = {ids.data(), 1, all}, .offsets = offsets}, 12, {}, all});
  compare<8, 3>({{.ids = {ids.data(), 1, all}, .offsets = offsets, .valid = some}, 12, {.align = 2}, all});
}

TEST_CASE("P10 a limited plan by blocks equals the limited plan of one lane") {
  auto const ids = some_ids(1800, 9, 8);
  choices_view<int> const in{.ids = {ids.data(), 600, 3}};
  for (auto const rows : {row_layout::compact, row_layout::fixed})
    for (auto const formula : {capacity_formula::given, capacity_formula::megatron, capacity_formula::tutel})
      for (offset_t align : {1, 8}) {
        capacity_options<> const limit{.rule = {.formula = formula, .factor = .7, .slots = 100}, .rows = rows};
        CAPTURE(align);
        plan_options const options{.align = align, .identity = 1};
        offset_t const bound = limited_rows_bound(limit.rule, rows, {600, 1800, 8, 0}, 1, align);
        plan_arrays<std::int32_t> one(1800, 8, bound), many(1800, 8, bound);
        std::vector<std::byte> memory(static_cast<std::size_t>(limited_plan_workspace_bytes(serial{}, 8, 600, 1800)));
        make_plan(serial{}, in, 8, options, limit, one.view, workspace(memory));
        lockstep_lanes::grid<8, 3, 2> const x{};
        std::vector<std::byte> blocks(static_cast<std::size_t>(plan_by_blocks_workspace_bytes(x, 8, 3)),
                                      std::byte{0xff});
        REQUIRE(limited_plan_by_blocks(x, 3, in, 8, options, limit, many.view, workspace(blocks), nullptr).ok());
        check_same(many, one);
      }
  capacity_options<> const shuffled{.queue = {.order = queue_order::shuffled}};
  plan_arrays<std::int32_t> a(1800, 8, 1800);
  CHECK(limited_plan_by_blocks(lockstep_lanes::block<8, 3>{}, 3, in, 8, {}, shuffled, a.view, workspace{}, nullptr)
            .code == errc::unsupported);
}

TEST_CASE("an id that nobody knows is told, not followed") {
  auto ids = some_ids(1600, 8, 6);
  ids[1501] = 8;
  ids[903] = -5;
  compare<8, 3>({{.ids = {ids.data(), 800, 2}}, 8, {}, 1600}, 903);
}

TEST_CASE("P13 P17 the workspace of a plan by blocks grows with the experts; a small one is told") {
  lockstep_lanes::block<8, 3> const x{};
  offset_t before = 0;
  for (index_t experts = 1; experts < 5000; experts += 37) {
    offset_t const bytes = plan_by_blocks_workspace_bytes(x, experts, 8);
    CHECK(bytes > 0);
    if (experts <= 400) CHECK(bytes >= before);
    before = bytes;
  }
  plan_arrays<std::int32_t> a(4, 2, 8);
  int const ids[] = {0, 1, 1, 0};
  CHECK(plan_by_blocks(x, 3, choices_view<int>{.ids = {ids, 2, 2}}, 2, {}, a.view, workspace{}, nullptr).code ==
        errc::too_small);
  CHECK(plan_cut::of(1 << 20, 256, 8).shares == 132);
  CHECK(plan_cut::of(0, 256, 8).shares == 1);
  CHECK(plan_cut::of(1 << 20, 20000, 8).warps == 1);
}
