#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include <moeroute/route.hpp>
#include <moeroute/select/group_limited_top_k.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

namespace {

// Routes with strided logits and outputs of other types; everything that was written, as bytes.
template <class Id, class W, class X, class R>
std::vector<unsigned char> routed(X const& x, R const& r, std::vector<float> const& z, offset_t tokens, index_t experts,
                                  offset_t stride) {
  offset_t const k = r.select.experts_per_token(), wide = k + 3, all = experts + 5;
  std::vector<Id> ids(static_cast<std::size_t>(tokens * wide), Id(77));
  std::vector<W> weights(ids.size(), W(-7)), scores(static_cast<std::size_t>(tokens * all), W(-7));
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(x, r, tokens, experts)), std::byte{0xff});
  route(x, r, batch<>{.logits = {z.data(), tokens, experts, stride}},
        routing_view<Id, W>{
            {ids.data(), tokens, k, wide}, {weights.data(), tokens, k, wide}, {scores.data(), tokens, experts, all}},
        workspace(space));
  std::vector<unsigned char> bytes(ids.size() * sizeof(Id) + (weights.size() + scores.size()) * sizeof(W));
  std::memcpy(bytes.data(), ids.data(), ids.size() * sizeof(Id));
  std::memcpy(bytes.data() + ids.size() * sizeof(Id), weights.data(), weights.size() * sizeof(W));
  std::memcpy(bytes.data() + ids.size() * sizeof(Id) + weights.size() * sizeof(W), scores.data(),
              scores.size() * sizeof(W));
  return bytes;
}

template <class R>
void same(R const& r, std::vector<float> const& z, offset_t tokens, index_t experts, offset_t stride) {
  CAPTURE(experts);
  CAPTURE(tokens);
  CHECK(routed<index_t, float>(serial{}, r, z, tokens, experts, stride) ==
        routed<index_t, float>(row_by_row{serial{}}, r, z, tokens, experts, stride));
  CHECK(routed<std::uint16_t, double>(serial{}, r, z, tokens, experts, stride) ==
        routed<std::uint16_t, double>(row_by_row{serial{}}, r, z, tokens, experts, stride));
}

}  // namespace

TEST_CASE(
    "promise P7 across experts: short runs, strides, other types of ids and weights; nothing beside the rows is "
    "written") {
  std::vector<float> const z = inputs::normal(9 * 1300, 3, 2), bias = inputs::normal(1300, 4, .1f);
  for (index_t experts : {20, 64, 100, 1280})
    for (offset_t tokens : {1, 2, 3, 5, 9}) {
      row_view<float const> const b(bias.data(), experts);
      same(router{.select = top_k{6}}, z, tokens, experts, 1300);
      same(router{.score = sigmoid{}, .bias = correction_bias{b}, .select = top_k{18}, .weigh = renormalize{}}, z,
           tokens, experts, experts + 3);
      same(router{.score = sigmoid{},
                  .bias = correction_bias{b},
                  .select = group_limited_top_k<>{.k = 5, .groups = 4, .top_groups = 2},
                  .weigh = renormalize{}},
           z, tokens, experts, 1300);
      if (experts >= 64)
        same(router{.bias = correction_bias{b},
                    .select = group_limited_top_k<best_of_group>{.k = 20, .groups = 4, .top_groups = 3}},
             z, tokens, experts, experts);
    }
}
