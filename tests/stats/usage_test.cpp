// Decides whether co-activation, usage by label and saturation equal values worked out by hand, and merge.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/loss/observe.hpp>
#include <moeroute/stats/usage.hpp>

using namespace moeroute;
using counts_t = std::vector<std::int64_t>;

namespace {
std::vector<std::byte>& memory() {
  static std::vector<std::byte> m(1 << 22);
  return m;
}
}  // namespace

TEST_CASE("S133 co-activation: symmetric, the diagonal counts, and merges") {
  std::vector<index_t> const ids{0, 1, 1, 2, 1, 0, 2, no_expert, 1, 1};  // the last one chose an expert twice
  counts_t c(9), d(9);
  matrix_view<index_t const> const m(ids.data(), 5, 2);
  count_co_activation(serial{}, m, row_view<std::uint8_t const>(), matrix_view<std::int64_t>(c.data(), 3, 3),
                      workspace(memory()));
  CHECK(c == counts_t{2, 2, 0, 2, 5, 1, 0, 1, 2});
  for (offset_t t = 0; t < 5; ++t)
    count_co_activation(lockstep{3}, m.middle_rows(t, 1), row_view<std::uint8_t const>(),
                        matrix_view<std::int64_t>(d.data(), 3, 3), workspace(memory()));
  CHECK(c == d);
}

TEST_CASE("usage by modality and its mutual information") {
  std::vector<index_t> const ids{0, 0, 1, 1, 2, 3}, label{0, 0, 1, 1, 0, 1};
  counts_t u(2 * 4);
  count_usage(serial{}, matrix_view<index_t const>(ids.data(), 6, 1), row_view<index_t const>(label),
              row_view<std::uint8_t const>(), matrix_view<std::int64_t>(u.data(), 2, 4), workspace(memory()));
  CHECK(u == counts_t{2, 0, 1, 0, 0, 2, 0, 1});
  CHECK(mutual_information(matrix_view<std::int64_t const>(u.data(), 2, 4)) == doctest::Approx(std::log(2.)));
  counts_t const same{2, 4, 1, 2}, none(4);
  CHECK(mutual_information(matrix_view<std::int64_t const>(same.data(), 2, 2)) == doctest::Approx(0));
  CHECK(mutual_information(matrix_view<std::int64_t const>(none.data(), 2, 2)) == 0);
}

TEST_CASE("S098 router saturation: 1 for the same routing in any order, change rate its complement") {
  std::vector<index_t> const a{0, 1, 2, 3, 4, no_expert}, b{1, 0, 2, 5, 6, 4}, c{1, 0, 3, 2, no_expert, 4};
  auto const of = [&](auto const& x, auto const& y) {
    counts_t n(2);
    count_overlap(serial{}, matrix_view<index_t const>(x.data(), 3, 2), matrix_view<index_t const>(y.data(), 3, 2),
                  row_view<std::uint8_t const>(), row_view<std::int64_t>(n), workspace(memory()));
    return saturation(row_view<std::int64_t const>(n));
  };
  CHECK(of(a, c) == 1);
  CHECK(of(a, b) == doctest::Approx(4. / 5));
  CHECK(saturation(row_view<std::int64_t const>(counts_t{0, 0})) == 1);
}
