// Decides whether the vector way of taking many is taken where it should be, and gives way where it must.
#include <moeroute/cpu/simd/take_many.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE(
    "vector take_many: equals the plain way bit for bit, serves ordinary rows, leaves crowds to "
    "the plain way") {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::size_t const n = 100 + 397 * seed;
    auto const x = narrow(normal_numbers(n, seed));
    for (offset_t const k : {1, 16, 64, 129, 400}) {
      for (auto const order : {pick_order::best_first, pick_order::position}) {
        std::vector<offset_t> fast(static_cast<std::size_t>(k), 77), plain(static_cast<std::size_t>(k), 77);
        memory_row<float const> const row{x.data(), static_cast<index_t>(n)};
        offset_t const taken = simd::take_many(row.data, row.count, row_view<offset_t>(fast), order);
        take_many(serial_group{}, mapped_row{row, [](index_t, float v) { return v; }}, row_view<offset_t>(plain),
                  order);
        CHECK(taken == std::min(k, static_cast<offset_t>(n)));
        CHECK(fast == plain);
      }
    }
  }
  std::vector<float> const alike(20000, 1.f);
  std::vector<offset_t> out(100);
  CHECK(simd::take_many(alike.data(), 20000, row_view<offset_t>(out), pick_order::position) == -1);
}
