// Decides whether choices are ranked and placed as one walk over all of them would, for any number of shares and lanes.
#include <doctest/doctest.h>

#include <algorithm>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/plan/rank.hpp>

#include "support/plan_arrays.hpp"

using namespace moeroute;

namespace {

// 20 tokens, 5 experts, 7 choices at most; ids -1 .. 6, of which 5 is an identity expert and 6 a null expert.
struct world {
  std::vector<int> ids;
  std::vector<offset_t> starts;
  std::vector<std::uint8_t> valid;
  choices_view<> in{};
  world(bool ragged, bool padded, offset_t stride) : ids(static_cast<std::size_t>(20 * stride)), valid(20, 1) {
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int>(i * i % 11 % 8) - 1;
    for (offset_t t = 0; t <= 20; ++t) starts.push_back(t * 3 + t % 3);
    for (std::size_t t = 0; t < 20; t += 4) valid[t] = 0;
    in.ids = {ids.data(), 20, 5, stride};
    if (ragged) in.ids = {ids.data(), 1, starts.back()}, in.offsets = starts;
    if (padded) in.valid = valid;
  }
  int id(offset_t t, offset_t j) const { return in.is_valid(t) ? values_of(in.ids, in.shape(), t)[j] : -1; }
};
offset_t special(int id) { return id == 5 ? identity_slot : no_slot; }

void check(world const& x, offset_t shares, index_t lanes) {
  choice_shape const shape = x.in.shape();
  offset_t const choices = shape.size();
  auto table = poisoned<offset_t>((shares + 1) * 5), odd = poisoned<offset_t>(2 * shares);
  plan_arrays<std::int32_t> got(choices, 5, choices + 30);
  got.view.choices = shape;
  rank_share<index_t, std::int32_t> const rank{x.in,         {5, 1, 1},  shares,
                                               table.data(), odd.data(), got.slot_of_choice.data()};
  REQUIRE(lockstep{lanes}.run(shares, rank, {}).ok());
  std::vector<offset_t> all(5, 0);
  for (offset_t s = 0; s < shares; ++s) {
    std::vector<offset_t> seen(5, 0);
    auto const mine = detail::share_range_of(20, s, shares);
    for (offset_t t = mine.first; t < mine.last; ++t)
      for (offset_t c = shape.first(t); c < shape.last(t); ++c) {
        int const id = x.id(t, c - shape.first(t));
        offset_t const rank_or = id < 0 || id > 4 ? special(id) : seen[static_cast<std::size_t>(id)]++;
        REQUIRE(got.slot_of_choice[static_cast<std::size_t>(c)] == rank_or);
      }
    for (std::size_t e = 0; e < 5; ++e) {
      CHECK(table[static_cast<std::size_t>(s) * 5 + e] == seen[e]);
      all[e] += seen[e];
    }
    CHECK(odd[static_cast<std::size_t>(2 * s)] == 0);
  }

  offsets_of_counts(got.view, 4, shares, table.data());
  CHECK(got.counts == all);
  CHECK(got.kept == all);
  for (std::size_t e = 0; e < 5; ++e) CHECK(got.offsets[e + 1] == got.offsets[e] + (all[e] + 3) / 4 * 4);
  REQUIRE(
      lockstep{lanes}.run(shares, place_ranked<index_t, std::int32_t>{x.in, got.view, shares, table.data()}, {}).ok());
  auto next = got.offsets;
  std::vector<int> token(got.token_of_slot.size(), -1), choice = token;
  for (offset_t t = 0; t < 20; ++t)
    for (offset_t c = shape.first(t); c < shape.last(t); ++c) {
      int const id = x.id(t, c - shape.first(t));
      offset_t slot = special(id), rank_in_all = -1;
      if (id >= 0 && id < 5) {
        slot = next[static_cast<std::size_t>(id)]++;
        rank_in_all = slot - got.offsets[static_cast<std::size_t>(id)];
        token[static_cast<std::size_t>(slot)] = static_cast<int>(t);
        choice[static_cast<std::size_t>(slot)] = static_cast<int>(c);
      }
      CHECK(got.slot_of_choice[static_cast<std::size_t>(c)] == slot);
      CHECK(got.rank_of_choice[static_cast<std::size_t>(c)] == rank_in_all);
    }
  CHECK(got.token_of_slot == token);
  CHECK(got.choice_of_slot == choice);
}

}  // namespace

TEST_CASE("promise P11: ranks of shares and the slots made of them are those of one walk: ragged, padded, with gaps") {
  for (bool const ragged : {false, true})
    for (bool const padded : {false, true})
      for (offset_t const stride : {5, 8})
        for (offset_t const shares : {1, 2, 3, 7, 25})
          for (index_t const lanes : {1, 2, 3, 8}) {
            CAPTURE(ragged);
            CAPTURE(padded);
            CAPTURE(stride);
            CAPTURE(shares);
            CAPTURE(lanes);
            check({ragged, padded, stride}, shares, lanes);
          }
}

TEST_CASE("plan: an id that nobody knows is reported by its share, the first of it") {
  world x(false, false, 5);
  x.ids[5 * 13 + 1] = 99, x.ids[5 * 13 + 3] = -2;
  for (offset_t const shares : {1, 4})
    for (index_t const lanes : {1, 2}) {
      auto table = poisoned<offset_t>(shares * 5), odd = poisoned<offset_t>(2 * shares), slot = poisoned<offset_t>(100);
      rank_share<index_t, offset_t> const body{x.in, {5, 1, 1}, shares, table.data(), odd.data(), slot.data()};
      REQUIRE(lockstep{lanes}.run(shares, body, {}).ok());
      for (offset_t s = 0; s < shares; ++s) {
        auto const r = detail::share_range_of(20, s, shares);
        bool const here = r.first <= 13 && 13 < r.last;
        CHECK(odd[static_cast<std::size_t>(2 * s)] == here);
        if (here) CHECK(odd[static_cast<std::size_t>(2 * s + 1)] == 99);
      }
    }
}

TEST_CASE("plan: without maps only slots are written; tokens without choices and no tokens at all") {
  std::vector<int> const ids{3, 0, 3};
  std::vector<offset_t> const starts{0, 0, 2, 2, 3, 3}, none{0};
  std::vector<offset_t> offsets(5), slot(3, 77);
  plan_view<> plan{.offsets = offsets, .slot_of_choice = slot};
  for (auto const* at : {&starts, &none}) {
    choices_view<> const in{.ids = {ids.data(), 1, at->back()}, .offsets = *at};
    plan.choices = in.shape();
    std::vector<offset_t> table(3 * 4), odd(4);
    auto const x = lockstep{1};
    REQUIRE(x.run(2, rank_share<index_t, offset_t>{in, {4, 0, 0}, 2, table.data(), odd.data(), slot.data()}, {}).ok());
    offsets_of_counts(plan, 1, 2, table.data());
    REQUIRE(x.run(2, place_ranked<index_t, offset_t>{in, plan, 2, table.data()}, {}).ok());
    if (at == &starts) CHECK(slot == std::vector<offset_t>{1, 0, 2});
    CHECK(offsets.back() == at->back());
  }
}
