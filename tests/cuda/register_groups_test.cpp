#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/register_groups.hpp>
#include <moeroute/select/top_k.hpp>

#include <algorithm>
#include <vector>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

namespace {

// Numbers of experts, and for each lane what it was told.
struct question {
  group_limited_top_k<> select;
  std::vector<float> numbers;
  std::vector<int> open, open_by_heads, doubt;

  explicit question(group_limited_top_k<> s, std::size_t experts, std::size_t lanes)
      : select(s), numbers(experts), open(lanes), open_by_heads(lanes), doubt(lanes) {}
};

// Whether a group is among the best by the sum of its two best, lower groups first among equals.
bool is_best(question const& q, index_t group) {
  std::size_t const width = q.numbers.size() / static_cast<std::size_t>(q.select.groups);
  auto const worth = [&](index_t g) {
    auto const from = q.numbers.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(g) * width);
    std::vector<float> best(from, from + static_cast<std::ptrdiff_t>(width));
    std::sort(best.begin(), best.end(), std::greater<>{});
    return best[0] + best[1];
  };
  index_t better = 0;
  for (index_t g = 0; g < q.select.groups; ++g)
    better += worth(g) > worth(group) || (worth(g) == worth(group) && g < group);
  return better < q.select.top_groups;
}

// Lists of keys that give up `lost` more bits than their codes.
template <class Layout>
struct ask {
  Layout place;
  question* q;
  std::uint32_t lost;
  offset_t scratch_bytes() const { return 0; }
  template <class G>
  void operator()(G const& g, offset_t, scratch, bool) const {
    network::key list[8] = {};
    float first = -infinity<float>, second = first;
    std::uint32_t const bits = ~(place.mask() | lost);
    auto const number = [&](index_t e) { return q->numbers[static_cast<std::size_t>(e)]; };
    auto const floor_of = [&](std::int32_t x) { return (static_cast<std::uint32_t>(x) ^ 0x80000000u) & bits; };
    for (index_t n = 0; n < place.chunks(); ++n) {
      network::key part[8] = {};
      for (index_t i = 0; i < 8; ++i) {
        if (!place.holds(g.rank(), n * 8 + i)) continue;
        float const x = number(place.id(g.rank(), n * 8 + i));
        part[i] = floor_of(order_key(x)) | place.place_code(n, i);
        second = std::max(second, std::min(first, x)), first = std::max(first, x);
      }
      network::take_in(list, part, Layout::rise);
    }
    for (auto& x : list) x += place.lane_code(g.rank());
    for (index_t d = 1; d < place.per_group(); d *= 2) {
      float const f = g.exchange(first, d), s = g.exchange(second, d);
      second = std::max(std::min(first, f), std::max(second, s)), first = std::max(first, f);
    }
    auto const me = static_cast<std::size_t>(g.rank());
    bool doubt = false;
    q->open[me] = detail::is_among_best(g, place, q->select, first, second);
    q->open_by_heads[me] = detail::is_open(g, place, q->select, list, number, floor_of, doubt);
    q->doubt[me] = doubt;
  }
};

template <class Layout>
void check(Layout const& place, index_t groups) {
  constexpr auto lanes = static_cast<std::size_t>(Layout::lanes);
  int doubtful = 0, sure = 0;
  for (index_t seed = 0; seed < 24; ++seed) {
    group_limited_top_k<> const select{.k = 2, .groups = groups, .top_groups = (groups + 1) / 2};
    question q(select, static_cast<std::size_t>(place.experts()), lanes);
    for (std::size_t e = 0; e < q.numbers.size(); ++e) {
      float const x = draws{.seed = 2}.normal(seed, static_cast<index_t>(e));
      q.numbers[e] = seed % 3 == 0 ? static_cast<float>(static_cast<int>(2 * x)) : x;
    }
    using warp = lockstep_lanes::marching_warp<Layout::lanes, 1>;
    REQUIRE(warp{}.run(1, ask<Layout>{place, &q, seed % 2 == 0 ? 0u : 0x3fffffu}, workspace{}).ok());
    bool const doubt = std::count(q.doubt.begin(), q.doubt.end(), 1) > 0;
    doubtful += doubt, sure += !doubt;
    for (std::size_t l = 0; l < lanes; ++l) {
      bool const best = is_best(q, static_cast<index_t>(l) >> place.per_group_bits());
      CHECK(q.open[l] == best);
      if (!doubt) CHECK(q.open_by_heads[l] == best);
    }
  }
  CHECK(doubtful > 0);
  CHECK(sure > 0);
}

}  // namespace

TEST_CASE("open groups: by two best numbers, and by heads of lists or with doubt") {
  for (index_t groups : {2, 4, 8}) {
    CAPTURE(groups);
    check(register_layout<8, 4, true>::of(groups * 12, groups), groups);
    check(register_layout<8, 4, true>::of(groups * 33, groups), groups);
  }
  check(register_layout<8, 8, true, 256, 8>{}, 8);
  check(register_layout<32, 8, true, 256, 8>{}, 8);
}

TEST_CASE("how many groups a selection has") {
  CHECK(detail::groups_of(group_limited_top_k{.k = 2, .groups = 4, .top_groups = 2}) == 4);
  CHECK(detail::groups_of(top_k{2}) == 1);
  CHECK(detail::ranks_by_two(group_limited_top_k{.k = 2, .groups = 4, .top_groups = 2}));
}
