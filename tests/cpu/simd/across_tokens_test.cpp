#include <doctest/doctest.h>

#include <vector>

#include <moeroute/route.hpp>
#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/across_tokens.hpp>
#endif

#include "support/inputs.hpp"
#include "support/run.hpp"

using namespace moeroute;

#if defined(MOEROUTE_SIMD)
TEST_CASE("across tokens: rows become columns") {
  std::vector<float> const rows = inputs::normal(16 * 8, 2);
  float column[16 * 8];
  simd::columns_of_8(rows.data(), column);
  for (std::size_t e = 0; e < 8; ++e)
    for (std::size_t q = 0; q < 16; ++q) CHECK(column[16 * e + q] == rows[8 * q + e]);
}
#endif

TEST_CASE("promise P7 across tokens: any number of tokens, strides, padding rows, a bias that differs by modality") {
  std::vector<float> const z = inputs::normal(40 * 16, 5), table = inputs::normal(2 * 16, 6, .5f);
  for (index_t experts : {4, 7, 8, 13, 16})
    for (offset_t tokens : {1, 2, 15, 16, 17, 40}) {
      auto const n = static_cast<std::size_t>(tokens);
      std::vector<index_t> modality(n);
      std::vector<std::uint8_t> valid(n);
      for (std::size_t t = 0; t < n; ++t) modality[t] = t > 20 ? 1 : 0, valid[t] = t % 7 != 3;
      router const r{.score = sigmoid{},
                     .bias = modality_bias<>{{table.data(), 2, experts}},
                     .select = top_k{3},
                     .weigh = renormalize{}};
      auto const go = [&](auto x) {
        std::vector<index_t> ids(3 * n, -7);
        std::vector<float> weights(3 * n, -7);
        batch<> const in{.logits = {z.data(), tokens, experts, 16}, .modality = modality, .valid = valid};
        std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(x, r, tokens, experts)));
        route(x, r, in, routing_view<>{{ids.data(), tokens, 3}, {weights.data(), tokens, 3}}, workspace(space));
        for (float w : weights) ids.push_back(math::as<index_t>(w));
        return ids;
      };
      CHECK(go(serial{}) == go(row_by_row{serial{}}));
    }
}
