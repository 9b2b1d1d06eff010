// Decides whether a line is served in order up to each limit, and whether kept choices can be placed by token.
#include <doctest/doctest.h>

#include <vector>

#include <moeroute/core/executor.hpp>
#include <moeroute/plan/serve.hpp>

#include "support/plan_arrays.hpp"

using namespace moeroute;

namespace {

// Four tokens of two choices, three experts, room for two choices each; second choices queue behind all first ones.
//   e 0: t0 t1 | t2    e 1: t2 | t0 t3    e 2: | t1          (first | second choices); the first of t3 is no expert
struct four_tokens {
  std::vector<int> ids{0, 1, 0, 2, 1, 0, -1, 1};
  choices_view<> in{.ids = {ids.data(), 4, 2}};
  detail::queue_line line{.order = queue_order::choice_major, .longest = 2};
  std::vector<offset_t> load{3, 3, 1}, start{0, 2, 4}, capacity{2}, tokens{4};
  detail::limits limit{load.data(), start.data(), capacity.data(), tokens.data()};
  plan_arrays<> p{8, 3, 6};
};

template <class Body>
void run(offset_t shares, Body const& body) {
  for (offset_t s = 0; s < shares; ++s) body(serial_group{}, s, scratch{});
}

}  // namespace

TEST_CASE("serve: ranks follow the line, slots the ranks or the tokens, and what comes after the limit is dropped") {
  std::vector<offset_t> const counted{2, 1, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0};  // of the line's three parts, by expert
  for (bool const in_order : {true, false})
    for (offset_t const shares : {1, 3}) {
      CAPTURE(in_order);
      CAPTURE(shares);
      four_tokens w;
      auto table = counted;
      if (shares == 1) table = w.load;
      table.resize(12);
      for (index_t e = 0; e < 3; ++e)
        CHECK(detail::spread_over_shares(table.data() + e, 4, shares, 0) == w.load[static_cast<std::size_t>(e)]);
      id_ranges const ids{.experts = 3};
      run(shares,
          detail::serve_choices<int, offset_t>{w.in, ids, w.p.view, w.line, w.limit, shares, table.data(), in_order});
      CHECK(w.p.rank_of_choice == std::vector<offset_t>{0, 1, 1, 0, 0, 2, -1, 2});
      if (!in_order) {
        CHECK(w.p.slot_of_choice == std::vector<offset_t>{0, 0, 0, 0, 0, dropped_slot, no_slot, dropped_slot});
        CHECK(w.p.token_of_slot[0] == 77);
        detail::place_marked<int, offset_t> place{w.in, ids, w.p.view, w.line, false, false, shares, table.data()};
        run(shares, place);
        offset_t const kept[] = {2, 2, 1};
        for (int e = 0; e < 3; ++e)
          CHECK(detail::spread_over_shares(table.data() + e, 4, shares, w.start[static_cast<std::size_t>(e)]) ==
                kept[e]);
        place.placing = true;
        run(shares, place);
      }
      offset_t const first = in_order ? 3 : 2, second = in_order ? 2 : 3;  // of expert 1: t2 queued first
      CHECK(w.p.slot_of_choice == std::vector<offset_t>{0, first, 1, 4, second, dropped_slot, no_slot, dropped_slot});
      CHECK(w.p.choice_of_slot ==
            (in_order ? std::vector<offset_t>{0, 2, 4, 1, 3, 77} : std::vector<offset_t>{0, 2, 1, 4, 3, 77}));
      CHECK(w.p.token_of_slot ==
            (in_order ? std::vector<offset_t>{0, 1, 2, 0, 1, 77} : std::vector<offset_t>{0, 1, 0, 2, 1, 77}));
    }
}

TEST_CASE("serve: segments queue apart, and without maps only ranks and slots are told") {
  four_tokens w;
  std::vector<index_t> const segment{0, 1, 0, 1};
  w.line.segment = segment, w.line.segments = 2;
  std::vector<offset_t> start{0, 1, 2, 3, 4, 5}, capacity{1, 2}, table(7);
  w.limit.start = start.data(), w.limit.capacity = capacity.data();
  w.p.view.token_of_slot = {}, w.p.view.choice_of_slot = {};
  run(1, detail::serve_choices<int, offset_t>{w.in, {.experts = 3}, w.p.view, w.line, w.limit, 1, table.data(), true});
  // segment 0: t0 t2 | t0 t2, one each; segment 1: t1 t3 | t1 t3
  CHECK(w.p.rank_of_choice == std::vector<offset_t>{0, 1, 0, 0, 0, 1, -1, 0});
  CHECK(w.p.slot_of_choice == std::vector<offset_t>{0, dropped_slot, 3, 5, 1, dropped_slot, no_slot, 4});
  CHECK(w.p.token_of_slot == std::vector<offset_t>(6, 77));
}
