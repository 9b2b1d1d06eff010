#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/moeroute.hpp>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

static_assert(lane_group<joined_group<butterfly_group<lockstep_lanes::words<8>>, lockstep_lanes::wait_for_block>>);

namespace {

struct collect_row {
  std::int64_t* out;  // threads x 7
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t, scratch) const {
    index_t const l = g.rank();
    std::int64_t* const to = out + 7 * l;
    to[0] = g.sum(static_cast<std::int64_t>(l));
    to[1] = static_cast<std::int64_t>(g.max(static_cast<float>(l % 5) - 9));
    to[2] = g.best(ranked<std::int32_t>{l % 5, 100 - l}).id;
    to[3] = g.best(ranked<std::int64_t>{std::int64_t{l % 4} << 40, 100 - l}).id;
    to[4] = g.any(l == g.size() - 1) ? 1 : 0;
    to[5] = g.any(false) ? 1 : 0;
    to[6] = g.of_first_part(l < 4 ? 1.5f : -1.f) == 1.5f ? 1 : 0;
  }
};

}  // namespace

TEST_CASE("a block of warps: every lane receives what one lane would find") {
  constexpr index_t n = 12;
  std::vector<std::int64_t> out(7 * n, -1);
  REQUIRE(lockstep_lanes::block<4, 3>{}.run(3, collect_row{out.data()}, {}).ok());
  for (index_t l = 0; l < n; ++l) {
    CAPTURE(l);
    std::int64_t const* const at = out.data() + 7 * l;
    CHECK(at[0] == n * (n - 1) / 2);
    CHECK(at[1] == -5);
    CHECK(at[2] == 100 - 9);   // 4 = l % 5: lanes 4 and 9, the lower id
    CHECK(at[3] == 100 - 11);  // 3 = l % 4: lanes 3, 7, 11
    CHECK(at[4] == 1);
    CHECK(at[5] == 0);
    CHECK(at[6] == 1);
  }
}

TEST_CASE("P8 route on a block of warps has the bits of one lane") {
  constexpr index_t tokens = 9, experts = 70, k = 5;
  std::vector<float> logits(tokens * experts);
  draws const d{.seed = 3};
  for (index_t i = 0; i < tokens * experts; ++i)
    logits[static_cast<std::size_t>(i)] = i % 7 == 0 ? .5f : d.normal(i / experts, i % experts);
  for (index_t e = 0; e < experts; ++e) logits[static_cast<std::size_t>(3 * experts + e)] = 1.f;
  logits[4 * experts + 2] = not_a_number<float>;
  router const r{.score = softmax{}, .select = top_k{k}, .weigh = renormalize{}};
  batch<> const in{.logits = {logits.data(), tokens, experts}};

  auto const run = [&](auto const& x) {
    std::vector<index_t> ids(tokens * k, -7);
    std::vector<float> weights(tokens * k, -7);
    std::vector<std::byte> memory(static_cast<std::size_t>(route_workspace_bytes(x, r, tokens, experts)),
                                  std::byte{0xff});
    route(x, r, in, routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}}, workspace(memory));
    return std::pair{ids, weights};
  };
  auto const one = run(serial{});
  CHECK(run(lockstep_lanes::block<4, 3>{}) == one);
  CHECK(run(lockstep_lanes::warp<lockstep_lanes::words<32>>{}) == one);
  CHECK(run(lockstep_lanes::warp<lockstep_lanes::reducing_words<8>>{}) == one);
}
