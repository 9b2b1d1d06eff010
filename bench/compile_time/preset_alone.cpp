// The same unit as preset.cpp by the two headers it needs: -DPRESET=mixtral() or -DPRESET=deepseek_v3(bias).
#include <moeroute/presets.hpp>
#include <moeroute/route.hpp>

moeroute::status route_tokens(moeroute::batch<> in, moeroute::routing_view<> out,
                              [[maybe_unused]] moeroute::row_view<float const> bias, moeroute::workspace w) {
  return moeroute::try_route(moeroute::serial{}, moeroute::presets::PRESET, in, out, w);
}
