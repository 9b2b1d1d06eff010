// Decides whether a plan by sorting, as a device makes it, is the plan that one lane makes.
#include <doctest/doctest.h>

#include <moeroute/cuda/plan_sorted.hpp>

#include "support/limited_world.hpp"
#include "support/lockstep_lanes.hpp"

using namespace moeroute;
using namespace limited_world;

namespace {

// Looks at nothing but the bits it is told to, as a radix sort does.
struct stable_sort {
  status operator()(std::uint64_t* keys, std::uint64_t* sorted_keys, std::int32_t* items, std::int32_t* sorted,
                    offset_t n, int first_bit, int last_bit) const {
    std::vector<std::size_t> order(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::uint64_t const mask = last_bit >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << last_bit) - 1;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return (keys[a] & mask) >> first_bit < (keys[b] & mask) >> first_bit;
    });
    for (std::size_t i = 0; i < order.size(); ++i) sorted_keys[i] = keys[order[i]], sorted[i] = items[order[i]];
    return {};
  }
};

template <class X>
answer by_sorting(X const& x, choices_view<> const& in, index_t experts, plan_options const& options,
                  capacity_options<> const& o, offset_t* odd = nullptr) {
  return made(in, experts, options.align, o, plan_by_sorting_workspace_bytes(x, experts, in.shape().size(), o.segments),
              [&](plan_view<>& p, workspace w) {
                return plan_by_sorting(x, in, experts, options, o, p, w, stable_sort{}, odd);
              });
}

}  // namespace

TEST_CASE("promise P10: a plan by sorting is the plan of the definition, every order, layout, scope and group") {
  for (auto const order : orders)
    for (index_t const segments : {1, 3})
      for (auto const slots : {slot_order::token, slot_order::queue})
        for (auto const rows : {row_layout::compact, row_layout::fixed})
          for (auto const& rule :
               {capacity_rule{.factor = .7}, capacity_rule{.formula = capacity_formula::tutel, .factor = -2},
                capacity_rule{.formula = capacity_formula::given, .slots = 0}}) {
            world const w(41, 3, 5, static_cast<unsigned>(segments) + 3, segments);
            auto const o = w.options(order, rule, slots, rows);
            for (offset_t const align : {1, 8}) {
              CAPTURE(static_cast<int>(order));
              CAPTURE(segments);
              CAPTURE(static_cast<int>(slots));
              CAPTURE(static_cast<int>(rows));
              auto want = reference(w, o, align);
              auto const got = by_sorting(serial{}, w.view(), w.experts, {.align = align}, o);
              want.token.resize(got.token.size(), -1), want.choice.resize(got.token.size(), -1);
              REQUIRE(got == want);
              if (align == 8 && segments == 3)
                REQUIRE(by_sorting(lockstep_lanes::block<8, 3>{}, w.view(), w.experts, {.align = align}, o) == want);
            }
          }
}

TEST_CASE("P19: a plan by sorting: earlier ranks, special ids, ragged choices, several blocks of work") {
  world const w(900, 3, 12, 4, 2);
  std::vector<offset_t> const before{40, 0, 5, 1, 0, 0, 7, 0, 0, 300, 0, 2};
  for (auto const order : orders) {
    CAPTURE(static_cast<int>(order));
    for (auto const rows : {row_layout::compact, row_layout::fixed})
      for (auto const slots : {slot_order::token, slot_order::queue}) {
        auto o = w.options(order, {.formula = capacity_formula::given, .slots = 150}, slots, rows);
        CHECK(by_sorting(serial{}, w.view(), 9, {.align = 4, .identity = 2, .null = 1}, o) ==
              planned(serial{}, w.view(), 9, {.align = 4, .identity = 2, .null = 1}, o));
        o.segment = {}, o.segments = 1, o.before = before;
        CHECK(by_sorting(serial{}, w.view(), 12, {}, o) == planned(serial{}, w.view(), 12, {}, o));
      }
    if (order == queue_order::batch_priority) continue;
    std::vector<offset_t> offsets{0};
    for (int t = 0; t < 600; ++t) offsets.push_back(offsets.back() + t % 4);
    choices_view<> const ragged{.ids = {w.ids.data(), 1, offsets.back()}, .offsets = offsets};
    auto o = w.options(order, {.factor = .8}, slot_order::token, row_layout::compact);
    o.segment = {}, o.segments = 1;
    o.queue.of_choice = {w.of_choice.data(), 1, offsets.back()};
    CHECK(by_sorting(serial{}, ragged, 12, {.align = 2}, o) == planned(serial{}, ragged, 12, {.align = 2}, o));
  }
  world const none(0, 2, 3, 1);
  CHECK(by_sorting(serial{}, none.view(), 3, {},
                   none.options(queue_order::score, {.factor = 1}, slot_order::token, row_layout::compact))
            .offsets == std::vector<offset_t>(4, 0));
}

TEST_CASE("promise P17: a plan by sorting tells the first choice nobody knows, and names what it does not serve") {
  world w(40, 2, 5, 3);
  w.valid.assign(40, 1);
  w.ids[61] = 5, w.ids[17] = -9;
  offset_t odd = -77;
  auto o = w.options(queue_order::score, {.factor = 1}, slot_order::token, row_layout::compact);
  auto const got = by_sorting(serial{}, w.view(), 5, {}, o, &odd);
  CHECK(odd == 17);
  CHECK(got.slot[17] == no_slot);
  w.ids[61] = 0, w.ids[17] = 0, w.segment[20] = 7;
  by_sorting(serial{}, w.view(), 5, {}, o, &odd);
  CHECK(odd == 40);
  auto const says = [&](capacity_options<> const& options) {
    plan_arrays<> p(80, 5, 80);
    auto space = poisoned<std::byte>(plan_by_sorting_workspace_bytes(serial{}, 5, 80));
    return std::string(
        message(plan_by_sorting(serial{}, w.view(), 5, {}, options, p.view, workspace(space), stable_sort{}, nullptr))
            .c_str());
  };
  o.segments = 0;
  CHECK(says(o).find("capacity.segments = 0 must be at least 1") != std::string::npos);
  o.segments = 1, o.rows = row_layout::fixed, o.rule.formula = capacity_formula::unlimited;
  CHECK(says(o).find("fixed rows need a capacity") != std::string::npos);
  o.rule = {.formula = capacity_formula::given, .slots = offset_t{1} << 60};
  CHECK(says(o).find("capacity (of fixed rows)") != std::string::npos);
  o.rows = row_layout::compact, o.queue.of_choice = {};
  CHECK(says(o).find("queue.of_choice rows = 0 must be 40") != std::string::npos);
  plan_arrays<> p(80, 5, 80);
  CHECK(plan_by_sorting(serial{}, w.view(), 5, {},
                        w.options(queue_order::score, {}, slot_order::token, row_layout::compact), p.view, workspace{},
                        stable_sort{}, nullptr)
            .code == errc::too_small);
}
