// What losses cost in a training step: sums and gradient of a router's terms against the forward of route, and the whole
// gradient of the logits in two passes and in one, 4096 tokens, 64 experts, top 8, in one run. Terms make the scores again
// from the logits; all terms share that pass.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include <moeroute/loss/whole_backward.hpp>
#include <moeroute/presets_training.hpp>

namespace {

using namespace moeroute;

constexpr offset_t tokens = 4096;
constexpr index_t experts = 64;

struct data {
  std::vector<float> logits, weights, scores, d_logits;
  std::vector<index_t> ids;
  std::vector<wide_sum> sums;
  std::vector<std::byte> work;
  data()
      : logits(tokens * experts),
        weights(tokens * 8),
        scores(tokens * experts),
        d_logits(tokens * experts),
        ids(tokens * 8),
        work(1 << 25) {
    std::mt19937 g(1);
    std::normal_distribution<float> normal;
    for (float& x : logits) x = normal(g);
  }
  batch<> in() const {
    batch<> b;
    b.logits = {logits.data(), tokens, experts};
    return b;
  }
  matrix_view<index_t const> choices() const { return {ids.data(), tokens, 8}; }
  template <class R>
  void run_route(R const& r, bool with_scores) {
    routing_view<> out{{ids.data(), tokens, 8}, {weights.data(), tokens, 8}, {}};
    if (with_scores) out.scores = {scores.data(), tokens, experts};
    route(serial{}, r, in(), out, workspace(work));
  }
};

void forward(benchmark::State& state, bool with_scores) {
  data d;
  auto const r = presets::olmoe();
  for (auto _ : state) d.run_route(r, with_scores);
  state.SetItemsProcessed(state.iterations() * tokens);
}
template <class R>
void sums(benchmark::State& state, R r) {
  data d;
  d.run_route(r, false);
  d.sums.resize(static_cast<std::size_t>(r.regularize.sums(experts)));
  for (auto _ : state) {
    for (auto& s : d.sums) s = {};
    observe(serial{}, r, d.in(), d.choices(), row_view<wide_sum>(d.sums), workspace(d.work));
    benchmark::DoNotOptimize(loss_value(r.regularize, experts, d.sums));
  }
  state.SetItemsProcessed(state.iterations() * tokens);
}
template <class R>
void gradient(benchmark::State& state, R r) {
  data d;
  d.run_route(r, false);
  d.sums.resize(static_cast<std::size_t>(r.regularize.sums(experts)));
  observe(serial{}, r, d.in(), d.choices(), row_view<wide_sum>(d.sums), workspace(d.work));
  for (auto _ : state) {
    add_gradient(serial{}, r, d.in(), d.choices(), row_view<wide_sum const>(d.sums),
                 matrix_view<float>(d.d_logits.data(), tokens, experts), workspace(d.work));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * tokens);
}
template <class R>
void backward(benchmark::State& state, R r, int passes) {
  data d;
  d.run_route(r, false);
  d.sums.resize(static_cast<std::size_t>(r.regularize.sums(experts)));
  observe(serial{}, r, d.in(), d.choices(), row_view<wide_sum>(d.sums), workspace(d.work));
  matrix_view<float const> const d_weights(d.weights.data(), tokens, 8);
  matrix_view<float> const out(d.d_logits.data(), tokens, experts);
  row_view<wide_sum const> const kept(d.sums);
  for (auto _ : state) {
    if (passes == 2) {
      route_backward(serial{}, r, d.in(), d.choices(), d_weights, out, workspace(d.work));
      add_gradient(serial{}, r, d.in(), d.choices(), kept, out, workspace(d.work));
    } else {
      whole_backward(serial{}, r, d.in(), d.choices(), d_weights, kept, out, workspace(d.work));
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * tokens);
}
auto const balance = with_losses(presets::olmoe(), switch_balance{});
auto const both = presets::training::olmoe();

BENCHMARK_CAPTURE(forward, choices_alone, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(forward, with_scores, true)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(sums, switch_balance, balance)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(sums, switch_balance_and_z, both)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(gradient, switch_balance, balance)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(gradient, switch_balance_and_z, both)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(backward, switch_balance_and_z_in_two_passes, both, 2)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(backward, switch_balance_and_z_in_one, both, 1)->Unit(benchmark::kMicrosecond);

}  // namespace
