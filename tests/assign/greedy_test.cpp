// Decides whether the cheap assignment is balanced and honest about what it is.
#include <moeroute/assign/greedy.hpp>

#include "support/assignment.hpp"
#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S050 S019 greedy assignment: balanced, not above the optimum") {
  auto const s = normal_numbers(24 * 4, 5);
  std::vector<index_t> out(24);
  std::vector<std::byte> work(4096);
  REQUIRE(
      try_greedy_assignment(matrix_view<double const>{s.data(), 24, 4}, row_view<index_t>(out), workspace(work)).ok());
  check_balanced(out, 4);
  double total = 0;
  for (std::size_t t = 0; t < 24; ++t) total += s[t * 4 + static_cast<std::size_t>(out[t])];
  CHECK(total <= optimum(s, 24, 4) + 1e-9);
}
