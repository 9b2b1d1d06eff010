// Decides whether a limited plan keeps min(count, capacity) choices an expert, the right ones, in the right rows.
#include <doctest/doctest.h>

#include <algorithm>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/plan.hpp>

#include "support/limited_world.hpp"

using namespace moeroute;
using namespace limited_world;

namespace {

template <class X>
answer run(X const& x, world const& w, capacity_options<> const& o, offset_t align = 1) {
  return planned(x, w.view(), w.experts, {.align = align}, o);
}

}  // namespace

TEST_CASE("promise P10: kept = min(count, capacity) of the right choices, every order, layout, scope and executor") {
  for (auto const order : orders)
    for (index_t const segments : {1, 3})
      for (auto const slots : {slot_order::token, slot_order::queue})
        for (auto const rows : {row_layout::compact, row_layout::fixed})
          for (auto const& rule :
               {capacity_rule{.factor = .7}, capacity_rule{.formula = capacity_formula::given, .slots = 3},
                capacity_rule{.formula = capacity_formula::tutel, .factor = -2},
                capacity_rule{.formula = capacity_formula::given, .slots = 0}}) {
            world const w(41, 3, 5, static_cast<unsigned>(segments) + 3, segments);
            auto const o = w.options(order, rule, slots, rows);
            for (offset_t const align : {1, 8}) {
              CAPTURE(static_cast<int>(order));
              CAPTURE(segments);
              CAPTURE(static_cast<int>(slots));
              CAPTURE(static_cast<int>(rows));
              CAPTURE(align);
              auto want = reference(w, o, align);
              auto const got = run(serial{}, w, o, align);
              REQUIRE(got.token.size() >= want.token.size());
              want.token.resize(got.token.size(), -1), want.choice.resize(got.token.size(), -1);
              REQUIRE(got == want);
              REQUIRE(run(threads{3}, w, o, align) == want);
              if (align == 8 && segments == 3) REQUIRE(run(lockstep{3}, w, o, align) == want);
            }
          }
}

TEST_CASE("promise P10: without a limit, or one that nobody reaches, the plan is the dropless plan") {
  world const w(50, 4, 6, 17);
  plan_arrays<> p(200, 6, plan_rows_bound(200, 6, 4));
  auto space = poisoned<std::byte>(plan_workspace_bytes(serial{}, 6));
  make_plan(serial{}, w.view(), 6, {.align = 4}, p.view, space);
  for (auto const order : orders)
    for (auto const& rule : {capacity_rule{.formula = capacity_formula::unlimited}, capacity_rule{.factor = 100}}) {
      auto const got = run(threads{2}, w, w.options(order, rule, slot_order::token, row_layout::compact), 4);
      CHECK(got.slot == p.slot_of_choice);
      CHECK(got.offsets == p.offsets);
      CHECK(got.token == p.token_of_slot);
      CHECK(got.kept == p.counts);
    }
}

TEST_CASE("promise P16: changing the rows of one group never changes what another group gets") {
  for (auto const order : orders)
    for (unsigned seed = 1; seed < 12; ++seed) {
      world const a(30, 2, 4, seed, 3);
      world b = a, shifted = a;
      world const noise(30, 2, 4, seed + 100, 3);
      for (std::size_t t = 0; t < 30; ++t)
        if (a.segment[t] != 1) {  // the attacker rewrites everything that is not group 1
          b.of_token[t] = noise.of_token[t] + 100, b.valid[t] = noise.valid[t];
          for (std::size_t j = 0; j < 2; ++j) b.ids[2 * t + j] = 2, b.of_choice[2 * t + j] = 1000;
        }
      capacity_rule const rule{.factor = .6};
      auto const x = run(serial{}, a, a.options(order, rule, slot_order::token, row_layout::compact));
      auto const y = run(serial{}, b, b.options(order, rule, slot_order::token, row_layout::compact));
      for (std::size_t c = 0; c < 60; ++c)
        if (a.segment[c / 2] == 1) {
          CHECK(x.rank[c] == y.rank[c]);
          CHECK((x.slot[c] < 0) == (y.slot[c] < 0));  // dropped or not
          if (x.slot[c] < 0) CHECK(x.slot[c] == y.slot[c]);
        }
      // The test has teeth: with one queue for all, some seed lets the attacker in.
      shifted.segment.assign(30, 0), b.segment.assign(30, 0);
      shifted.segments = b.segments = 1;
      static int harmed = 0;
      auto const u = run(serial{}, shifted, shifted.options(order, rule, slot_order::token, row_layout::compact));
      auto const v = run(serial{}, b, b.options(order, rule, slot_order::token, row_layout::compact));
      for (std::size_t c = 0; c < 60; ++c) harmed += a.segment[c / 2] == 1 && (u.slot[c] < 0) != (v.slot[c] < 0);
      if (order == queue_order::shuffled && seed == 11) CHECK(harmed > 0);
    }
}

TEST_CASE("promise P9: padding takes no capacity; appending it changes nothing for valid tokens") {
  for (auto const order : orders) {
    world const a(25, 2, 4, 5);
    world b = a;
    for (int i = 0; i < 9; ++i) {
      b.valid.push_back(0), b.segment.push_back(0), b.of_token.push_back(1000);
      for (int j = 0; j < 2; ++j) b.ids.push_back(1), b.of_choice.push_back(1000);
    }
    b.tokens += 9;
    capacity_rule const rule{.factor = .7};
    auto const x = run(serial{}, a, a.options(order, rule, slot_order::token, row_layout::compact));
    auto const y = run(serial{}, b, b.options(order, rule, slot_order::token, row_layout::compact));
    CHECK(std::equal(x.slot.begin(), x.slot.end(), y.slot.begin()));
    CHECK(x.counts == y.counts);
    CHECK(x.kept == y.kept);
  }
}

TEST_CASE("P31: first choices are never evicted by second choices") {
  world const w(60, 2, 4, 8);
  auto const got =
      run(serial{}, w, w.options(queue_order::choice_major, {.factor = .5}, slot_order::queue, row_layout::fixed));
  for (std::size_t c = 0; c < 120; c += 2)
    if (got.slot[c] == dropped_slot)
      for (std::size_t d = 1; d < 120; d += 2)
        if (w.ids[d] == w.ids[c]) CHECK(got.slot[d] < 0);
}

TEST_CASE("P19: ranks that queue one after the other keep together what one rank with all tokens keeps") {
  world const all(48, 2, 5, 21);
  capacity_rule const rule{.formula = capacity_formula::given, .slots = capacity({.factor = .6}, {48, 96, 5, 0})};
  auto whole = run(serial{}, all, all.options(queue_order::position, rule, slot_order::token, row_layout::compact));
  std::vector<offset_t> before(5, 0);
  offset_t kept_globally = 0, kept_locally = 0;
  for (int rank = 0; rank < 3; ++rank) {
    world part = all;
    auto const cut = [&](auto& v, std::size_t each) {
      v.assign(v.begin() + static_cast<std::ptrdiff_t>(16 * rank * static_cast<int>(each)),
               v.begin() + static_cast<std::ptrdiff_t>(16 * (rank + 1) * static_cast<int>(each)));
    };
    part.tokens = 16;
    cut(part.ids, 2), cut(part.of_choice, 2), cut(part.of_token, 1), cut(part.valid, 1), cut(part.segment, 1);
    auto o = part.options(queue_order::position, rule, slot_order::token, row_layout::compact);
    o.before = before;
    auto const got = run(serial{}, part, o);
    for (std::size_t c = 0; c < 32; ++c) {
      CHECK((got.slot[c] >= 0) == (whole.slot[c + static_cast<std::size_t>(32 * rank)] >= 0));
      CHECK(got.rank[c] == whole.rank[c + static_cast<std::size_t>(32 * rank)]);
    }
    for (std::size_t e = 0; e < 5; ++e) before[e] += got.counts[e], kept_globally += got.kept[e];
    capacity_rule const local{.formula = capacity_formula::given, .slots = rule.slots / 3};
    auto const alone =
        run(serial{}, part, part.options(queue_order::position, local, slot_order::token, row_layout::compact));
    for (auto const n : alone.kept) kept_locally += n;
  }
  CHECK(kept_globally >= kept_locally);  // global dropping drops at most as much
}

TEST_CASE("P19: behind the choices of earlier ranks, rows start at the expert's first in every layout and order") {
  world const w(30, 2, 4, 9);
  std::vector<offset_t> const before{3, 0, 5, 1};
  capacity_rule const rule{.formula = capacity_formula::given, .slots = 8};
  for (auto const order : orders)
    for (auto const slots : {slot_order::token, slot_order::queue})
      for (auto const rows : {row_layout::compact, row_layout::fixed}) {
        auto o = w.options(order, rule, slots, rows);
        o.before = before;
        auto const got = run(serial{}, w, o);
        std::vector<offset_t> next(got.offsets.begin(), got.offsets.end() - 1);
        for (offset_t i = 0; i < std::ssize(got.token); ++i) {  // the first kept_e rows of an expert, and no others
          index_t e = 0;
          while (e < 3 && i >= got.offsets[static_cast<std::size_t>(e) + 1]) ++e;
          offset_t const place = i - got.offsets[static_cast<std::size_t>(e)];
          CHECK((got.choice[static_cast<std::size_t>(i)] >= 0) ==
                (i < got.offsets.back() && place < got.kept[static_cast<std::size_t>(e)]));
        }
        for (std::size_t c = 0; c < got.slot.size(); ++c)
          if (got.slot[c] >= 0) CHECK(got.choice[static_cast<std::size_t>(got.slot[c])] == static_cast<offset_t>(c));
      }
}

TEST_CASE("promise P13: published bounds of rows and workspace are monotone and enough") {
  capacity_rule const rule{.factor = 1.25, .multiple = 4};
  for (auto const rows : {row_layout::compact, row_layout::fixed})
    for (offset_t t = 1; t < 60; ++t)
      for (index_t e = 1; e < 9; ++e) {
        CHECK(limited_rows_bound(rule, rows, {t, 2 * t, e, 0}, 2, 8) <=
              limited_rows_bound(rule, rows, {t + 1, 2 * t + 2, e, 0}, 2, 8));
        CHECK(limited_plan_workspace_bytes(threads{2}, e, t, 2 * t, 2) <=
              limited_plan_workspace_bytes(threads{2}, e + 1, t, 2 * t, 2));
        CHECK(limited_plan_workspace_bytes(threads{2}, e, t, 2 * t, 2) <=
              limited_plan_workspace_bytes(threads{2}, e, t + 1, 2 * t + 2, 3));
      }
}

TEST_CASE("promise P17: a limited plan names what is wrong") {
  world const w(10, 2, 3, 2, 2);
  plan_arrays<> p(20, 3, 6);
  auto space = poisoned<std::byte>(limited_plan_workspace_bytes(serial{}, 3, 10, 20, 2));
  auto const says = [&](capacity_options<> const& o) {
    return std::string(message(try_make_plan(serial{}, w.view(), 3, {}, o, p.view, space)).c_str());
  };
  auto o = w.options(queue_order::position, {.formula = capacity_formula::given, .slots = 1}, slot_order::token,
                     row_layout::fixed);
  CHECK(says(o) == "ok");
  o.rule.slots = 2;
  CHECK(says(o).find("plan.token_of_slot size = 6 must be at least 12") != std::string::npos);
  o.rule.slots = offset_t{1} << 59;
  CHECK(says(o).find("capacity (of fixed rows)") != std::string::npos);
  o.rule.formula = capacity_formula::unlimited;
  CHECK(says(o).find("fixed rows need a capacity") != std::string::npos);
  o = w.options(queue_order::position, {.factor = 0}, slot_order::token, row_layout::compact);
  o.segments = 1;
  CHECK(says(o).find("capacity.segment = 1 must be at most 0") != std::string::npos);
  o.segments = 0;
  CHECK(says(o).find("capacity.segments = 0") != std::string::npos);
  o = w.options(queue_order::score, {}, slot_order::token, row_layout::compact);
  o.queue.of_choice = {};
  CHECK(says(o).find("queue.of_choice rows") != std::string::npos);
}
