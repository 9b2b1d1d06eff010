#include <doctest/doctest.h>

#include <vector>

#include <moeroute/core/tree_sum.hpp>
#include <moeroute/cpu/lockstep.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

namespace {
struct sum_body {
  row_view<float const> x;
  row_view<float> out;  // lanes
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const& g, offset_t, scratch) const {
    out[g.rank()] = tree_sum<float>(g, x.size, [&](offset_t i) { return x[i]; });
  }
};
}  // namespace

TEST_CASE("tree sum: the same bits for every number of lanes, and every lane has it") {
  for (std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{33}, std::size_t{1000}}) {
    std::vector<float> const x = inputs::normal(n, 9, 100);
    float const want = tree_sum<float>(serial_group{}, static_cast<offset_t>(n), [&](offset_t i) { return x[static_cast<std::size_t>(i)]; });
    for (index_t lanes : {2, 3, 4, 8, 32}) {
      std::vector<float> out(static_cast<std::size_t>(lanes), -1.f);
      REQUIRE(lockstep{lanes}.run(1, sum_body{row_view<float const>(x), row_view<float>(out)}, {}).ok());
      for (float y : out) CHECK(y == want);
    }
  }
}
