#include "route.hpp"

#include <moeroute/cpu/level.hpp>
#include <moeroute/moeroute.hpp>

namespace program::MOEROUTE_LEVEL {

char const* route(float const* logits, std::int64_t tokens, std::int32_t* ids, float* weights, float* sums) {
  moeroute::router const router{.select = moeroute::top_k{k}};
  std::vector<std::byte> space(
      static_cast<std::size_t>(moeroute::route_workspace_bytes(moeroute::serial{}, router, tokens, experts)));
  moeroute::route(moeroute::serial{}, router, moeroute::batch<>{.logits = {logits, tokens, experts}},
                  moeroute::routing_view<>{.ids = {ids, tokens, k}, .weights = {weights, tokens, k}},
                  moeroute::workspace(space));
  std::vector<float> const all(weights, weights + tokens * k);
  sums[0] = sum(all);
  sums[1] = sum_of_halves(all);
  return moeroute::name(moeroute::this_level);
}

}  // namespace program::MOEROUTE_LEVEL
