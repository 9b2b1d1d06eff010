// Decides whether ranks and replicas share the choices out completely, evenly and the same way every time.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/plan.hpp>

#include "support/plan_arrays.hpp"

using namespace moeroute;

namespace {
std::vector<int> drawn_ids(offset_t n, index_t experts, unsigned seed) {
  std::vector<int> ids;
  for (offset_t i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    ids.push_back(seed >> 28 == 0 ? -1 : static_cast<int>((seed >> 9) % static_cast<unsigned>(experts)));
  }
  return ids;
}
std::string words(status const& s) { return message(s).c_str(); }
}  // namespace

TEST_CASE("expert parallel: the ranks' ranges tile the experts, and every choice is local to exactly one rank") {
  for (index_t const experts : {1, 5, 8, 60, 256})
    for (index_t const ranks : {1, 2, 3, 8}) {
      index_t at = 0;
      for (index_t r = 0; r < ranks; ++r) {
        expert_range const mine = experts_of_rank(experts, ranks, r);
        CHECK(mine.first == at);
        at = mine.last;
        for (index_t e = mine.first; e < mine.last; ++e) CHECK(rank_of_expert(experts, ranks, e) == r);
      }
      CHECK(at == experts);
      auto const ids = drawn_ids(60, experts, 4);
      std::vector<std::uint8_t> valid(20, 1);
      valid[3] = 0;
      choices_view<> const in{.ids = {ids.data(), 20, 3}, .valid = valid};
      std::vector<int> holders(60, 0);
      for (index_t r = 0; r < ranks; ++r) {
        expert_range const mine = experts_of_rank(experts, ranks, r);
        std::vector<std::int16_t> out(60), other(60);
        local_choices(threads{2}, in, mine, matrix_view<std::int16_t>(out.data(), 20, 3));
        local_choices(lockstep{2}, in, mine, matrix_view<std::int16_t>(other.data(), 20, 3));
        CHECK(out == other);
        for (std::size_t c = 0; c < 60; ++c)
          if (out[c] >= 0) {
            CHECK(out[c] + mine.first == ids[c]);
            ++holders[c];
          } else {
            CHECK(out[c] == -1);
          }
        // A rank's plan of its own choices is its part of the plan of all.
        plan_arrays<> whole(60, experts, 60), part(60, std::max(mine.size(), 1), 60);
        if (mine.size() == 0) continue;
        auto w = poisoned<std::byte>(plan_workspace_bytes(serial{}, experts));
        make_plan(serial{}, in, experts, {}, whole.view, w);
        make_plan(serial{}, choices_view<std::int16_t>{.ids = {out.data(), 20, 3}}, mine.size(), {}, part.view, w);
        for (std::size_t c = 0; c < 60; ++c)
          if (out[c] >= 0)
            CHECK(part.slot_of_choice[c] ==
                  whole.slot_of_choice[c] - whole.offsets[static_cast<std::size_t>(mine.first)]);
      }
      for (std::size_t c = 0; c < 60; ++c) CHECK(holders[c] == (ids[c] >= 0 && c / 3 != 3 ? 1 : 0));
    }
}

TEST_CASE("expert map: a cover with replicas, ascending places; what is no cover is named") {
  std::vector<index_t> const places{2, 0, 1, 2, -1, 0, 3, 2};
  std::vector<index_t> offsets(5, 77), physical(8, 77);
  make_expert_map(places, 4, offsets, physical);
  CHECK(offsets == std::vector<index_t>{0, 2, 3, 6, 7});
  CHECK(std::vector<index_t>(physical.begin(), physical.begin() + 7) == std::vector<index_t>{1, 5, 2, 0, 3, 7, 6});
  CHECK(words(try_make_expert_map(places, 4, offsets, physical, 4)) ==
        "moeroute: places of a logical expert on one rank = 2 must be at most 1");
  CHECK(try_make_expert_map(places, 4, offsets, physical, 2).ok());
  offsets.resize(6);
  CHECK(words(try_make_expert_map(places, 5, offsets, physical)).find("without a place): the first such = 4") !=
        std::string::npos);
  offsets.resize(4);
  CHECK(words(try_make_expert_map(places, 3, offsets, physical)).find("logical_of_physical = 3 must be at most 2") !=
        std::string::npos);
  CHECK(words(try_make_expert_map(places, 4, offsets, physical)).find("offsets size = 4 must be 5") !=
        std::string::npos);
}

TEST_CASE("expert map: every choice goes to a place of its expert; hashed depends on the token, in turn is even") {
  std::vector<index_t> const places{2, 0, 1, 2, 0, 0, 3, 2};
  std::vector<index_t> offsets(5), physical(8);
  make_expert_map(places, 4, offsets, physical);
  expert_map_view const map{offsets, physical};
  offset_t const tokens = 3000;
  auto const ids = drawn_ids(tokens * 2, 4, 9);
  choices_view<> const in{.ids = {ids.data(), tokens, 2}};
  std::vector<int> hashed(ids.size()), again(ids.size()), turn(ids.size()), turn2(ids.size());
  physical_choices(threads{2}, in, map, {.seed = 5}, matrix_view<int>(hashed.data(), tokens, 2));
  physical_choices(lockstep{2}, in, map, {.seed = 5}, matrix_view<int>(again.data(), tokens, 2));
  CHECK(hashed == again);
  physical_choices(serial{}, in, map, {.seed = 6}, matrix_view<int>(again.data(), tokens, 2));
  CHECK(hashed != again);
  plan_arrays<> logical(tokens * 2, 4, tokens * 2);
  auto w = poisoned<std::byte>(plan_workspace_bytes(serial{}, 4));
  make_plan(serial{}, in, 4, {}, logical.view, w);
  physical_choices(threads{2}, in, map, logical.view, matrix_view<int>(turn.data(), tokens, 2));
  physical_choices(lockstep{2}, in, map, logical.view, matrix_view<int>(turn2.data(), tokens, 2));
  CHECK(turn == turn2);
  std::vector<int> by_hash(8), by_turn(8);
  for (std::size_t c = 0; c < ids.size(); ++c)
    for (auto const& [out, count] : {std::pair{&hashed, &by_hash}, {&turn, &by_turn}})
      if (ids[c] < 0) {
        CHECK((*out)[c] == -1);
      } else {
        CHECK(places[static_cast<std::size_t>((*out)[c])] == ids[c]);
        ++(*count)[static_cast<std::size_t>((*out)[c])];
      }
  for (index_t e = 0; e < 4; ++e) {
    std::vector<int> mine, hash;
    for (std::size_t p = 0; p < 8; ++p)
      if (places[p] == e) mine.push_back(by_turn[p]), hash.push_back(by_hash[p]);
    auto const [low, high] = std::minmax_element(mine.begin(), mine.end());
    CHECK(*high - *low <= 1);
    auto const [few, many] = std::minmax_element(hash.begin(), hash.end());
    CHECK(*many - *few < 200);
  }
  // Hashed: a token alone goes to the same place, by its name.
  for (offset_t t = 0; t < tokens; t += 50) {
    std::vector<offset_t> const name{t};
    std::vector<int> alone(2);
    physical_choices(serial{}, choices_view<>{.ids = {ids.data() + 2 * t, 1, 2}}, map, {.seed = 5},
                     matrix_view<int>(alone.data(), 1, 2), name);
    CHECK(alone[0] == hashed[static_cast<std::size_t>(2 * t)]);
    CHECK(alone[1] == hashed[static_cast<std::size_t>(2 * t + 1)]);
  }
}

TEST_CASE("promise P17: ids that no expert has are named") {
  std::vector<index_t> offsets(3), physical(2);
  make_expert_map(std::vector<index_t>{1, 0}, 2, offsets, physical);
  std::vector<int> ids{0, 2}, out(2);
  expert_map_view const map{offsets, physical};
  CHECK(words(try_physical_choices(serial{}, choices_view<>{.ids = {ids.data(), 1, 2}}, map, draws{},
                                   matrix_view<int>(out.data(), 1, 2)))
            .find("= 2 must be at least 0 and below 2") != std::string::npos);
  plan_arrays<> p(2, 2, 2);
  p.view.rank_of_choice = {};
  CHECK(try_physical_choices(serial{}, choices_view<>{.ids = {ids.data(), 1, 2}}, map, p.view,
                             matrix_view<int>(out.data(), 1, 2))
            .code == errc::missing);
  CHECK(
      try_local_choices(serial{}, choices_view<>{.ids = {ids.data(), 1, 2}}, {2, 1}, matrix_view<int>(out.data(), 1, 2))
          .code == errc::bad_value);
}
