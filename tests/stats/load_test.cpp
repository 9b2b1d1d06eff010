// Decides whether the figures of load equal values worked out by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/stats/load.hpp>

using namespace moeroute;
using counts_t = std::vector<std::int64_t>;

TEST_CASE("load: every figure by hand") {
  counts_t const n{6, 2, 0, 4};
  auto const s = summarize_load(row_view<std::int64_t const>(n));
  CHECK(s.total == 12);
  CHECK(s.mean == 3);
  CHECK(s.least == 0);
  CHECK(s.most == 6);
  CHECK(s.dead == 1);
  CHECK(s.max_violation == 1);
  CHECK(s.max_over_mean() == 2);
  CHECK(s.cv == doctest::Approx(std::sqrt((9 + 1 + 9 + 1) / 4.) / 3));
  CHECK(s.entropy == doctest::Approx(.5 * std::log(2.) + std::log(6.) / 6 + std::log(3.) / 3));
  CHECK(s.gini == doctest::Approx((4 + 6 + 2 + 2 + 2 + 4) / (4. * 12)));
  CHECK(utilization(row_view<std::int64_t const>(n), 0) == 2);
  CHECK(load_percentile(row_view<std::int64_t const>(n), 0) == 0);
  CHECK(load_percentile(row_view<std::int64_t const>(n), .5) == 2);
  CHECK(load_percentile(row_view<std::int64_t const>(n), .75) == 4);
  CHECK(load_percentile(row_view<std::int64_t const>(n), 1) == 6);
  CHECK(overflow_share(row_view<std::int64_t const>(n), 3) == doctest::Approx(4. / 12));
}

TEST_CASE("load: balance, one expert for all, nobody, no experts") {
  auto const even = summarize_load(row_view<std::int64_t const>(counts_t{5, 5, 5}));
  CHECK(even.max_violation == 0);
  CHECK(even.cv == 0);
  CHECK(even.gini == 0);
  CHECK(even.relative_entropy() == doctest::Approx(1));
  auto const one = summarize_load(row_view<std::int64_t const>(counts_t{0, 8, 0, 0}));
  CHECK(one.max_violation == 3);
  CHECK(one.gini == doctest::Approx(.75));
  CHECK(one.entropy == 0);
  CHECK(one.dead == 3);
  auto const none = summarize_load(row_view<std::int64_t const>(counts_t{0, 0}));
  CHECK(none.max_violation == 0);
  CHECK(none.dead == 2);
  CHECK(summarize_load(row_view<std::int64_t const>()).experts == 0);
  CHECK(overflow_share(row_view<std::int64_t const>(counts_t{0}), 3) == 0);
}
