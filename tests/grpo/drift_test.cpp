#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include <moeroute/grpo/drift.hpp>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

TEST_CASE("S069 drift: changed choices, changed rows and reordered rows of each layer; mergeable") {
  std::vector<index_t> const a{0, 1, 2, 3, 4, no_expert, 5, 6}, same = a;
  std::vector<std::uint8_t> const b{1, 0, 2, 7, 4, 255, 5, 6};
  auto const drifted = [&](auto const& x) {
    std::vector<route_drift> d(2);
    drift(x, matrix_view<index_t const>{a.data(), 4, 2}, matrix_view<std::uint8_t const>{b.data(), 4, 2},
          row_view<route_drift>(d));
    CHECK(d[0].rows == 2);
    CHECK(d[0].rows_changed == 1);
    CHECK(d[0].rows_reordered == 1);
    CHECK(d[0].choices_changed == 1);
    CHECK(d[0].of_choices() == .25);
    CHECK(d[1].choices == 3);
    CHECK(d[1].choices_changed == 0);
    route_drift sum = d[0];
    sum += d[1];
    CHECK(sum.of_rows() == .25);
    CHECK(sum.choices == 7);
  };
  drifted(serial{});
  drifted(lockstep{3});
  drifted(lockstep_lanes::warp<lockstep_lanes::words<4>>{});
  std::vector<route_drift> none(1);
  drift(serial{}, matrix_view<index_t const>{a.data(), 4, 2}, matrix_view<index_t const>{same.data(), 4, 2},
        row_view<route_drift>(none));
  CHECK(none[0].choices_changed + none[0].rows_changed + none[0].rows_reordered == 0);
}

TEST_CASE("promise P17 drift: what does not fit is named") {
  std::vector<index_t> const a(8);
  std::vector<route_drift> d(3);
  auto const s = try_drift(serial{}, matrix_view<index_t const>{a.data(), 4, 2},
                           matrix_view<index_t const>{a.data(), 4, 2}, row_view<route_drift>(d));
  CHECK(std::strcmp(message(s).c_str(), "moeroute: layers (out size) of rows = 3 must be a divisor of 4") == 0);
}
