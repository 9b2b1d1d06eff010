// Decides whether the parts of the experts add up, to the same bits for any lane group.
#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/loss/add_rows.hpp>

using namespace moeroute;

TEST_CASE("add_rows: the sum of all parts, whatever the group") {
  for (std::size_t const n : {0u, 1u, 5u, 64u, 129u}) {
    std::vector<double> parts(n);
    double wanted = 0;
    for (std::size_t i = 0; i < n; ++i) wanted += parts[i] = 1.0 / static_cast<double>(i + 3);
    double plain = -1, many = -2;
    detail::add_rows const body{row_view<double const>(parts), &plain};
    CHECK(serial{}.run(1, body, {}).ok());
    CHECK(lockstep{.lanes = 8}.run(1, detail::add_rows{row_view<double const>(parts), &many}, {}).ok());
    CHECK(plain == doctest::Approx(wanted).epsilon(1e-14));
    CHECK(many == plain);
  }
}
