#include <doctest/doctest.h>

#include <vector>

#include <moeroute/core/tree_sum.hpp>
#include <moeroute/cpu/lockstep.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"

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
struct sums_body {
  row_view<float const> x;
  row_view<float> out;  // lanes x 2
  row_view<index_t> called;
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const& g, offset_t, scratch) const {
    auto const s = tree_sums<float, 2>(g, x.size, [&](float* to, offset_t i) {
      to[0] += x[i], to[1] += x[i] * x[i];
      ++called[i];
    });
    out[2 * g.rank()] = s.of[0], out[2 * g.rank() + 1] = s.of[1];
  }
};
}  // namespace

TEST_CASE("tree sums: several in one pass have the bits of one at a time, each number is met once") {
  for (std::size_t n : {std::size_t{0}, std::size_t{7}, std::size_t{33}, std::size_t{500}}) {
    std::vector<float> const x = inputs::normal(n, 9, 100);
    auto const at = [&](offset_t i) { return x[static_cast<std::size_t>(i)]; };
    auto const count = static_cast<offset_t>(n);
    float const sum = tree_sum<float>(serial_group{}, count, at);
    float const squares = tree_sum<float>(serial_group{}, count, [&](offset_t i) { return at(i) * at(i); });
    auto const same = [&](auto const& on, std::size_t lanes) {
      std::vector<float> out(2 * lanes, -1.f);
      std::vector<index_t> called(n);
      REQUIRE(on.run(1, sums_body{row_view<float const>(x), row_view<float>(out), row_view<index_t>(called)}, {}).ok());
      for (std::size_t i = 0; i < lanes; ++i) CHECK((out[2 * i] == sum && out[2 * i + 1] == squares));
      for (index_t c : called) CHECK(c == 1);
    };
    same(serial{}, 1);
    for (index_t lanes : {3, 8}) same(lockstep{lanes}, static_cast<std::size_t>(lanes));
    same(lockstep_lanes::warp<lockstep_lanes::words<8>>{}, 8);
  }
}

TEST_CASE("tree sum: the same bits for every number of lanes, and every lane has it") {
  for (std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{33}, std::size_t{1000}}) {
    std::vector<float> const x = inputs::normal(n, 9, 100);
    float const want = tree_sum<float>(serial_group{}, static_cast<offset_t>(n),
                                       [&](offset_t i) { return x[static_cast<std::size_t>(i)]; });
    for (index_t lanes : {2, 3, 4, 8, 32}) {
      std::vector<float> out(static_cast<std::size_t>(lanes), -1.f);
      REQUIRE(lockstep{lanes}.run(1, sum_body{row_view<float const>(x), row_view<float>(out)}, {}).ok());
      for (float y : out) CHECK(y == want);
    }
  }
}
