// Decides whether the histogram of margins equals values worked out by hand, and merges.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/loss/observe.hpp>
#include <moeroute/stats/margin.hpp>

using namespace moeroute;
using counts_t = std::vector<std::int64_t>;

namespace {
std::vector<std::byte>& memory() {
  static std::vector<std::byte> m(1 << 22);
  return m;
}
}  // namespace

TEST_CASE("margin histogram: by hand, merged, lockstep, ties at 0, negative under a bias") {
  std::vector<double> const s{.5, .3, .2, .4, .4, .2, .1, .2, .7};
  std::vector<index_t> const ids{0, 0, 1};  // the last token was sent away from its best
  margin_histogram const h{.bins = 4, .low = -1, .high = 1};
  auto const run = [&](auto const& x, offset_t first, offset_t n) {
    std::vector<wide_sum> sums(5);
    observe(x, h, from_scores<double>{matrix_view<double const>(s.data() + 3 * first, n, 3)},
            matrix_view<index_t const>(ids.data() + first, n, 1), row_view<wide_sum>(sums), workspace(memory()));
    return sums;
  };
  auto const whole = run(serial{}, 0, 3);
  CHECK(whole[0].count() == 0);
  CHECK(whole[1].count() == 1);  // -.5 lies in [-.5, 0)
  CHECK(whole[2].count() == 2);  // .2 and 0
  CHECK(h.mean(row_view<wide_sum const>(whole)) == doctest::Approx((.2 + 0 - .5) / 3));
  CHECK(h.quantile(0, row_view<wide_sum const>(whole)) == -.5);
  CHECK(h.quantile(.49, row_view<wide_sum const>(whole)) == -.5);
  CHECK(h.quantile(.5, row_view<wide_sum const>(whole)) == 0);
  CHECK(h.quantile(1, row_view<wide_sum const>(whole)) == 0);
  CHECK(h.quantile(.5, row_view<wide_sum const>(std::vector<wide_sum>(5))) == 0);
  CHECK(run(lockstep{3}, 0, 3) == whole);
  auto merged = run(serial{}, 2, 1);
  merge_sums(merged, run(serial{}, 0, 2));
  CHECK(merged == whole);
}
