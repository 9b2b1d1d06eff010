// The routing of this program, compiled once for each level. The namespace keeps the levels apart.
#include "route_tokens.hpp"

#include <vector>

#include <moeroute/cpu/level.hpp>
#include <moeroute/moeroute.hpp>

namespace app::MOEROUTE_LEVEL {

char const* route_tokens(float const* logits, std::int64_t tokens, std::int32_t* ids, float* weights) {
  moeroute::router const router{.score = moeroute::softmax{},
                                .select = moeroute::top_k{.k = moeroute::fixed<k>},
                                .weigh = moeroute::renormalize{}};
  std::vector<std::byte> space(
      static_cast<std::size_t>(moeroute::route_workspace_bytes(moeroute::serial{}, router, tokens, experts)));
  moeroute::route(moeroute::serial{}, router, moeroute::batch<>{.logits = {logits, tokens, experts}},
                  moeroute::routing_view<>{.ids = {ids, tokens, k}, .weights = {weights, tokens, k}},
                  moeroute::workspace(space));
  return moeroute::name(moeroute::this_level);
}

}  // namespace app::MOEROUTE_LEVEL
