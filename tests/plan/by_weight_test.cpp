// Decides whether choices are ordered by weight, stably, whatever the weights hold.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/plan/by_weight.hpp>

using namespace moeroute;

TEST_CASE("by weight: descending, ties as they were, NaN behind numbers, empty places last") {
  float const nan = std::nanf("");
  std::vector<int> ids{1, 2, 3, 4, 5, 9, 8, -1, 6, 7, 5, 5, 5, 5, 5};
  std::vector<float> w{.1f, .4f, .4f, nan, .2f, -1, 0, 5, -0.f, INFINITY, 1, 2, 3, 4, 5};
  auto ids2 = ids;
  auto w2 = w;
  order_by_weight(serial{}, matrix_view<int>(ids.data(), 3, 5), matrix_view<float>(w.data(), 3, 5));
  CHECK(ids == std::vector<int>{2, 3, 5, 1, 4, 7, 8, 6, 9, -1, 5, 5, 5, 5, 5});
  CHECK(w[0] == .4f);
  CHECK(std::isnan(w[4]));
  CHECK(w[9] == 5);
  CHECK(std::is_sorted(w.rbegin(), w.rbegin() + 5));
  order_by_weight(lockstep{3}, matrix_view<int>(ids2.data(), 3, 5), matrix_view<float>(w2.data(), 3, 5));
  CHECK(ids2 == ids);
  CHECK(try_order_by_weight(threads{2}, matrix_view<int>(ids.data(), 3, 5), matrix_view<float>(w.data(), 5, 3)).code ==
        errc::bad_shape);
}
