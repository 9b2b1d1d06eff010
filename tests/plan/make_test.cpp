// Decides whether the dropless plan is the stable bijection it promises to be, for any executor.
#include <doctest/doctest.h>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/plan.hpp>

#include "support/plan_arrays.hpp"
#include "support/plan_reference.hpp"

using namespace moeroute;

namespace {

std::vector<std::vector<int>> draw(std::int64_t tokens, int k, int experts, unsigned seed, int holes = 5) {
  std::vector<std::vector<int>> ids(static_cast<std::size_t>(tokens));
  for (auto& row : ids)
    for (int j = 0; j < k; ++j) {
      seed = seed * 1664525u + 1013904223u;
      row.push_back(holes != 0 && (seed >> 28) < static_cast<unsigned>(holes) / 2
                        ? -1
                        : static_cast<int>((seed >> 8) % static_cast<unsigned>(experts)));
    }
  return ids;
}

template <class X, class Slot = offset_t>
void compare(X const& x, std::vector<std::vector<int>> const& ids, int experts, offset_t align,
             std::size_t extra_stride = 0) {
  auto const tokens = std::ssize(ids);
  auto const k = tokens == 0 ? 2 : std::ssize(ids[0]);
  auto const storage = flat(ids, static_cast<std::size_t>(k) + extra_stride);
  choices_view<> in{.ids = {storage.data(), tokens, k, k + static_cast<offset_t>(extra_stride)}};
  offset_t const bound = plan_rows_bound(tokens * k, experts, align);
  plan_arrays<Slot> got(tokens * k, experts, bound);
  auto w = poisoned<std::byte>(plan_workspace_bytes(x, experts));
  REQUIRE(try_make_plan(x, in, experts, {.align = align}, got.view, w).ok());
  auto const want = reference::make_plan(ids, experts, align);
  CHECK(got.counts == want.counts);
  CHECK(got.kept == want.counts);
  CHECK(got.offsets == want.offsets);
  CHECK(std::vector<offset_t>(got.slot_of_choice.begin(), got.slot_of_choice.end()) == want.slot_of_choice);
  for (std::size_t s = 0; s < got.token_of_slot.size(); ++s) {
    bool const used = s < want.token_of_slot.size();
    REQUIRE(static_cast<offset_t>(got.token_of_slot[s]) == (used ? want.token_of_slot[s] : -1));
    REQUIRE(static_cast<offset_t>(got.choice_of_slot[s]) == (used ? want.choice_of_slot[s] : -1));
  }
  offset_t c = 0;
  for (auto const& row : ids)
    for (int const id : row) {
      offset_t const slot = static_cast<offset_t>(got.slot_of_choice[static_cast<std::size_t>(c)]);
      offset_t const rank = static_cast<offset_t>(got.rank_of_choice[static_cast<std::size_t>(c++)]);
      REQUIRE(rank == (id < 0 ? -1 : slot - got.offsets[static_cast<std::size_t>(id)]));
    }
}

}  // namespace

TEST_CASE("promise P11: the plan is the stable order by expert, token, choice: serial, threads, lockstep") {
  for (auto const tokens : {0, 1, 2, 31, 33, 257})
    for (auto const& [k, experts] : {std::pair{1, 1}, {1, 7}, {2, 8}, {4, 5}, {8, 60}})
      for (auto const align : {1, 8, 16}) {
        auto const ids = draw(tokens, k, experts, static_cast<unsigned>(tokens * 31 + k));
        CAPTURE(tokens);
        CAPTURE(k);
        CAPTURE(experts);
        CAPTURE(align);
        compare(serial{}, ids, experts, align);
        compare(threads{3}, ids, experts, align);
        if (tokens == 33) {
          compare(lockstep{1}, ids, experts, align);
          compare(lockstep{3}, ids, experts, align);
          compare(lockstep{8}, ids, experts, align);
        }
      }
}

TEST_CASE("promise P11: more experts than choices, all choices on one expert, a row stride, narrow slots") {
  compare(threads{2}, draw(20, 2, 513, 3), 513, 4);
  compare(threads{5}, std::vector<std::vector<int>>(40, {6, 6, 6}), 9, 8);  // the same expert three times
  compare(serial{}, draw(40, 3, 7, 5), 7, 2, 4);
  compare<serial, std::int32_t>(serial{}, draw(40, 3, 7, 5), 7, 2);
  compare<threads, std::int16_t>(threads{2}, draw(40, 3, 7, 5), 7, 2);
}

TEST_CASE("promise P9: padding tokens take no slot and change nothing for the others") {
  auto const ids = draw(37, 2, 6, 9);
  auto padded = ids;
  for (std::size_t t = 0; t < ids.size(); t += 3)
    padded.insert(padded.begin() + static_cast<std::ptrdiff_t>(t), {2, 5});
  std::vector<std::uint8_t> valid(padded.size(), 1);
  for (std::size_t t = 0; t < ids.size(); t += 3) valid[t] = 0;
  auto masked = padded;
  for (std::size_t t = 0; t < masked.size(); ++t)
    if (valid[t] == 0) masked[t] = {-1, -1};
  auto const storage = flat(padded);
  auto const tokens = std::ssize(padded);
  plan_arrays<> got(tokens * 2, 6, plan_rows_bound(tokens * 2, 6));
  auto w = poisoned<std::byte>(plan_workspace_bytes(serial{}, 6));
  make_plan(serial{}, choices_view<>{.ids = {storage.data(), tokens, 2}, .valid = valid}, 6, {}, got.view, w);
  auto const want = reference::make_plan(masked, 6, 1), alone = reference::make_plan(ids, 6, 1);
  CHECK(got.slot_of_choice == want.slot_of_choice);
  CHECK(got.counts == alone.counts);
  offset_t c = 0;
  for (std::size_t t = 0; t < padded.size(); ++t)
    for (std::size_t j = 0; j < 2; ++j)
      if (valid[t] != 0) CHECK(got.slot_of_choice[2 * t + j] == alone.slot_of_choice[static_cast<std::size_t>(c++)]);
      else CHECK(got.slot_of_choice[2 * t + j] == no_slot);
}

TEST_CASE("promise P10: counts sum to the valid choices; ragged choices; identity and null experts have no slot") {
  std::vector<std::vector<int>> const ids{{}, {3, 0}, {1}, {}, {0, 4, 5, 6, -1}, {2, 2}};  // 4, 5 identity, 6 null
  auto const storage = flat(ids);
  std::vector<offset_t> const starts{0, 0, 2, 3, 3, 8, 10};
  for (int which = 0; which < 2; ++which) {
    plan_arrays<> got(10, 4, plan_rows_bound(10, 4, 4));
    auto const x = threads{which == 0 ? 1 : 4};
    auto w = poisoned<std::byte>(plan_workspace_bytes(x, 4));
    choices_view<> const in{.ids = {storage.data(), 1, 10}, .offsets = starts};
    make_plan(x, in, 4, {.align = 4, .identity = 2, .null = 1}, got.view, w);
    auto const want = reference::make_plan(ids, 4, 4);
    CHECK(got.counts == want.counts);
    CHECK(got.counts[0] + got.counts[1] + got.counts[2] + got.counts[3] == 6);
    CHECK(got.offsets == want.offsets);
    auto expect = want.slot_of_choice;
    expect[4] = expect[5] = identity_slot;
    CHECK(got.slot_of_choice == expect);
    for (offset_t c = 0; c < 10; ++c) {
      offset_t const slot = got.slot_of_choice[static_cast<std::size_t>(c)];
      if (slot < 0) continue;
      CHECK(got.choice_of_slot[static_cast<std::size_t>(slot)] == c);
      CHECK(got.token_of_slot[static_cast<std::size_t>(slot)] == in.shape().token_of(c));
    }
  }
}

TEST_CASE("plan: id types of traces") {
  auto const try_type = []<class Id>(Id) {
    std::vector<Id> const ids{Id(3), no_expert_of<Id>, Id(0), Id(3)};
    plan_arrays<> got(4, 4, 4);
    auto w = poisoned<std::byte>(plan_workspace_bytes(serial{}, 4));
    REQUIRE(try_make_plan(serial{}, choices_view<Id>{.ids = {ids.data(), 2, 2}}, 4, {}, got.view, w).ok());
    CHECK(got.slot_of_choice == std::vector<offset_t>{1, -1, 0, 2});
  };
  try_type(std::uint8_t{}), try_type(std::int16_t{}), try_type(std::uint32_t{}), try_type(std::int64_t{}),
      try_type(std::uint64_t{});
}

TEST_CASE("promise P17: what is wrong is named, and nothing outside the arrays is touched") {
  std::vector<int> ids{0, 1, 2, 3};
  plan_arrays<> got(4, 4, 4);
  auto w = poisoned<std::byte>(plan_workspace_bytes(threads{2}, 4));
  auto const says = [&](choices_view<> const& in, int experts, plan_options const& o, workspace space) {
    return std::string(message(try_make_plan(threads{2}, in, experts, o, got.view, space)).c_str());
  };
  choices_view<> const good{.ids = {ids.data(), 2, 2}};
  CHECK(says(good, 4, {}, w) == "ok");
  ids[2] = 4;
  CHECK(says(good, 4, {}, w) ==
        "moeroute: choices.ids (an id that is not no_expert) = 4 must be at least 0 and below 4");
  ids[2] = -2;
  CHECK(says(good, 4, {}, w).find("= -2 must be") != std::string::npos);
  ids[2] = 2147483647;
  CHECK(says(good, 4, {.identity = 2}, w).find("below 6") != std::string::npos);
  ids[2] = 2;
  CHECK(says(good, 0, {}, w).find("experts = 0") != std::string::npos);
  CHECK(says(good, 4, {.align = 0}, w).find("plan.align = 0") != std::string::npos);
  CHECK(says(good, 4, {.align = 8}, w).find("plan.token_of_slot size = 4 must be at least 32") != std::string::npos);
  CHECK(says(good, 4, {}, workspace(w.data(), 8)).find("workspace bytes = 8") != std::string::npos);
  CHECK(says(good, 3, {}, w).find("plan.offsets size = 5 must be 4") != std::string::npos);
  std::vector<offset_t> starts{0, 3, 2, 4};
  CHECK(says({.ids = {ids.data(), 1, 4}, .offsets = starts}, 4, {}, w)
            .find("choices.offsets[t + 1] = 2 must be at least 3") != std::string::npos);
  std::vector<std::uint8_t> const valid(3, 1);
  CHECK(says({.ids = {ids.data(), 2, 2}, .valid = valid}, 4, {}, w).find("choices.valid size = 3") !=
        std::string::npos);
  plan_arrays<std::int8_t> narrow(400, 2, 400);
  std::vector<int> const many(400, 1);
  CHECK(try_make_plan(serial{}, choices_view<>{.ids = {many.data(), 200, 2}}, 2, {}, narrow.view, w).code ==
        errc::bad_shape);
  CHECK_THROWS_AS(make_plan(serial{}, good, 0, {}, got.view, w), error);
}

TEST_CASE("promise P13: the bounds of rows and workspace are monotone, and the row bound holds when met exactly") {
  for (offset_t choices = 0; choices < 20; ++choices)
    for (index_t experts = 1; experts < 20; ++experts)
      for (offset_t align = 1; align < 20; ++align) {
        auto const b = plan_rows_bound(choices, experts, align);
        CHECK(b <= plan_rows_bound(choices + 1, experts, align));
        CHECK(b <= plan_rows_bound(choices, experts + 1, align));
        CHECK(b <= plan_rows_bound(choices, experts, align + 1));
      }
  for (index_t experts = 1; experts < 600; ++experts)
    for (index_t n = 1; n < 5; ++n) {
      CHECK(plan_workspace_bytes(threads{n}, experts) <= plan_workspace_bytes(threads{n}, experts + 1));
      CHECK(plan_workspace_bytes(threads{n}, experts) <= plan_workspace_bytes(threads{n + 1}, experts));
    }
  compare(serial{}, {{0}, {1}, {2}}, 3, 8);  // one row an expert: 24 of at most 3 + 3 * 7 = 24
}
