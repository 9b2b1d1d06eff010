// For an engine with its own threads and memory: plain pointers in and out, a workspace sized beforehand, no
// exceptions, no allocation, rows split by the engine. The functions have the shape of a plugin's.
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include <moeroute/moeroute.hpp>

namespace engine {

using moeroute::offset_t;

struct gate_config {  // what the plugin is built with
  int experts, k, groups, top_groups;
  float scale;
  float const* balance;  // experts
};
auto router_of(gate_config const& c) {
  return moeroute::presets::deepseek_v3({c.balance, c.experts}, c.k, c.groups, c.top_groups, c.scale);
}
// At build time, for the largest batch. One piece for each of the engine's threads.
std::size_t workspace_size(gate_config const& c, int max_tokens) {
  return static_cast<std::size_t>(
      moeroute::route_workspace_bytes(moeroute::row_range{}, router_of(c), max_tokens, c.experts));
}
// At run time, from thread `i` of `n`: rows [tokens i / n, tokens (i + 1) / n). 0 or an error code.
int enqueue(gate_config const& c, float const* logits, offset_t row_stride, int tokens, std::int32_t* ids,
            float* weights, void* workspace, std::size_t bytes, int i, int n) noexcept {
  moeroute::row_range const mine{offset_t{tokens} * i / n, offset_t{tokens} * (i + 1) / n};
  moeroute::status const s =
      moeroute::try_route(mine, router_of(c), moeroute::batch<>{.logits = {logits, tokens, c.experts, row_stride}},
                          moeroute::routing_view<std::int32_t, float>{{ids, tokens, c.k}, {weights, tokens, c.k}},
                          {workspace, static_cast<offset_t>(bytes)});
  if (!s.ok()) std::fprintf(stderr, "%s\n", moeroute::message(s).c_str());
  return static_cast<int>(s.code);
}

}  // namespace engine

int main() {
  int const tokens = 100, experts = 64, stride = 80, n = 3;
  std::vector<float> balance(experts), logits(static_cast<std::size_t>(tokens * stride));
  moeroute::draws const noise{.seed = 3};
  for (int t = 0; t < tokens; ++t)
    for (int e = 0; e < experts; ++e) logits[static_cast<std::size_t>(t * stride + e)] = noise.normal(t, e);
  engine::gate_config const config{experts, 6, 8, 3, 2.5f, balance.data()};

  std::size_t const bytes = engine::workspace_size(config, tokens);
  std::vector<std::int32_t> ids(600), alone(600);
  std::vector<float> weights(600), weights_alone(600);
  std::vector<std::thread> threads;
  std::vector<int> result(n);
  for (int i = 0; i < n; ++i)
    threads.emplace_back([&, i] {
      void* const memory = std::malloc(bytes);
      result[static_cast<std::size_t>(i)] =
          engine::enqueue(config, logits.data(), stride, tokens, ids.data(), weights.data(), memory, bytes, i, n);
      std::free(memory);
    });
  for (auto& t : threads) t.join();
  void* const memory = std::malloc(bytes);
  int const whole =
      engine::enqueue(config, logits.data(), stride, tokens, alone.data(), weights_alone.data(), memory, bytes, 0, 1);
  int const refused =
      engine::enqueue(config, logits.data(), stride, tokens, alone.data(), weights_alone.data(), memory, 16, 0, 1);
  std::free(memory);
  std::printf("codes of the threads: %d %d %d, alone: %d\n", result[0], result[1], result[2], whole);
  std::printf("same ids: %s, same weights: %s\n", ids == alone ? "yes" : "no", weights == weights_alone ? "yes" : "no");
  std::printf("too small a workspace is refused with code %d\n", refused);
  return ids == alone && weights == weights_alone && whole == 0 && refused != 0 ? 0 : 1;
}
