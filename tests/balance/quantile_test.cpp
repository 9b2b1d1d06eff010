// Decides whether quantile balancing, its histogram form and the causal thresholds reach their targets.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <moeroute/balance/quantile.hpp>
#include <moeroute/balance/threshold_update.hpp>
#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/loss/observe.hpp>

#include "support/skewed.hpp"

using namespace moeroute;

namespace {
double nth(std::vector<double> v, std::size_t n) {  // n-th largest, from 1
  std::sort(v.begin(), v.end(), std::greater<>());
  return v.at(n - 1);
}
}  // namespace

TEST_CASE("nth largest: every rank, repeated values, NaN last") {
  std::vector<double> v{3, -1, 3, 0, -0., 7, -infinity<double>, infinity<double>, 1e-310};
  for (std::size_t n = 1; n <= v.size(); ++n)
    CHECK(detail::nth_largest<double>(serial_group{}, 9, static_cast<offset_t>(n),
                                      [&](offset_t i) { return v[static_cast<std::size_t>(i)]; }) == nth(v, n));
  v[2] = not_a_number<double>;
  CHECK(is_nan(
      detail::nth_largest<double>(serial_group{}, 9, 9, [&](offset_t i) { return v[static_cast<std::size_t>(i)]; })));
}

TEST_CASE("P17 quantile update: formula, any lane group, padding changes nothing, mean 0") {
  offset_t const T = 24;
  index_t const E = 6, k = 2;
  auto s = skewed(T, E);
  std::vector<double> bias{.1, 0, -.1, 0, .2, 0}, cutoff(30), before = bias;
  update_by_quantile(serial{}, quantile_update{.k = k}, matrix_view<double>(s.data(), T, E), row_view<double>(bias),
                     row_view<double>(cutoff.data(), T));
  std::vector<double> a;
  for (offset_t t = 0; t < T; ++t) {
    std::vector<double> row;
    for (index_t e = 0; e < E; ++e)
      row.push_back(s[static_cast<std::size_t>(t * E + e)] + before[static_cast<std::size_t>(e)]);
    a.push_back(nth(row, 3));
    CHECK(cutoff[static_cast<std::size_t>(t)] == a.back());
  }
  for (index_t e = 0; e < E; ++e) {
    std::vector<double> column;
    int above = 0, level = 0;
    for (offset_t t = 0; t < T; ++t)
      column.push_back(s[static_cast<std::size_t>(t * E + e)] - a[static_cast<std::size_t>(t)]);
    for (double x : column) {
      above += x > -bias[static_cast<std::size_t>(e)];
      level += x == -bias[static_cast<std::size_t>(e)];
    }
    CHECK(bias[static_cast<std::size_t>(e)] == -nth(column, 9));
    CHECK(above <= 8);  // T k / E tokens
    CHECK(above + level > 8);
  }
  auto other = before;
  update_by_quantile(lockstep{3}, quantile_update{.k = k}, matrix_view<double>(s.data(), T, E), row_view<double>(other),
                     row_view<double>(cutoff.data(), T));
  CHECK(other == bias);
  s.resize(30 * E, 1e9);
  std::vector<std::uint8_t> valid(30, 1);
  for (std::size_t t = 24; t < 30; ++t) valid[t] = 0;
  other = before;
  update_by_quantile(serial{}, quantile_update{.k = k, .zero_mean = true}, matrix_view<double>(s.data(), 30, E),
                     row_view<double>(other), row_view<double>(cutoff), row_view<std::uint8_t const>(valid));
  double mean = 0;
  for (double b : bias) mean += b / E;
  double sum = 0;
  for (std::size_t e = 0; e < 6; ++e) {
    CHECK(other[e] == doctest::Approx(bias[e] - mean));
    sum += other[e];
  }
  CHECK(sum == doctest::Approx(0));
  CHECK(quantile_update{.k = 6}.validate(6).code == errc::bad_value);
}

TEST_CASE("P17: steps on one static batch balance it") {
  offset_t const T = 64;
  index_t const E = 8, k = 2;
  auto const s = skewed(T, E, 9);
  std::vector<double> bias(8), cutoff(64);
  std::int64_t worst = 0;
  for (int step = 0; step < 40; ++step) {
    update_by_quantile(serial{}, quantile_update{.k = k, .zero_mean = true}, matrix_view<double const>(s.data(), T, E),
                       row_view<double>(bias), row_view<double>(cutoff));
    std::vector<std::int64_t> counts(8);
    for (offset_t t = 0; t < T; ++t) {
      std::vector<std::pair<double, int>> row;
      for (int e = 0; e < E; ++e)
        row.emplace_back(-s[static_cast<std::size_t>(t * E + e)] - bias[static_cast<std::size_t>(e)], e);
      std::sort(row.begin(), row.end());
      for (int j = 0; j < k; ++j) ++counts[static_cast<std::size_t>(row[static_cast<std::size_t>(j)].second)];
    }
    worst = *std::max_element(counts.begin(), counts.end());
  }
  CHECK(worst <= 18);  // 16 wanted; unbiased, the first expert takes far more
}

TEST_CASE(
    "P17 histogram: shards merge to the bits of the whole, and its bias is within a bin of the "
    "exact one") {
  offset_t const T = 96;
  index_t const E = 6;
  auto const s = skewed(T, E, 3);
  std::vector<double> const bias{.1, 0, -.1, 0, .2, 0};
  quantile_histogram<double> const h{.k = 2, .bins = 400, .low = -1.1, .high = 1.2, .bias = bias};
  std::vector<std::byte> memory(1 << 20);
  auto const sums_of = [&](offset_t first, offset_t n) {
    std::vector<wide_sum> sums(static_cast<std::size_t>(h.sums(E)));
    observe(serial{}, h, from_scores<double>{matrix_view<double const>(s.data() + first * E, n, E)},
            matrix_view<index_t const>{}, row_view<wide_sum>(sums), workspace(memory));
    return sums;
  };
  auto const whole = sums_of(0, T);
  auto merged = sums_of(40, 56);
  merge_sums(merged, sums_of(0, 40));
  CHECK(merged == whole);
  std::vector<double> exact = bias, read = bias, cutoff(96);
  update_by_quantile(serial{}, quantile_update{.k = 2}, matrix_view<double const>(s.data(), T, E),
                     row_view<double>(exact), row_view<double>(cutoff));
  bias_from_histogram(h, false, whole, row_view<double>(read));
  for (std::size_t e = 0; e < 6; ++e) CHECK(std::fabs(read[e] - exact[e]) <= 2.3 / 400);
}

TEST_CASE("P17 histogram: linear inside a bin, by hand; an expert without tokens keeps its bias") {
  quantile_histogram<double> const h{.k = 1, .bins = 4, .low = 0, .high = 4};
  std::vector<wide_sum> sums;
  for (std::int64_t n : {2, 4, 2, 0, 0, 0, 0, 0}) sums.push_back(wide_sum::of(n));
  std::vector<double> bias{7, 7};
  bias_from_histogram(h, false, row_view<wide_sum const>(sums), row_view<double>(bias));
  CHECK(bias == std::vector<double>{1.5, 7});  // 4 of 8 tokens: 2 in the first bin, half of the second
}
