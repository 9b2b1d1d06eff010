// Decides whether the bodies of the plan give the same tables for any number of shares and lanes.
#include <doctest/doctest.h>

#include <algorithm>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/plan/count.hpp>

#include "support/plan_arrays.hpp"

using namespace moeroute;

TEST_CASE("plan: shares cover the tokens in order") {
  for (offset_t size : {0, 1, 5, 64})
    for (offset_t n = 1; n < 9; ++n) {
      offset_t at = 0;
      for (offset_t s = 0; s < n; ++s) {
        auto const r = detail::share_range_of(size, s, n);
        CHECK(r.first == at);
        CHECK(r.last - r.first <= size / n + 1);
        at = r.last;
      }
      CHECK(at == size);
    }
}

TEST_CASE("plan: which ids are known, and the slot of those without a row") {
  id_ranges const r{4, 2, 1};
  CHECK(r.is_expert(3));
  CHECK_FALSE(r.is_expert(4));
  CHECK_FALSE(r.is_expert(-1));
  CHECK(r.is_known(6));
  CHECK_FALSE(r.is_known(7));
  CHECK_FALSE(r.is_known(-2));
  CHECK(r.is_known(-1));
  CHECK(r.is_known(std::uint8_t{255}));
  CHECK(r.special_slot(5) == identity_slot);
  CHECK(r.special_slot(6) == no_slot);
  CHECK(r.special_slot(-1) == no_slot);
}

TEST_CASE("plan: counts of shares add up, under any lanes; an odd id is reported by its share") {
  std::vector<int> ids(60);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int>(i * i % 7) - 1;
  choices_view<> const in{.ids = {ids.data(), 20, 3}};
  for (offset_t shares : {1, 2, 3, 7, 25})
    for (index_t lanes : {1, 2, 3, 5}) {
      auto table = poisoned<offset_t>(shares * 6), odd = poisoned<offset_t>(2 * shares);
      count_share<index_t> const body{in, {5, 0, 0}, shares, table.data(), odd.data()};
      REQUIRE(lockstep{lanes}.run(shares, body, {}).ok());
      for (int e = 0; e < 5; ++e) {
        offset_t sum = 0;
        for (offset_t s = 0; s < shares; ++s) sum += table[static_cast<std::size_t>(s * 6 + e)];
        CHECK(sum == std::count(ids.begin(), ids.end(), e));
      }
      for (offset_t s = 0; s < shares; ++s) CHECK(odd[static_cast<std::size_t>(2 * s)] == 0);
    }
  ids[40] = 99;  // token 13
  for (offset_t shares : {1, 4}) {
    auto table = poisoned<offset_t>(shares * 6), odd = poisoned<offset_t>(2 * shares);
    REQUIRE(lockstep{2}.run(shares, count_share<index_t>{in, {5, 0, 0}, shares, table.data(), odd.data()}, {}).ok());
    for (offset_t s = 0; s < shares; ++s) {
      auto const r = detail::share_range_of(20, s, shares);
      bool const here = r.first <= 13 && 13 < r.last;
      CHECK(odd[static_cast<std::size_t>(2 * s)] == here);
      if (here) CHECK(odd[static_cast<std::size_t>(2 * s + 1)] == 99);
    }
  }
}
