// What it costs to route on a GPU: rows in registers, a warp a row, draws, groups; few tokens and many, hot and cold.
// Bytes: logits read once, weights and ids written once.
#include "cuda/graph_time.cuh"

#include <moeroute/cuda.cuh>
#include <moeroute/cuda/register_rows.cuh>
#include <moeroute/select/gumbel_top_k.hpp>

#include <cuda_bf16.h>

namespace {

using namespace moeroute_bench;
using bf16 = __nv_bfloat16;

auto const softmax_router = [](index_t k, float const*, index_t) {
  return router{.select = top_k{k}, .weigh = renormalize{}};
};
template <index_t K>
struct fixed_router {
  auto operator()(index_t, float const*, index_t) const {
    return router{.select = top_k{fixed<K>}, .weigh = renormalize{}};
  }
};
auto const drawing_router = [](index_t k, float const*, index_t) {
  return router{.select = gumbel_top_k{.k = k}, .weigh = renormalize{}};
};
auto const v3_router = [](index_t k, float const* bias, index_t experts) {
  return router{.score = sigmoid{},
                .bias = correction_bias{row_view<float const>{bias, experts}},
                .select = group_limited_top_k{.k = k, .groups = 8, .top_groups = 4},
                .weigh = renormalize{.scale = 2.5f}};
};
// A warp a row, or the register rows of these numbers of experts.
struct warp_rows {
  on_cuda operator()(on_cuda x) const { return x; }
};
template <index_t... Experts>
struct in_registers {
  on_registers<Experts...> operator()(on_cuda x) const { return {x}; }
};

template <class T, class Rows, class Make>
void gate(benchmark::State& state, T, Rows rows, Make make_router) {
  offset_t const tokens = state.range(0), k = state.range(2);
  auto const experts = static_cast<index_t>(state.range(1));
  struct set {
    device_array<T> logits;
    device_array<index_t> ids;
    device_array<float> weights, bias;
    device_array<std::byte> work;
  };
  offset_t const bytes = tokens * (experts * offset_t{sizeof(T)} + k * 8);
  auto const numbers = normal_numbers<T>(tokens * experts, 1);
  auto const bias = normal_numbers<float>(experts, 2);
  time_of(
      state, state.range(3) != 0, bytes,
      [&] {
        auto const r = make_router(static_cast<index_t>(k), nullptr, experts);
        return set{
            device_array<T>(numbers), device_array<index_t>(tokens * k), device_array<float>(tokens * k),
            device_array<float>(bias),
            device_array<std::byte>(1 + route_workspace_bytes<on_cuda, decltype(r), T>(on_cuda{}, r, tokens, experts))};
      },
      [&](set& s, on_cuda x) {
        route(rows(x), make_router(static_cast<index_t>(k), s.bias.data(), experts),
              batch<T>{.logits = {s.logits.data(), tokens, experts}},
              routing_view<>{{s.ids.data(), tokens, k}, {s.weights.data(), tokens, k}},
              workspace{s.work.data(), s.work.size()});
      });
}

void sizes(benchmark::internal::Benchmark* b, index_t experts, index_t k) {
  b->ArgNames({"tokens", "experts", "k", "cold"})->UseManualTime()->Unit(benchmark::kMicrosecond);
  for (offset_t tokens : {1, 64, 512, 4096, 16384, 65536})
    for (int cold : {0, 1})
      if (cold == 0 || tokens >= 4096) b->Args({tokens, experts, k, cold});
}
void of_128(benchmark::internal::Benchmark* b) { sizes(b, 128, 8); }
void of_256(benchmark::internal::Benchmark* b) { sizes(b, 256, 8); }
void of_512(benchmark::internal::Benchmark* b) { sizes(b, 512, 10); }
void large(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "experts", "k", "cold"})->UseManualTime()->Unit(benchmark::kMicrosecond);
  for (offset_t tokens : {1, 4096}) {
    b->Args({tokens, 384, 8, 0})->Args({tokens, 512, 22, 0});
    b->Args({tokens, 896, 16, 0})->Args({tokens, 2048, 32, 0});
  }
}

in_registers<128, 256> const registers;
in_registers<512> const long_registers;
BENCHMARK_CAPTURE(gate, softmax_bf16_registers, bf16{}, registers, softmax_router)->Apply(of_128)->Apply(of_256);
BENCHMARK_CAPTURE(gate, softmax_bf16_registers_again, bf16{}, registers, softmax_router)->Apply(of_256);  // A against A
BENCHMARK_CAPTURE(gate, softmax_bf16_registers, bf16{}, long_registers, fixed_router<10>{})->Apply(of_512);
BENCHMARK_CAPTURE(gate, softmax_fp32_registers, 0.f, registers, softmax_router)->Apply(of_256);
BENCHMARK_CAPTURE(gate, softmax_bf16_warp, bf16{}, warp_rows{}, softmax_router)->Apply(of_256)->Apply(large);
BENCHMARK_CAPTURE(gate, drawn_bf16_warp, bf16{}, warp_rows{}, drawing_router)->Apply(of_256);
BENCHMARK_CAPTURE(gate, v3_bf16_registers, bf16{}, registers, v3_router)->Apply(of_256);
BENCHMARK_CAPTURE(gate, v3_fp32_registers, 0.f, registers, v3_router)->Apply(of_256);
BENCHMARK_CAPTURE(gate, v3_bf16_warp, bf16{}, warp_rows{}, v3_router)->Apply(of_256);
MOEROUTE_BENCH_LIMITS;

}  // namespace
