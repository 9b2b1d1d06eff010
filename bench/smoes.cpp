// What the inter-bin term costs: value and gradient against the forward of route, 4096 tokens, 64 experts, in one
// run. The probabilities are those that route writes.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include <moeroute/route.hpp>
#include <moeroute/smoes/smoes.hpp>

namespace {

using namespace moeroute;

constexpr offset_t tokens = 4096, samples = 32;
constexpr index_t experts = 64, bins = 8;

struct data {
  std::vector<float> logits, p, weights, u, d_logits;
  std::vector<index_t> ids, sample, bin;
  std::vector<double> value;
  std::vector<std::uint8_t> kept;
  std::vector<std::int64_t> totals;
  std::vector<std::byte> work;
  data()
      : logits(tokens * experts),
        p(tokens * experts),
        weights(tokens * 8),
        u(tokens),
        d_logits(tokens * experts),
        ids(tokens * 8),
        sample(tokens),
        bin(experts),
        value(samples),
        kept(samples),
        totals(3) {
    std::mt19937 g(1);
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<float> unit;
    for (float& x : logits) x = normal(g);
    for (float& x : u) x = unit(g);
    for (offset_t t = 0; t < tokens; ++t)
      sample[static_cast<std::size_t>(t)] = static_cast<index_t>(t * samples / tokens);
    for (index_t e = 0; e < experts; ++e) bin[static_cast<std::size_t>(e)] = e * 5 % experts / (experts / bins);
  }
  template <class R>
  void run_route(R const& r, bool with_scores) {
    offset_t const k = r.select.experts_per_token();
    batch<> in;
    in.logits = {logits.data(), tokens, experts};
    routing_view<> out{{ids.data(), tokens, k}, {weights.data(), tokens, k}, {}};
    if (with_scores) out.scores = {p.data(), tokens, experts};
    route(serial{}, r, in, out, workspace(work));
  }
  void run_term(inter_bin_term const& term, bool gradient) {
    bin_batch<float> in;
    in.p = {p.data(), tokens, experts}, in.modality = modality_scores<float>(row_view<float const>(u));
    in.sample = sample, in.samples = samples, in.bin_of_expert = bin;
    matrix_view<float> const d = gradient ? matrix_view<float>{d_logits.data(), tokens, experts} : matrix_view<float>{};
    benchmark::DoNotOptimize(inter_bin(serial{}, term, in, row_view<double>(value), row_view<std::uint8_t>(kept),
                                       row_view<std::int64_t>(totals), d, workspace(work)));
  }
};

void route_forward(benchmark::State& state, bool with_scores) {
  data d;
  router const r{.select = top_k{static_cast<index_t>(state.range(0))}, .weigh = renormalize{}};
  d.work.resize(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, tokens, experts)));
  for (auto _ : state) d.run_route(r, with_scores);
  state.SetItemsProcessed(state.iterations() * tokens);
}
void term_cost(benchmark::State& state, inter_bin_term term, bool gradient) {
  data d;
  router const r{.select = top_k{8}, .weigh = renormalize{}};
  d.work.resize(
      static_cast<std::size_t>(route_workspace_bytes(serial{}, r, tokens, experts) +
                               inter_bin_workspace_bytes<float>(serial{}, term, tokens, experts, 2, samples)));
  d.run_route(r, true);
  for (auto _ : state) d.run_term(term, gradient);
  state.SetItemsProcessed(state.iterations() * tokens);
}

// The memory the term touches, and nothing else: the probabilities read, the gradient written.
void memory_limit(benchmark::State& state, bool gradient) {
  data d;
  for (auto _ : state) {
    float part[64] = {};
    for (std::size_t i = 0; i + 64 <= d.p.size(); i += 64)
      for (std::size_t j = 0; j < 64; ++j) part[j] += d.p[i + j];
    benchmark::DoNotOptimize(part);
    if (gradient)  // read once more, and written
      for (std::size_t i = 0; i < d.p.size(); ++i) d.d_logits[i] = d.p[i] + 1;
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * tokens);
}

BENCHMARK_CAPTURE(route_forward, with_scores, true)->Arg(2)->Arg(8)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(route_forward, choices_alone, false)->Arg(2)->Arg(8)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(term_cost, mi_value, inter_bin_mi(bins), false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(term_cost, mi_value_and_gradient, inter_bin_mi(bins), true)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(memory_limit, read, false)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(memory_limit, read_twice_and_write, true)->Unit(benchmark::kMicrosecond);

}  // namespace
