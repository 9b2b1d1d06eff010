// A consumer's program: units that all include everything and route the same token, one of them compiled for two levels.
#include "routes.hpp"

#include <moeroute/cpu/level.hpp>
#include <moeroute/moeroute.hpp>

#include <cstdio>
#include <vector>

int main() {
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
  if (!s.ok()) {
    std::printf("%s\n", moeroute::message(s).c_str());
    return 1;
  }
  std::printf("experts %d %d, weights %.6f %.6f\n", ids[0], ids[1], double(weights[0]), double(weights[1]));
  moeroute::per_level const weight_of{
#if defined(__x86_64__)
      .sse2 = consumer::sse2::weight_of,
      .avx2 = consumer::avx2::weight_of,
#else
      .MOEROUTE_LEVEL = consumer::MOEROUTE_LEVEL::weight_of,
#endif
  };
  bool const same = weight_of.chosen()(1) == weights[0] && weight_of.up_to(moeroute::level::sse2)(3) == weights[1];
  return same && ids[0] == 1 && ids[1] == 3 ? 0 : 1;
}
