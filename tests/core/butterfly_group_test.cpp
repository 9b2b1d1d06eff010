#include <doctest/doctest.h>

#include <moeroute/core/tree_sum.hpp>

#include "support/lockstep_lanes.hpp"

#include <cmath>

using namespace moeroute;

static_assert(lane_group<butterfly_group<lockstep_lanes::words<8>>>);
static_assert(lane_group<butterfly_group<lockstep_lanes::reducing_words<32>>>);
static_assert(!integer_reduction<lockstep_lanes::words<8>> && integer_reduction<lockstep_lanes::reducing_words<8>>);

namespace {

// One row: every lane writes what it received; lane l contributes value(l).
struct collect_row {
  index_t lanes;
  std::int64_t* out;  // lanes x 10
  offset_t scratch_bytes() const { return 0; }

  static float value(index_t l) { return 1.f / static_cast<float>(l + 3); }
  static ranked<std::int32_t> candidate(index_t l) { return {l % 3 == 1 ? 77 : -5, 90 - l}; }
  static ranked<std::int64_t> wide_candidate(index_t l) {  // high words tie, low words decide, ids decide ties
    return {(std::int64_t{-9} << 32) + (l % 4 == 2 ? 0xfffffff0 : 5), 40 + (l ^ 1)};
  }

  template <lane_group G>
  void operator()(G const& g, offset_t, scratch) const {
    index_t const l = g.rank();
    std::int64_t* const to = out + 10 * l;
    to[0] = math::as<std::int32_t>(g.sum(value(l)));
    to[1] = g.sum(std::int64_t{1} << l);
    to[2] = math::as<std::int32_t>(g.max(value(l) - 7));
    to[3] = g.best(candidate(l)).key;
    to[4] = g.best(candidate(l)).id;
    to[5] = g.best(wide_candidate(l)).key;
    to[6] = g.best(wide_candidate(l)).id;
    to[7] = g.any(l == lanes - 1) ? 1 : 0;
    if constexpr (requires { G::static_lanes; }) {
      to[8] = g.sum_before(index_t{1} + l);
      to[9] = g.match(static_cast<std::uint32_t>(l % 3), 2);
    }
  }
};
static_assert(row_body<collect_row>);

template <class Words>
void check() {
  constexpr index_t n = Words::lanes;
  std::vector<std::int64_t> out(static_cast<std::size_t>(10 * n), -1);
  REQUIRE(lockstep_lanes::warp<Words>{}.run(1, collect_row{n, out.data()}, {}).ok());

  float part[32];
  for (index_t l = 0; l < n; ++l) part[l] = collect_row::value(l);
  for (index_t half = n / 2; half > 0; half /= 2)
    for (index_t l = 0; l < half; ++l) part[l] += part[l + half];
  ranked<std::int32_t> narrow;
  ranked<std::int64_t> wide;
  for (index_t l = 0; l < n; ++l) {
    if (beats(collect_row::candidate(l), narrow)) narrow = collect_row::candidate(l);
    if (beats(collect_row::wide_candidate(l), wide)) wide = collect_row::wide_candidate(l);
  }
  for (index_t l = 0; l < n; ++l) {
    CAPTURE(n);
    CAPTURE(l);
    std::int64_t const* const at = out.data() + 10 * l;
    CHECK(at[0] == math::as<std::int32_t>(part[0]));
    CHECK(at[1] == (std::int64_t{1} << n) - 1);
    CHECK(at[2] == math::as<std::int32_t>(collect_row::value(0) - 7));
    CHECK(at[3] == narrow.key);
    CHECK(at[4] == narrow.id);
    CHECK(at[5] == wide.key);
    CHECK(at[6] == wide.id);
    CHECK(at[7] == 1);
    CHECK(at[8] == l * (l + 1) / 2);
    std::int64_t same = 0;
    for (index_t o = 0; o < n; ++o)
      if (o % 3 == l % 3) same |= std::int64_t{1} << o;
    CHECK(at[9] == same);
  }
}

struct tree_row {
  offset_t count;
  float* out;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t r, scratch) const {
    float const total = tree_sum<float>(g, count, [](offset_t i) { return std::sin(static_cast<float>(i)); });
    if (g.rank() == g.size() - 1) out[r] = total;
  }
};
template <class X>
float tree_of(X const& x, offset_t count) {
  float total = -1;
  REQUIRE(x.run(1, tree_row{count, &total}, {}).ok());
  return total;
}

}  // namespace

TEST_CASE("every lane of a butterfly receives the same bits, in the order of the tree") {
  check<lockstep_lanes::words<1>>();
  check<lockstep_lanes::words<4>>();
  check<lockstep_lanes::words<32>>();
}

TEST_CASE("integer reductions choose as the butterfly does") {
  check<lockstep_lanes::reducing_words<8>>();
  check<lockstep_lanes::reducing_words<32>>();
}

TEST_CASE("tree_sum gives the bits of one lane on warps, parts of warps and blocks") {
  for (offset_t count : {0, 1, 31, 32, 33, 100, 1027}) {
    CAPTURE(count);
    float const alone = tree_of(serial{}, count);
    CHECK(tree_of(lockstep_lanes::warp<lockstep_lanes::words<32>>{}, count) == alone);
    CHECK(tree_of(lockstep_lanes::warp<lockstep_lanes::words<8>>{}, count) == alone);
    CHECK(tree_of(lockstep_lanes::block<8, 3>{}, count) == alone);
    CHECK(tree_of(lockstep{3}, count) == alone);
  }
}
