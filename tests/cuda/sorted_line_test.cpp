// Decides whether the keys of a line put every queue in its order, and whether borders of cells are found.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cuda/sorted_line.hpp>

#include "support/limited_world.hpp"

using namespace moeroute;
using namespace limited_world;

namespace {
using line = detail::sorted_plan<int, float, offset_t>;
struct memory_of_line {
  std::vector<std::uint64_t> keys, sorted_keys;
  std::vector<std::int32_t> items, sorted;
  std::vector<offset_t> first, load, start, capacity, odd;
  memory_of_line(std::size_t n, std::size_t cells)
      : keys(n),
        sorted_keys(n),
        items(n),
        sorted(n),
        first(cells, -1),
        load(cells, -1),
        start(cells),
        capacity(4),
        odd(4) {}
  detail::sorted_arrays view() {
    return {keys.data(), sorted_keys.data(), items.data(),    sorted.data(), first.data(),
            load.data(), start.data(),       capacity.data(), odd.data()};
  }
};
}  // namespace

TEST_CASE("P2 sorted_line: keys order the choices of a cell as the queue says, cells apart, strangers last") {
  for (auto const order : orders) {
    CAPTURE(static_cast<int>(order));
    world const w(60, 3, 4, 11, 2);
    auto const o = w.options(order, {}, slot_order::token, row_layout::compact);
    memory_of_line m(180, 8);
    plan_arrays<> p(180, 4, 180);
    line const s{w.view(), {4, 0, 0}, {}, o, p.view, m.view(), 180, 8, order == queue_order::batch_priority ? 3 : 1,
                 true,     nullptr};
    REQUIRE(lockstep{4}.run(1, detail::sorted_keys_block<line>{s}, workspace{}).ok());
    std::vector<std::size_t> by_key(180);
    std::iota(by_key.begin(), by_key.end(), std::size_t{0});
    std::stable_sort(by_key.begin(), by_key.end(), [&](auto a, auto b) { return m.keys[a] < m.keys[b]; });
    // The reference ranks each choice in its cell.
    auto const want = reference(w, o, 1);
    offset_t cell = 0, rank = 0;
    for (std::size_t const c : by_key) {
      offset_t const here = s.cell_of(m.keys[c]);
      CHECK(here >= cell);
      if (here != cell) cell = here, rank = 0;
      if (here == 8) {
        CHECK(want.rank[c] == -1);
        continue;
      }
      CHECK(here == w.segment[c / 3] * 4 + w.ids[c]);
      CHECK(want.rank[c] == rank++);
    }
  }
}

TEST_CASE("sorted_line: the borders of cells, of empty and of full ones") {
  memory_of_line m(7, 5);
  std::uint64_t const high[] = {0, 0, 2, 2, 2, 4, 5};  // cell 5 of 5: nobody's
  for (std::size_t q = 0; q < 7; ++q) m.sorted_keys[q] = high[q] << 32 | (7 - q);
  plan_arrays<> p(7, 5, 7);
  line const s{{}, {5, 0, 0}, {}, {}, p.view, m.view(), 7, 5, 1, true, nullptr};
  REQUIRE(lockstep{3}.run(1, detail::sorted_clear_block<line>{s}, workspace{}).ok());
  REQUIRE(lockstep{3}.run(1, detail::sorted_borders_block<line>{s, true}, workspace{}).ok());
  CHECK(m.first == std::vector<offset_t>{0, 0, 2, 0, 5});
  CHECK(m.load == std::vector<offset_t>{2, 0, 3, 0, 1});
  CHECK(p.token_of_slot == std::vector<offset_t>(7, -1));
}
