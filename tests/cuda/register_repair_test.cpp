#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/register_repair.hpp>

#include "support/lockstep_lanes.hpp"

using namespace moeroute;

namespace {

// Every row as if it were in doubt.
template <class Plain, class Layout>
struct doubtful_row {
  Plain plain;
  Layout place;
  offset_t scratch_bytes() const { return aligned_bytes<float>(plain.out.ids.cols); }
  template <class G>
  void operator()(G const& g, offset_t t, scratch s, bool live) const {
    register_repair<Plain, Layout> const repair{&plain, &place};
    row_view<float> const chosen{s.take<float>(plain.out.ids.cols), plain.out.ids.cols};
    repair.choose(g, t, live, chosen);
    repair.weigh(g, chosen);
    for (index_t j = g.rank(); live && j < chosen.size; j += g.size()) plain.out.weights[t][j] = chosen[j];
    g.sync();
  }
};

template <index_t Lanes, bool Runs, class R>
void check(R const& r, index_t experts, index_t groups) {
  offset_t const tokens = 9, k = r.select.experts_per_token();
  std::vector<float> logits(static_cast<std::size_t>(tokens * experts));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    auto const bits = draws{.seed = 8}.bits(static_cast<offset_t>(i), 0);
    logits[i] = bits % 11 == 0 ? not_a_number<float> : static_cast<float>(bits % 7);  // ties
  }
  batch<> const in{.logits = {logits.data(), tokens, experts}};
  std::vector<index_t> ids(static_cast<std::size_t>(tokens * k)), found(ids.size());
  std::vector<float> weights(ids.size()), computed(ids.size());
  std::vector<std::byte> memory(1 << 16);
  route(serial{}, r, in, routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}}, workspace(memory));
  using plain = route_row<R, float, float, index_t, float>;
  using layout = register_layout<Lanes, 4, Runs>;
  using warp = lockstep_lanes::marching_warp<Lanes, 2>;
  doubtful_row<plain, layout> body{{r, in, {{found.data(), tokens, k}, {computed.data(), tokens, k}}},
                                   layout::of(experts, groups)};
  body.place.without_vectors();  // the rows lie anywhere
  REQUIRE(warp{}.run(tokens, body, workspace(memory)).ok());
  CHECK(found == ids);
  CHECK(computed == weights);
}

}  // namespace

TEST_CASE("a row in doubt takes the plain rule: the ids and weights of route") {
  check<8, false>(router{.select = top_k{5}, .weigh = renormalize{}}, 37, 1);
  check<4, false>(router{.score = sigmoid{}, .select = top_k{11}}, 64, 1);
  for (index_t groups : {2, 4, 8})
    check<8, true>(
        router{.score = sigmoid{}, .select = group_limited_top_k{.k = 4, .groups = groups, .top_groups = groups / 2}},
        48, groups);
}
