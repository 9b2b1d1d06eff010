// Decides whether plan, permute and combine keep the promises that span them: no allocation, no globals, equal
// bits for every executor and again and again, and groups that cannot reach each other.
#include <doctest/doctest.h>

#include <thread>
#include <utility>

#include <moeroute/combine_backward.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/routing.hpp>

#include "support/allocations.hpp"
#include "support/travel.hpp"

using namespace moeroute;

namespace {
constexpr queue_order orders[] = {queue_order::position, queue_order::choice_major, queue_order::batch_priority,
                                  queue_order::score, queue_order::shuffled};
}

TEST_CASE("promise P13: plan, permute, combine and their backwards allocate nothing, in any garbage") {
  travel s(40, 3, 6, 33, {.align = 8});
  auto x = as<float>(s.x), w = as<float>(s.weights);
  std::vector<float> grouped(static_cast<std::size_t>(s.rows * 33)), y(x.size()), d_x(x.size()), d_w(w.size());
  std::vector<float> of_token(40, 1.f);
  choices_view<> const in{.ids = {s.ids.data(), 40, 3}};
  plan_arrays<> limited(120, 6, 120);
  auto a = poisoned<std::byte>(plan_workspace_bytes(serial{}, 6));
  auto b = poisoned<std::byte>(limited_plan_workspace_bytes(serial{}, 6, 40, 120));
  long const before = allocations::count;
  bool ok = try_make_plan(serial{}, in, 6, {.align = 8}, s.plan.view, a).ok();
  for (auto const order : orders) {
    capacity_options<> o{.rule = {.factor = .5}};
    o.queue = {.order = order, .of_token = of_token, .of_choice = as_matrix(std::as_const(w), 40, 3)};
    ok = ok && try_make_plan(serial{}, in, 6, {}, o, limited.view, b).ok();
  }
  auto const rows = as_matrix(grouped, s.rows, 33);
  ok = ok && try_permute(serial{}, s.plan.view, as_matrix(x, 40, 33), rows).ok();
  ok = ok && try_combine(serial{}, s.plan.view, rows, as_matrix(w, 40, 3), as_matrix(y, 40, 33)).ok();
  combine_terms<float> const terms{.rows = rows, .weights = as_matrix(std::as_const(w), 40, 3)};
  ok = ok && try_combine_backward(serial{}, s.plan.view, terms, as_matrix(y, 40, 33),
                                  combine_gradients<float>{.rows = rows, .weights = as_matrix(d_w, 40, 3)})
                 .ok();
  ok = ok && try_permute_backward(serial{}, s.plan.view, rows, as_matrix(d_x, 40, 33)).ok();
  ok = ok &&
       try_keep_weights(serial{}, {.renormalize = true}, s.plan.view, as_matrix(w, 40, 3), as_matrix(d_w, 40, 3)).ok();
  CHECK(allocations::count == before);
  CHECK(ok);
}

TEST_CASE("promise P7: twenty times the same bits, whatever the memory held") {
  travel s(60, 4, 7, 40, {.align = 4});
  auto const x = as<float>(s.x), w = as<float>(s.weights);
  std::vector<float> first;
  for (int round = 0; round < 20; ++round) {
    auto grouped = poisoned<float>(s.rows * 40), y = poisoned<float>(60 * 40);
    permute(threads{1 + round % 4}, s.plan.view, as_matrix(x, 60, 40), as_matrix(grouped, s.rows, 40));
    combine(threads{1 + round % 3}, s.plan.view, as_matrix(grouped, s.rows, 40), as_matrix(w, 60, 4),
            as_matrix(y, 60, 40));
    if (round == 0) first = y;
    REQUIRE(y == first);
  }
}

TEST_CASE("promise P18: many threads plan and combine at once, each in its own arrays, with the result of one") {
  travel const s(200, 2, 9, 16);
  auto const x = as<float>(s.x), w = as<float>(s.weights);
  std::vector<std::vector<float>> results(4, std::vector<float>(200 * 16));
  std::vector<std::thread> team;
  for (auto& y : results)
    team.emplace_back([&] {
      for (int round = 0; round < 5; ++round) {
        plan_arrays<> p(400, 9, 400);
        auto space = poisoned<std::byte>(limited_plan_workspace_bytes(serial{}, 9, 200, 400));
        capacity_options<> const o{.rule = {.factor = .8}, .queue = {.order = queue_order::shuffled, .random = {9}}};
        make_plan(serial{}, choices_view<>{.ids = {s.ids.data(), 200, 2}}, 9, {}, o, p.view, space);
        std::vector<float> grouped(400 * 16);
        permute(serial{}, p.view, as_matrix(x, 200, 16), as_matrix(grouped, 400, 16));
        combine(serial{}, p.view, as_matrix(grouped, 400, 16), as_matrix(w, 200, 2), as_matrix(y, 200, 16));
      }
    });
  for (auto& t : team) t.join();
  for (auto const& y : results) CHECK(y == results[0]);
}

// The attack of "Buffer overflow in mixture of experts" (Hayes et al. 2024): an attacker shares the batch and
// crowds the victim's expert. With capacity by isolation group nothing moves; without it the victim is hit.
TEST_CASE(
    "promise P16: rows of group A never change the outputs of group B, under every queue; and the attack is real") {
  offset_t const tokens = 24;
  index_t const experts = 4;
  auto const hidden = as<float>(drawn(tokens * 8, 5));
  for (auto const order : orders) {
    int harmed_isolated = 0, harmed_shared = 0;
    for (unsigned seed = 1; seed < 25; ++seed) {
      auto const outputs_of = [&](bool attacked, bool isolated) {
        auto logits = as<float>(drawn(tokens * experts, seed));
        auto x = hidden;
        std::vector<index_t> group(static_cast<std::size_t>(tokens));
        for (std::size_t t = 0; t < 24; ++t) {
          group[t] = t % 3 == 2;  // the victim: every third token
          if (group[t] == 1 || !attacked) continue;
          for (std::size_t e = 0; e < 4; ++e) logits[4 * t + e] = e == seed % 4 ? 50.f : 0.f;  // sure of one expert
          for (std::size_t d = 0; d < 8; ++d) x[8 * t + d] += 1;
        }
        router const r{.select = top_k{1}};
        routing routed(tokens, r);
        route(serial{}, r, {.logits = as_matrix(logits, tokens, experts)}, routed);
        capacity_options<> o{.rule = {.factor = 1}};
        o.queue = {.order = order, .of_token = routed.weights, .of_choice = routed.weight_matrix(), .random = {seed}};
        if (isolated) o.segment = group, o.segments = 2;
        auto const plan = make_plan(serial{}, routed, experts, {}, o);
        std::vector<float> grouped(static_cast<std::size_t>(plan.rows() * 8)), y(static_cast<std::size_t>(tokens * 8));
        permute(serial{}, plan, as_matrix(x, tokens, 8), as_matrix(grouped, plan.rows(), 8));
        combine(serial{}, plan, as_matrix(grouped, plan.rows(), 8), as_matrix(y, tokens, 8));
        std::vector<float> victim;
        for (std::size_t i = 0; i < y.size(); ++i)
          if (i / 8 % 3 == 2) victim.push_back(y[i]);
        return victim;
      };
      harmed_isolated += outputs_of(true, true) != outputs_of(false, true);
      harmed_shared += outputs_of(true, false) != outputs_of(false, false);
    }
    CHECK(harmed_isolated == 0);
    CHECK(harmed_shared > 0);
  }
}
