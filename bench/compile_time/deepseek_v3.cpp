// A unit that routes with the DeepSeek-V3 preset.
#include <moeroute/moeroute.hpp>

moeroute::status route_tokens(moeroute::batch<> in, moeroute::routing_view<> out, moeroute::row_view<float const> bias,
                              moeroute::workspace w) {
  moeroute::router const r{.score = moeroute::sigmoid{},
                           .bias = moeroute::correction_bias{bias},
                           .select = moeroute::group_limited_top_k{.k = 8, .groups = 8, .top_groups = 4},
                           .weigh = moeroute::renormalize{.scale = 2.5f}};
  return moeroute::try_route(moeroute::serial{}, r, in, out, w);
}
