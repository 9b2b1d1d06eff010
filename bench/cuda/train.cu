// What training costs on a GPU: the gate's gradient, losses of the router and their gradient, log-probabilities of
// routes, group advantages, the policy objective. Bytes: logits read once (and d_logits written once, where there are any).
#include "cuda/graph_time.cuh"

#include <moeroute/cuda.cuh>
#include <moeroute/grpo/advantage.hpp>
#include <moeroute/grpo/log_prob.hpp>
#include <moeroute/grpo/objective.hpp>
#include <moeroute/loss/observe.hpp>
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/z_loss.hpp>

namespace {

using namespace moeroute_bench;

constexpr offset_t k = 8;
constexpr index_t experts = 256;

terms const losses{switch_balance{}, z_loss{}};

struct routed {
  offset_t tokens;
  device_array<float> logits, d_logits, d_weights, log_prob;
  device_array<index_t> ids;
  device_array<wide_sum> sums;
  device_array<std::byte> work;
  explicit routed(offset_t n)
      : tokens(n),
        logits(normal_numbers<float>(n * experts, 1)),
        d_logits(n * experts),
        d_weights(normal_numbers<float>(n * k, 2)),
        log_prob(n),
        ids(some_choices(n, k, experts, 3)),
        sums(losses.sums(experts)),
        work(1 + observe_workspace_bytes(on_cuda{}, losses, n, experts) +
             add_gradient_workspace_bytes(on_cuda{}, losses, n, experts)) {}
  batch<> in() const { return {.logits = {logits.data(), tokens, experts}}; }
  matrix_view<index_t const> choices() const { return {ids.data(), tokens, k}; }
  workspace space() const { return {work.data(), work.size()}; }
};
router const gate{.select = top_k{static_cast<index_t>(k)}, .weigh = renormalize{}};

template <class Call>
void on_routes(benchmark::State& state, offset_t matrices, Call call) {
  offset_t const tokens = state.range(0);
  time_of(state, state.range(1) != 0, tokens * experts * 4 * matrices, [&] { return routed(tokens); }, call);
}
void gate_backward(benchmark::State& state) {
  on_routes(state, 2, [](routed& r, on_cuda x) {
    route_backward(x, gate, r.in(), r.choices(), matrix_view<float const>(r.d_weights.rows(r.tokens)),
                   r.d_logits.rows(r.tokens), r.space());
  });
}
void losses_observe(benchmark::State& state) {
  on_routes(state, 1,
            [](routed& r, on_cuda x) { observe(x, losses, gate, r.in(), r.choices(), r.sums.row(), r.space()); });
}
void gate_backward_and_losses(benchmark::State& state) {
  on_routes(state, 2, [](routed& r, on_cuda x) {
    route_backward(x, gate, r.in(), r.choices(), matrix_view<float const>(r.d_weights.rows(r.tokens)),
                   r.d_logits.rows(r.tokens), r.space());
    add_gradient(x, losses, gate, r.in(), r.choices(), row_view<wide_sum const>(r.sums.row()),
                 r.d_logits.rows(r.tokens), r.space());
  });
}
void log_prob(benchmark::State& state) {
  on_routes(state, 1, [](routed& r, on_cuda x) {
    route_log_prob(x, no_prior{}, route_measure{}, r.in(), r.choices(), r.log_prob.row(), r.space());
  });
}
void log_prob_backward(benchmark::State& state) {
  on_routes(state, 2, [](routed& r, on_cuda x) {
    route_log_prob_backward(x, no_prior{}, route_measure{}, r.in(), r.choices(),
                            row_view<float const>(r.log_prob.row()), r.d_logits.rows(r.tokens), r.space());
  });
}
void advantages(benchmark::State& state) {
  offset_t const rewards = state.range(0), group = state.range(1);
  struct set {
    device_array<float> rewards, out;
  };
  time_of(
      state, false, rewards * 8,
      [&] { return set{device_array<float>(normal_numbers<float>(rewards, 1)), device_array<float>(rewards)}; },
      [&](set& s, on_cuda x) {
        group_advantages(x, {}, row_view<float const>(s.rewards.row()), segments(rewards / group, group), s.out.row());
      });
}
void objective(benchmark::State& state) {
  offset_t const rollouts = 64, positions = state.range(0);
  struct set {
    device_array<float> log_prob, old, d, advantage;
    device_array<objective_sums> rollout, total;
  };
  time_of(
      state, false, positions * 12,
      [&] {
        return set{device_array<float>(positions),         device_array<float>(positions),
                   device_array<float>(positions),         device_array<float>(normal_numbers<float>(rollouts, 1)),
                   device_array<objective_sums>(rollouts), device_array<objective_sums>(1)};
      },
      [&](set& s, on_cuda x) {
        policy_objective(x, policy_surrogate{},
                         policy_batch<>{.log_prob = {s.log_prob.data(), 1, positions},
                                        .old = {s.old.data(), 1, positions},
                                        .advantage = {s.advantage.data(), rollouts},
                                        .rollouts = {rollouts, positions / rollouts}},
                         policy_gradient<>{{s.d.data(), 1, positions}, s.rollout.row(), s.total.row()});
      });
}

#define IN_MICROSECONDS UseManualTime()->Unit(benchmark::kMicrosecond)
#define TOKENS ArgNames({"tokens", "cold"})->Args({4096, 0})->Args({4096, 1})->Args({65536, 1})->IN_MICROSECONDS
BENCHMARK(gate_backward)->TOKENS;
BENCHMARK(losses_observe)->TOKENS;
BENCHMARK(gate_backward_and_losses)->TOKENS;
BENCHMARK(log_prob)->TOKENS;
BENCHMARK(log_prob_backward)->TOKENS;
BENCHMARK(advantages)
    ->ArgNames({"rewards", "group"})
    ->Args({8192, 8})
    ->Args({8192, 64})
    ->Args({8192, 8192})
    ->IN_MICROSECONDS;
BENCHMARK(objective)->ArgName("positions")->Arg(65536)->IN_MICROSECONDS;
MOEROUTE_BENCH_LIMITS;

}  // namespace
