// Decides whether drops are found where they happen, and memory is told as it is taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include <moeroute/plan.hpp>

#include "support/plan_arrays.hpp"

using namespace moeroute;

TEST_CASE("S124: position priority drops towards the end of the sequence, score priority and shuffling do not") {
  index_t const experts = 8;
  auto const drops_of_quarters = [&](queue_order order) {
    std::vector<offset_t> chosen(64), dropped(64);
    unsigned seed = 5;
    offset_t in_plans = 0;
    for (int batch = 0; batch < 20; ++batch) {
      std::vector<int> ids;
      std::vector<float> p;
      std::vector<index_t> position(64);
      std::iota(position.begin(), position.end(), 0);
      for (int i = 0; i < 64; ++i) {
        seed = seed * 1664525u + 1013904223u;
        ids.push_back(static_cast<int>(std::min((seed >> 9) % 8, (seed >> 20) % 8)));  // skewed
        p.push_back(static_cast<float>(seed >> 8));
      }
      plan_arrays<> plan(64, experts, 64);
      auto w = poisoned<std::byte>(limited_plan_workspace_bytes(serial{}, experts, 64, 64));
      capacity_options<> o{.rule = {.factor = 1}};
      o.queue = {.order = order, .of_choice = {p.data(), 64, 1}, .random = {static_cast<std::uint64_t>(batch)}};
      make_plan(serial{}, choices_view<>{.ids = {ids.data(), 64, 1}}, experts, {}, o, plan.view, w);
      add_drops_by_position(plan.view, position, chosen, dropped);
      in_plans += std::count(plan.slot_of_choice.begin(), plan.slot_of_choice.end(), dropped_slot);
    }
    CHECK(std::accumulate(dropped.begin(), dropped.end(), offset_t{0}) == in_plans);  // nothing lost
    CHECK(*std::min_element(chosen.begin(), chosen.end()) == 20);
    std::vector<offset_t> quarters;
    for (std::ptrdiff_t q = 0; q < 64; q += 16)
      quarters.push_back(std::accumulate(dropped.begin() + q, dropped.begin() + q + 16, offset_t{0}));
    return quarters;
  };
  auto const late = drops_of_quarters(queue_order::position);
  CHECK(late[0] == 0);
  CHECK(std::is_sorted(late.begin(), late.end()));
  CHECK(late[3] > 4 * (late[0] + late[1]));
  for (auto const order : {queue_order::score, queue_order::shuffled}) {
    auto const even = drops_of_quarters(order);
    CHECK(even[3] + even[2] < 2 * (even[0] + even[1]));
    CHECK(even[0] > 20);
  }
}

TEST_CASE("report: padded and compact layouts in bytes, before and after") {
  capacity_rule const rule{.formula = capacity_formula::given, .slots = 10};
  CHECK(grouped_bytes_bound(rule, row_layout::fixed, {20, 40, 6, 0}, 16, 2) == 6 * 10 * 16 * 2);
  CHECK(grouped_bytes_bound(rule, row_layout::compact, {20, 40, 6, 0}, 16, 2) == 40 * 16 * 2);
  std::vector<int> const ids{0, 0, 1, 5};
  plan_arrays<> plan(4, 6, 64);
  auto w = poisoned<std::byte>(limited_plan_workspace_bytes(serial{}, 6, 4, 4));
  make_plan(serial{}, choices_view<>{.ids = {ids.data(), 4, 1}}, 6, {},
            capacity_options<>{.rule = rule, .rows = row_layout::fixed}, plan.view, w);
  CHECK(grouped_bytes(plan.view, 16, 2) == 6 * 10 * 16 * 2);
  make_plan(serial{}, choices_view<>{.ids = {ids.data(), 4, 1}}, 6, {.align = 4}, capacity_options<>{.rule = rule},
            plan.view, w);
  CHECK(grouped_bytes(plan.view, 16, 2) == 12 * 16 * 2);
  std::vector<index_t> const position(3);
  std::vector<offset_t> n(4);
  CHECK(try_add_drops_by_position(plan.view, position, n, n).code == errc::bad_shape);
}
