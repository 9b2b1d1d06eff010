#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/select/group_limited_top_k.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

namespace {
template <class S>
struct select_body {
  S select;
  row_view<float const> key;
  row_view<index_t> out;
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const& g, offset_t, scratch) const {
    select(g, row_context{}, memory_row<float const>{key.data, static_cast<index_t>(key.size)}, out);
  }
};
template <class S>
void check(S const& s, int n, double closed = -reference::inf) {
  auto rows = inputs::adversarial(24);
  for (unsigned seed = 0; seed < 20; ++seed) rows.push_back(inputs::normal(24, seed));
  for (auto const& row : rows) {
    bool infinite = false;  // sums of infinities of both signs are NaN here and in the oracle alike
    for (float x : row) infinite = infinite || x == infinity<float>;
    auto const want = reference::order(
        reference::limit_groups(reference::row(row.begin(), row.end()), s.groups, s.top_groups, n, closed));
    for (index_t lanes : {1, 2, 3, 8}) {
      std::vector<index_t> out(static_cast<std::size_t>(s.k), -7);
      REQUIRE(lockstep{lanes}.run(1, select_body<S>{s, row_view<float const>(row), row_view<index_t>(out)}, {}).ok());
      bool closed_key = false;
      for (std::size_t j = 0; j < out.size(); ++j) {
        float const got = row[static_cast<std::size_t>(out[j])];
        closed_key = closed_key || is_nan(got) || got == -infinity<float>;
        if (!closed_key && !infinite) CHECK(out[j] == want[j]);
      }
    }
  }
}
}  // namespace

TEST_CASE("promise P2 group-limited top-k: equals the oracle for every group score and lane group") {
  check(group_limited_top_k<>{.k = 4, .groups = 4, .top_groups = 2}, 2);
  check(group_limited_top_k<>{.k = 6, .groups = 3, .top_groups = 2, .group_score = {.n = 3}}, 3);
  check(group_limited_top_k<best_of_group>{.k = 5, .groups = 6, .top_groups = 2}, 1);
  check(group_limited_top_k<sum_of_share>{.k = 8, .groups = 4, .top_groups = 2}, 4);
  check(group_limited_top_k<>{.k = 4, .groups = 4, .top_groups = 2, .closed = closed_groups::zero}, 2, 0);
}

TEST_CASE("promise P2 group-limited top-k: equal groups go to the lower index") {
  std::vector<float> const key{1, 0, 1, 0, 1, 0};
  std::vector<index_t> out(2);
  group_limited_top_k<>{.k = 2, .groups = 3, .top_groups = 1}(
      serial_group{}, row_context{}, memory_row<float const>{key.data(), 6}, row_view<index_t>(out));
  CHECK(out == std::vector<index_t>{0, 1});
}

TEST_CASE("promise P17 group-limited top-k: impossible sizes are named") {
  auto const fails = [](auto s, index_t experts) { CHECK_FALSE(s.validate(experts).ok()); };
  fails(group_limited_top_k<>{.k = 2, .groups = 5, .top_groups = 1}, 24);
  fails(group_limited_top_k<>{.k = 9, .groups = 3, .top_groups = 1}, 24);
  fails(group_limited_top_k<>{.k = 2, .groups = 3, .top_groups = 4}, 24);
  fails(group_limited_top_k<>{.k = 2, .groups = 0, .top_groups = 1}, 24);
  fails(group_limited_top_k<>{.k = 2, .groups = 24, .top_groups = 2}, 24);  // no two best in a group of one
  fails(group_limited_top_k<>{.k = 2, .groups = 128, .top_groups = 2}, 256);
  fails(group_limited_top_k<best_of_group>{.k = 2, .groups = 4, .top_groups = 2, .closed = closed_groups::zero}, 24);
  CHECK(group_limited_top_k<>{.k = 16, .groups = 3, .top_groups = 2}.validate(24).ok());
}
