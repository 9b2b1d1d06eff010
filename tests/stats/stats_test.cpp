// Decides whether the load statistics equal values worked out by hand, and merge.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/loss/observe.hpp>
#include <moeroute/stats/load.hpp>
#include <moeroute/stats/margin.hpp>
#include <moeroute/stats/usage.hpp>

using namespace moeroute;
using counts_t = std::vector<std::int64_t>;

namespace {
std::vector<std::byte>& memory() {
  static std::vector<std::byte> m(1 << 22);
  return m;
}
std::vector<index_t> random_ids(std::size_t n, index_t experts, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<index_t> ids(n);
  for (auto& e : ids)
    e = static_cast<index_t>(rng() % static_cast<unsigned>(experts + 2)) - 1;  // also -1 and E
  return ids;
}
}  // namespace

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
TEST_CASE(
    "promise P10: counts sum to the valid choices, merge over shards, on every executor; odd ids "
    "count nowhere") {
  offset_t const T = 3001, k = 3;
  auto const ids = random_ids(static_cast<std::size_t>(T * k), 16, 1);
  std::vector<std::uint8_t> valid(static_cast<std::size_t>(T), 1);
  for (std::size_t t = 0; t < valid.size(); t += 7) valid[t] = 0;
  counts_t plain(16), all(16), parts(16);
  for (offset_t i = 0; i < T * k; ++i)
    if (auto const e = ids[static_cast<std::size_t>(i)];
        e >= 0 && e < 16 && valid[static_cast<std::size_t>(i / k)] != 0)
      ++plain[static_cast<std::size_t>(e)];
  matrix_view<index_t const> const m(ids.data(), T, k);
  count_choices(serial{}, m, row_view<std::uint8_t const>(valid), row_view<std::int64_t>(all),
                memory());
  CHECK(all == plain);
  count_choices(threads{3}, m.middle_rows(0, 1000),
                row_view<std::uint8_t const>(valid.data(), 1000), row_view<std::int64_t>(parts),
                memory());
  count_choices(lockstep{4}, m.middle_rows(1000, T - 1000),
                row_view<std::uint8_t const>(valid.data() + 1000, T - 1000),
                row_view<std::int64_t>(parts), memory());
  CHECK(parts == plain);
  std::vector<std::uint8_t> const bytes{0, 3, 255, 3, 200, 1};
  counts_t few(4);
  count_choices(serial{}, matrix_view<std::uint8_t const>(bytes.data(), 3, 2), {},
                row_view<std::int64_t>(few), memory());
  CHECK(few == counts_t{1, 1, 0, 2});
  count_choices(serial{}, matrix_view<std::uint8_t const>(bytes.data(), 0, 2), {},
                row_view<std::int64_t>(few), memory());
  CHECK(few == counts_t{1, 1, 0, 2});
}
TEST_CASE("promise P13: counting needs no more workspace than it says, and says so") {
  counts_t n(8);
  auto const ids = random_ids(400, 8, 2);
  auto const bytes = count_choices_workspace_bytes(serial{}, 200, 8);
  std::vector<std::byte> w(static_cast<std::size_t>(bytes), std::byte{0xAA});
  matrix_view<index_t const> const m(ids.data(), 200, 2);
  CHECK(try_count_choices(serial{}, m, {}, row_view<std::int64_t>(n), workspace(w)).ok());
  CHECK(
      try_count_choices(serial{}, m, {}, row_view<std::int64_t>(n), workspace(w.data(), 8)).code ==
      errc::too_small);
  offset_t last = 0;
  for (offset_t t : {0, 1, 31, 33, 1000, 40000, 1 << 20}) {
    CHECK(count_choices_workspace_bytes(serial{}, t, 512) >= last);
    last = count_choices_workspace_bytes(serial{}, t, 512);
  }
}
TEST_CASE("S133 co-activation: symmetric, the diagonal counts, and merges") {
  std::vector<index_t> const ids{0, 1, 1,         2, 1,
                                 0, 2, no_expert, 1, 1};  // the last one chose an expert twice
  counts_t c(9), d(9);
  matrix_view<index_t const> const m(ids.data(), 5, 2);
  count_co_activation(serial{}, m, row_view<std::uint8_t const>(),
                      matrix_view<std::int64_t>(c.data(), 3, 3), workspace(memory()));
  CHECK(c == counts_t{2, 2, 0, 2, 5, 1, 0, 1, 2});
  for (offset_t t = 0; t < 5; ++t)
    count_co_activation(lockstep{3}, m.middle_rows(t, 1), row_view<std::uint8_t const>(),
                        matrix_view<std::int64_t>(d.data(), 3, 3), workspace(memory()));
  CHECK(c == d);
}
TEST_CASE("usage by modality and its mutual information") {
  std::vector<index_t> const ids{0, 0, 1, 1, 2, 3}, label{0, 0, 1, 1, 0, 1};
  counts_t u(2 * 4);
  count_usage(serial{}, matrix_view<index_t const>(ids.data(), 6, 1),
              row_view<index_t const>(label), row_view<std::uint8_t const>(),
              matrix_view<std::int64_t>(u.data(), 2, 4), workspace(memory()));
  CHECK(u == counts_t{2, 0, 1, 0, 0, 2, 0, 1});
  CHECK(mutual_information(matrix_view<std::int64_t const>(u.data(), 2, 4)) ==
        doctest::Approx(std::log(2.)));
  counts_t const same{2, 4, 1, 2}, none(4);
  CHECK(mutual_information(matrix_view<std::int64_t const>(same.data(), 2, 2)) ==
        doctest::Approx(0));
  CHECK(mutual_information(matrix_view<std::int64_t const>(none.data(), 2, 2)) == 0);
}
TEST_CASE(
    "S098 router saturation: 1 for the same routing in any order, change rate its complement") {
  std::vector<index_t> const a{0, 1, 2, 3, 4, no_expert}, b{1, 0, 2, 5, 6, 4},
      c{1, 0, 3, 2, no_expert, 4};
  auto const of = [&](auto const& x, auto const& y) {
    counts_t n(2);
    count_overlap(serial{}, matrix_view<index_t const>(x.data(), 3, 2),
                  matrix_view<index_t const>(y.data(), 3, 2), row_view<std::uint8_t const>(),
                  row_view<std::int64_t>(n), workspace(memory()));
    return saturation(row_view<std::int64_t const>(n));
  };
  CHECK(of(a, c) == 1);
  CHECK(of(a, b) == doctest::Approx(4. / 5));
  CHECK(saturation(row_view<std::int64_t const>(counts_t{0, 0})) == 1);
}
TEST_CASE("margin histogram: by hand, merged, lockstep, ties at 0, negative under a bias") {
  std::vector<double> const s{.5, .3, .2, .4, .4, .2, .1, .2, .7};
  std::vector<index_t> const ids{0, 0, 1};  // the last token was sent away from its best
  margin_histogram const h{.bins = 4, .low = -1, .high = 1};
  auto const run = [&](auto const& x, offset_t first, offset_t n) {
    std::vector<wide_sum> sums(5);
    observe(x, h, from_scores<double>{matrix_view<double const>(s.data() + 3 * first, n, 3)},
            matrix_view<index_t const>(ids.data() + first, n, 1), row_view<wide_sum>(sums),
            workspace(memory()));
    return sums;
  };
  auto const whole = run(serial{}, 0, 3);
  CHECK(whole[0].count() == 0);
  CHECK(whole[1].count() == 1);  // -.5 lies in [-.5, 0)
  CHECK(whole[2].count() == 2);  // .2 and 0
  CHECK(h.mean(row_view<wide_sum const>(whole)) == doctest::Approx((.2 + 0 - .5) / 3));
  CHECK(run(lockstep{3}, 0, 3) == whole);
  auto merged = run(serial{}, 2, 1);
  merge_sums(merged, run(serial{}, 0, 2));
  CHECK(merged == whole);
}
