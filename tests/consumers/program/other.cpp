#include "routes.hpp"

#include <moeroute/moeroute.hpp>

#include <vector>

namespace consumer::MOEROUTE_LEVEL {

float weight_of(int expert) {
  float const logits[4] = {0.5f, 2.0f, -1.0f, 1.0f};
  moeroute::index_t ids[2] = {};
  float weights[2] = {};
  moeroute::router const r{.score = moeroute::softmax{},
                           .select = moeroute::top_k{.k = moeroute::fixed<2>},
                           .weigh = moeroute::renormalize{}};
  std::vector<char> work(static_cast<std::size_t>(moeroute::route_workspace_bytes(moeroute::serial{}, r, 1, 4)));
  moeroute::status const s = moeroute::try_route(
      moeroute::serial{}, r, moeroute::batch<>{.logits = {logits, 1, 4}},
      moeroute::routing_view<>{.ids = {ids, 1, 2}, .weights = {weights, 1, 2}}, moeroute::workspace(work));
  for (int j = 0; s.ok() && j < 2; ++j)
    if (ids[j] == expert) return weights[j];
  return -1.0f;
}

}  // namespace consumer::MOEROUTE_LEVEL
