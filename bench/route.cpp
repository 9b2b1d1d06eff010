// What routing costs: the vector path against the plain one (row_by_row{...}, one expert at a time) and against the
// limit of reading the logits once, in one run. A token is the item; bytes are those of the logits.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/moeroute.hpp>

namespace {

using namespace moeroute;

struct data {
  offset_t tokens;
  index_t experts, k;
  std::vector<float> logits, bias, weights;
  std::vector<index_t> ids;
  std::vector<std::byte> space;
  data(benchmark::State const& s, index_t e, index_t chosen)
      : tokens(s.range(0)), experts(e), k(chosen), logits(static_cast<std::size_t>(tokens * e)), bias(static_cast<std::size_t>(e), .01f),
        weights(static_cast<std::size_t>(tokens * chosen)), ids(weights.size()) {
    std::mt19937 g(1);
    std::normal_distribution<float> normal;
    for (auto& z : logits) z = normal(g);
    for (auto& b : bias) b = .05f * normal(g);
  }
};

template <class X, class R>
void run(benchmark::State& s, data& d, X const& on, R const& r) {
  d.space.resize(static_cast<std::size_t>(route_workspace_bytes(on, r, d.tokens, d.experts)));
  for (auto _ : s) {
    route(on, r, {.logits = {d.logits.data(), d.tokens, d.experts}}, routing_view<>{{d.ids.data(), d.tokens, d.k}, {d.weights.data(), d.tokens, d.k}},
          workspace(d.space));
    benchmark::ClobberMemory();
  }
  s.SetItemsProcessed(s.iterations() * d.tokens);
  s.SetBytesProcessed(s.iterations() * d.tokens * d.experts * 4);
}

template <class X>
void softmax_top_k(benchmark::State& s, X on) {
  auto const k = static_cast<index_t>(s.range(2));
  data d(s, static_cast<index_t>(s.range(1)), k);
  run(s, d, on, router{.select = top_k{k}});
}
template <class X>
void renormalized(benchmark::State& s, X on) {
  auto const k = static_cast<index_t>(s.range(2));
  data d(s, static_cast<index_t>(s.range(1)), k);
  run(s, d, on, presets::mixtral(k));
}
template <class X>
void deepseek_v3(benchmark::State& s, X on) {
  data d(s, 256, 8);
  run(s, d, on, presets::deepseek_v3(row_view<float const>(d.bias)));
}
// A user's own score, written for any V.
struct softsign {
  static constexpr bool strictly_increasing = true;
  template <class V>
  V operator()(V z) const {
    return z / (V(1) + math::max(z, -z));
  }
};
void user_score(benchmark::State& s) {
  auto const k = static_cast<index_t>(s.range(2));
  data d(s, static_cast<index_t>(s.range(1)), k);
  run(s, d, serial{}, router{.score = softsign{}, .select = top_k{k}, .weigh = renormalize{}});
}
void read_limit(benchmark::State& s) {
  data d(s, static_cast<index_t>(s.range(1)), 1);
  for (auto _ : s) {
    float part[64] = {};
    for (std::size_t i = 0; i + 64 <= d.logits.size(); i += 64)
      for (std::size_t j = 0; j < 64; ++j) part[j] = part[j] > d.logits[i + j] ? part[j] : d.logits[i + j];
    benchmark::DoNotOptimize(part);
  }
  s.SetItemsProcessed(s.iterations() * d.tokens);
  s.SetBytesProcessed(s.iterations() * d.tokens * d.experts * 4);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "experts", "k"})->UseRealTime();
  for (long t : {1L, 4096L})
    for (auto [e, k] : {std::pair{8L, 2L}, {64L, 6L}, {128L, 8L}, {256L, 8L}, {512L, 10L}}) b->Args({t, e, k});
}
void tokens_only(benchmark::internal::Benchmark* b) {
  b->ArgName("tokens")->UseRealTime();
  for (long t : {1L, 256L, 4096L}) b->Arg(t);
}

BENCHMARK_CAPTURE(softmax_top_k, one_thread, serial{})->Apply(sizes);
BENCHMARK_CAPTURE(softmax_top_k, two_threads, threads{2})->Apply(sizes);
BENCHMARK_CAPTURE(softmax_top_k, plain_path, row_by_row{serial{}})->Apply(sizes);
BENCHMARK_CAPTURE(renormalized, one_thread, serial{})->Apply(sizes);
BENCHMARK(user_score)->Apply(sizes);
BENCHMARK_CAPTURE(deepseek_v3, one_thread, serial{})->Apply(tokens_only);
BENCHMARK_CAPTURE(deepseek_v3, two_threads, threads{2})->Apply(tokens_only);
BENCHMARK_CAPTURE(deepseek_v3, plain_path, row_by_row{serial{}})->Apply(tokens_only);
BENCHMARK(read_limit)->Apply(sizes);

}  // namespace
