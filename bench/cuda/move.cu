// What it costs to plan and to move rows on a GPU: make_plan, route with it, permute, combine and their backwards.
// Bytes: every row read once and written once; the plan's: choices, slots, tokens and offsets.
#include "cuda/graph_time.cuh"

#include <moeroute/cuda.cuh>

#include <cuda_bf16.h>

namespace {

using namespace moeroute_bench;
using bf16 = __nv_bfloat16;
using slot_t = std::int32_t;

constexpr offset_t k = 8;
constexpr index_t experts = 256;

struct planned {
  offset_t tokens;
  device_array<index_t> ids;
  device_array<offset_t> counts, offsets;
  device_array<slot_t> slot, token;
  device_array<std::byte> work;
  explicit planned(offset_t n)
      : tokens(n),
        ids(some_choices(n, k, experts, 1)),
        counts(experts),
        offsets(experts + 1),
        slot(n * k),
        token(n * k),
        work(plan_workspace_bytes(on_cuda{}, experts)) {}
  plan_view<slot_t> make(on_cuda x) {
    plan_view<slot_t> p{
        .counts = counts.row(), .offsets = offsets.row(), .slot_of_choice = slot.row(), .token_of_slot = token.row()};
    make_plan(x, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, {}, p, workspace{work.data(), work.size()});
    return p;
  }
};
void plan(benchmark::State& state) {
  offset_t const tokens = state.range(0);
  time_of(state, false, tokens * k * 12, [&] { return planned(tokens); }, [](planned& s, on_cuda x) { s.make(x); });
}
void route_and_plan(benchmark::State& state) {
  offset_t const tokens = state.range(0);
  struct set {
    planned p;
    device_array<bf16> logits;
    device_array<float> weights;
  };
  auto const numbers = normal_numbers<bf16>(tokens * experts, 1);
  router const r{.select = top_k{static_cast<index_t>(k)}, .weigh = renormalize{}};
  time_of(
      state, false, tokens * (experts * 2 + k * 20),
      [&] { return set{planned(tokens), device_array<bf16>(numbers), device_array<float>(tokens * k)}; },
      [&](set& s, on_cuda x) {
        route(x, r, batch<bf16>{.logits = {s.logits.data(), tokens, experts}},
              routing_view<>{{s.p.ids.data(), tokens, k}, {s.weights.data(), tokens, k}}, workspace{});
        s.p.make(x);
      });
}

struct rows {
  planned p;
  device_array<bf16> x, grouped, d_grouped, y;
  device_array<float> weights, d_weights;
  plan_view<slot_t> plan;
  rows(offset_t tokens, offset_t width)
      : p(tokens),
        x(tokens * width),
        grouped(tokens * k * width),
        d_grouped(tokens * k * width),
        y(tokens * width),
        weights(std::vector<float>(static_cast<std::size_t>(tokens * k), .125f)),
        d_weights(tokens * k),
        plan(p.make(on_cuda{})) {
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }
};
// `moved`: rows of the width that travel for each token.
template <class Call>
void move(benchmark::State& state, offset_t moved, Call call) {
  offset_t const tokens = state.range(0), width = state.range(1);
  time_of(state, true, tokens * width * 2 * moved, [&] { return rows(tokens, width); }, call);
}
void permute_bf16(benchmark::State& state) {
  offset_t const t = state.range(0);
  move(state, 1 + k,
       [&](rows& r, on_cuda x) { permute(x, r.plan, matrix_view<bf16 const>(r.x.rows(t)), r.grouped.rows(t * k)); });
}
void permute_backward_bf16(benchmark::State& state) {
  offset_t const t = state.range(0);
  move(state, 1 + k, [&](rows& r, on_cuda x) {
    permute_backward(x, r.plan, matrix_view<bf16 const>(r.grouped.rows(t * k)), r.x.rows(t));
  });
}
void combine_bf16(benchmark::State& state) {
  offset_t const t = state.range(0);
  move(state, 1 + k, [&](rows& r, on_cuda x) {
    combine(x, r.plan, r.grouped.rows(t * k), matrix_view<float const>(r.weights.rows(t)), r.y.rows(t));
  });
}
void combine_backward_bf16(benchmark::State& state) {
  offset_t const t = state.range(0);
  move(state, 1 + 2 * k, [&](rows& r, on_cuda x) {
    combine_terms<bf16> const terms{.rows = matrix_view<bf16 const>(r.grouped.rows(t * k)),
                                    .weights = matrix_view<float const>(r.weights.rows(t))};
    combine_backward(x, r.plan, terms, matrix_view<bf16 const>(r.y.rows(t)),
                     combine_gradients<bf16>{.rows = r.d_grouped.rows(t * k), .weights = r.d_weights.rows(t)});
  });
}

#define IN_MICROSECONDS UseManualTime()->Unit(benchmark::kMicrosecond)
#define ROWS ArgNames({"tokens", "width"})->Args({32, 7168})->Args({4096, 7168})->Args({4096, 2048})->IN_MICROSECONDS
BENCHMARK(plan)->ArgName("tokens")->Arg(1)->Arg(128)->Arg(4096)->Arg(65536)->IN_MICROSECONDS;
BENCHMARK(route_and_plan)->ArgName("tokens")->Arg(1)->Arg(4096)->Arg(65536)->IN_MICROSECONDS;
BENCHMARK(permute_bf16)->ROWS;
BENCHMARK(permute_backward_bf16)->ROWS;
BENCHMARK(combine_bf16)->ROWS;
BENCHMARK(combine_backward_bf16)->ROWS;
MOEROUTE_BENCH_LIMITS;

}  // namespace
