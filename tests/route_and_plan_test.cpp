// Decides whether routing and planning in one go is route followed by make_plan, array for array, for every executor.
#include <doctest/doctest.h>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/moeroute.hpp>

#include "support/inputs.hpp"
#include "support/plan_arrays.hpp"

using namespace moeroute;

namespace {

struct routed {
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
  plan_arrays<std::int32_t> plan;
  offset_t tokens, k;
  routed(offset_t t, offset_t choices, index_t experts, offset_t align)
      : ids(static_cast<std::size_t>(t * choices), 55),
        weights(ids.size(), 5.f),
        plan(t * choices, experts, plan_rows_bound(t * choices, experts, align)),
        tokens(t),
        k(choices) {}
  routing_view<> out() { return {{ids.data(), tokens, k}, {weights.data(), tokens, k}}; }
  bool operator==(routed const& o) const {
    return ids == o.ids && weights == o.weights && plan.counts == o.plan.counts && plan.kept == o.plan.kept &&
           plan.offsets == o.plan.offsets && plan.slot_of_choice == o.plan.slot_of_choice &&
           plan.token_of_slot == o.plan.token_of_slot && plan.choice_of_slot == o.plan.choice_of_slot &&
           plan.rank_of_choice == o.plan.rank_of_choice;
  }
};

template <class R>
void compare(R const& r, batch<> const& in, index_t experts, plan_options const& o) {
  offset_t const tokens = in.logits.rows, k = r.select.experts_per_token();
  index_t const logits = static_cast<index_t>(in.logits.cols);
  routed want(tokens, k, experts, o.align);
  auto w = poisoned<std::byte>(route_workspace_bytes(serial{}, r, tokens, logits));
  route(serial{}, r, in, want.out(), w);
  auto v = poisoned<std::byte>(plan_workspace_bytes(serial{}, experts));
  make_plan(serial{}, choices_view<>{.ids = {want.ids.data(), tokens, k}}, experts, o, want.plan.view, v);
  auto const same = [&](auto const& x) {
    routed got(tokens, k, experts, o.align);
    auto space = poisoned<std::byte>(route_and_plan_workspace_bytes(x, r, tokens, logits));
    route_and_plan(x, r, in, got.out(), experts, o, got.plan.view, space);
    CHECK(got.plan.view.choices.size() == tokens * k);
    CHECK(got == want);
  };
  same(serial{}), same(row_by_row{serial{}}), same(threads{2}), same(threads{5}), same(lockstep{3});
}

}  // namespace

TEST_CASE("promise P7: route_and_plan is route, then make_plan") {
  for (index_t const experts : {1, 3, 8, 64, 257})
    for (index_t const k : {1, 2, 8, 40})
      for (offset_t const tokens : {0, 1, 63, 64, 65, 300})
        for (offset_t const align : {1, 4}) {
          if (k > experts) continue;
          auto const logits = inputs::normal(static_cast<std::size_t>(tokens * experts), 3);
          batch<> const in{.logits = {logits.data(), tokens, experts}};
          compare(router{.select = top_k{k}}, in, experts, {.align = align});
        }
}

TEST_CASE("route_and_plan: ties, rows that choose nobody, arrays left out") {
  std::vector<float> logits(200 * 16, .5f);
  for (std::size_t t = 0; t < 200; t += 3) logits[16 * t + t % 16] = not_a_number<float>;
  batch<> in{.logits = {logits.data(), 200, 16}};
  in.nan = nan_rule::drop_row;
  router const r{.select = top_k{4}};
  compare(r, in, 16, {.align = 8});

  routed some(200, 4, 16, 1), all(200, 4, 16, 1);
  plan_view<std::int32_t> few{.offsets = some.plan.view.offsets, .slot_of_choice = some.plan.view.slot_of_choice};
  auto w = poisoned<std::byte>(route_and_plan_workspace_bytes(threads{2}, r, 200, 16));
  route_and_plan(threads{2}, r, in, some.out(), 16, {}, few, w);
  route_and_plan(threads{2}, r, in, all.out(), 16, {}, all.plan.view, w);
  CHECK(some.plan.slot_of_choice == all.plan.slot_of_choice);
}

TEST_CASE("route_and_plan: identity experts have no row, and an id nobody knows is named") {
  auto const logits = inputs::normal(std::size_t{120} * 10, 7);
  batch<> const in{.logits = {logits.data(), 120, 10}};
  router const r{.select = top_k{3}};
  compare(r, in, 8, {.align = 2, .identity = 2});
  compare(r, in, 8, {.identity = 1, .null = 1});

  routed got(120, 3, 8, 1);
  auto w = poisoned<std::byte>(route_and_plan_workspace_bytes(serial{}, r, 120, 10));
  status const s = try_route_and_plan(serial{}, r, in, got.out(), 8, {}, got.plan.view, w);
  CHECK(s.code == errc::bad_value);
  CHECK(s.wanted == 8);
  CHECK((s.found == 8 || s.found == 9));
  CHECK(try_route_and_plan(serial{}, r, in, got.out(), 8, {.identity = 2}, got.plan.view, workspace{}).code ==
        errc::too_small);
  CHECK(try_route_and_plan(serial{}, r, in, got.out(), 8, {.align = 0}, got.plan.view, w).code != errc::ok);
}
