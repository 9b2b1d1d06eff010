// Decides whether dropped choices find room as the papers say: recycled, rectified at home, or filled up.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/plan.hpp>
#include <moeroute/route.hpp>

#include "support/plan_arrays.hpp"
#include "support/travel.hpp"

using namespace moeroute;

namespace {
struct limited {
  plan_arrays<> p;
  limited(std::vector<int> const& ids, offset_t tokens, index_t experts, offset_t slots,
          queue_keys<double> const& queue = {})
      : p(std::ssize(ids), experts, std::ssize(ids)) {
    offset_t const k = std::ssize(ids) / tokens;
    auto w = poisoned<std::byte>(limited_plan_workspace_bytes(serial{}, experts, tokens, std::ssize(ids)));
    capacity_options<double> const o{.rule = {.formula = capacity_formula::given, .slots = slots}, .queue = queue};
    make_plan(serial{}, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, {}, o, p.view, w);
  }
  offset_t dropped() const { return std::count(p.slot_of_choice.begin(), p.slot_of_choice.end(), dropped_slot); }
};
std::vector<int> skewed(offset_t n, index_t experts, unsigned seed) {
  std::vector<int> ids;
  for (offset_t i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    ids.push_back(static_cast<int>(
        std::min((seed >> 9) % static_cast<unsigned>(experts), (seed >> 20) % static_cast<unsigned>(experts))));
  }
  return ids;
}
}  // namespace

TEST_CASE("P21: nobody is dropped while capacity remains; who was kept stays; seeded, by name; even over the free") {
  offset_t const tokens = 60;
  index_t const experts = 8;
  auto const ids = skewed(tokens, experts, 3);
  for (offset_t const slots : {6, 8, 10}) {
    limited const first(ids, tokens, experts, slots);
    REQUIRE(first.dropped() > 0);
    auto const recycled = [&](auto const& x, std::uint64_t seed) {
      auto out = ids;
      auto w = poisoned<std::byte>(recycle_workspace_bytes(x, experts));
      recycle_dropped(x, first.p.view, slots, {.seed = seed}, matrix_view<int>(out.data(), tokens, 1), w);
      return out;
    };
    auto const out = recycled(serial{}, 1);
    CHECK(out == recycled(threads{3}, 1));
    CHECK(out == recycled(lockstep{3}, 1));
    CHECK(out != recycled(serial{}, 2));
    limited const second(out, tokens, experts, slots);
    CHECK(second.dropped() == std::max<offset_t>(0, tokens - slots * experts));
    for (std::size_t t = 0; t < static_cast<std::size_t>(tokens); ++t)
      if (first.p.slot_of_choice[t] >= 0) {
        CHECK(out[t] == ids[t]);
        CHECK(second.p.slot_of_choice[t] >= 0);
      }
  }
  // Evenly: one dropped token, three free experts, many seeds.
  std::vector<int> const crowd{0, 0, 0, 1};
  limited const one(crowd, 4, 4, 2);
  std::map<int, int> count;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    auto out = crowd;
    auto w = poisoned<std::byte>(recycle_workspace_bytes(serial{}, 4));
    recycle_dropped(serial{}, one.p.view, 2, {.seed = seed}, matrix_view<int>(out.data(), 4, 1), w);
    ++count[out[2]];
  }
  CHECK(count.size() == 3);
  CHECK(count.count(0) == 0);
  for (auto const& [e, n] : count) CHECK(std::abs(n - 1000) < 150);
}

TEST_CASE("P21: a token never gets an expert twice") {
  auto const ids = skewed(120, 4, 5);
  auto pairs = ids;
  for (std::size_t t = 0; t < 60; ++t)
    if (pairs[2 * t] == pairs[2 * t + 1]) pairs[2 * t + 1] = (pairs[2 * t] + 1) % 4;
  limited const first(pairs, 60, 4, 22);
  auto out = pairs;
  auto w = poisoned<std::byte>(recycle_workspace_bytes(serial{}, 4));
  recycle_dropped(serial{}, first.p.view, 22, {.seed = 3}, matrix_view<int>(out.data(), 60, 2), w);
  CHECK(out != pairs);
  for (std::size_t t = 0; t < 60; ++t) CHECK(out[2 * t] != out[2 * t + 1]);
}

TEST_CASE("S114: IR sends a dropped choice to the best expert at home; no token is left without one") {
  offset_t const tokens = 40;
  index_t const experts = 8, ranks = 4;
  auto ids = skewed(tokens * 2, experts, 9);
  for (std::size_t t = 0; t < 40; ++t)
    if (ids[2 * t] == ids[2 * t + 1]) ids[2 * t + 1] = (ids[2 * t] + 1) % experts;
  auto const p = drawn(tokens * experts, 4);
  std::vector<index_t> home;
  for (index_t t = 0; t < tokens; ++t) home.push_back(t / 10);
  limited const first(ids, tokens, experts, 7);
  REQUIRE(first.dropped() > 5);
  auto out = ids, lanes = ids;
  rectify_local(threads{2}, first.p.view, as_matrix(p, tokens, experts), home, ranks,
                matrix_view<int>(out.data(), tokens, 2));
  rectify_local(lockstep{3}, first.p.view, as_matrix(p, tokens, experts), home, ranks,
                matrix_view<int>(lanes.data(), tokens, 2));
  CHECK(out == lanes);
  for (std::size_t t = 0; t < 40; ++t) {
    CHECK((out[2 * t] >= 0 || out[2 * t + 1] >= 0));
    CHECK(out[2 * t] != out[2 * t + 1]);
    for (std::size_t j = 0; j < 2; ++j) {
      std::size_t const c = 2 * t + j;
      if (first.p.slot_of_choice[c] >= 0) {
        CHECK(out[c] == ids[c]);
        continue;
      }
      if (out[c] < 0) continue;  // both experts at home are taken
      CHECK(rank_of_expert(experts, ranks, out[c]) == home[t]);
      for (int e = 0; e < experts; ++e)  // nobody better at home was free for it
        if (rank_of_expert(experts, ranks, e) == home[t] && e != out[2 * t] && e != out[2 * t + 1] &&
            (j == 1 || e != ids[2 * t + 1]))
          CHECK(p[t * 8 + static_cast<std::size_t>(out[c])] >= p[t * 8 + static_cast<std::size_t>(e)]);
    }
  }
  limited const roomy(ids, tokens, experts, 80);
  auto same = ids;
  rectify_local(serial{}, roomy.p.view, as_matrix(p, tokens, experts), home, ranks,
                matrix_view<int>(same.data(), tokens, 2));
  CHECK(same == ids);  // nothing dropped, nothing moved
}

TEST_CASE("S114: FR fills free rows with the best next choices, level by level, never above C, never twice") {
  offset_t const tokens = 30, k = 2, extra = 2, slots = 12;
  index_t const experts = 5;
  auto const logits = as<float>(drawn(tokens * experts, 11));
  router const r{.score = softmax{}, .select = top_k{static_cast<index_t>(k + extra)}};
  std::vector<int> ids(static_cast<std::size_t>(tokens * 4));
  std::vector<float> p(ids.size());
  std::vector<std::byte> w(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, tokens, experts)));
  route(serial{}, r, {.logits = as_matrix(logits, tokens, experts)},
        routing_view<>{{ids.data(), tokens, 4}, {p.data(), tokens, 4}}, w);
  std::vector<double> keys(ids.size());
  fill_keys(serial{}, as_matrix(p, tokens, 4), static_cast<index_t>(k), as_matrix(keys, tokens, 4));
  limited const filled(ids, tokens, experts, slots,
                       {.order = queue_order::score, .of_choice = as_matrix(std::as_const(keys), tokens, 4)});
  for (int e = 0; e < experts; ++e) {
    CHECK(filled.p.kept[static_cast<std::size_t>(e)] <= slots);
    // Served in order: every level before the next, inside a level by p.
    std::vector<std::tuple<int, float, bool>> line;
    for (std::size_t c = 0; c < ids.size(); ++c)
      if (ids[c] == e)
        line.emplace_back(std::max(0, static_cast<int>(c % 4) - 1), -p[c], filled.p.slot_of_choice[c] >= 0);
    std::sort(line.begin(), line.end());
    for (std::size_t i = 0; i < line.size(); ++i) CHECK(std::get<2>(line[i]) == (static_cast<offset_t>(i) < slots));
  }
  offset_t filled_rows = 0;
  for (std::size_t c = 0; c < ids.size(); ++c) filled_rows += c % 4 >= 2 && filled.p.slot_of_choice[c] >= 0;
  CHECK(filled_rows > 0);
}

TEST_CASE("promise P17: refilling names what is missing") {
  std::vector<int> ids{0, 0, 0};
  limited const first(ids, 3, 2, 1);
  auto w = poisoned<std::byte>(recycle_workspace_bytes(serial{}, 2));
  auto plan = first.p.view;
  plan.kept = {};
  CHECK(try_recycle_dropped(serial{}, plan, 1, draws{}, matrix_view<int>(ids.data(), 3, 1), w).code == errc::missing);
  CHECK(try_recycle_dropped(serial{}, first.p.view, 1, draws{}, matrix_view<int>(ids.data(), 3, 1),
                            workspace(w.data(), 4))
            .code == errc::too_small);
  std::vector<float> const p(6);
  std::vector<index_t> const home{0, 1, 2};
  CHECK(
      try_rectify_local(serial{}, first.p.view, as_matrix(p, 3, 2), home, 2, matrix_view<int>(ids.data(), 3, 1)).code ==
      errc::bad_value);
}
