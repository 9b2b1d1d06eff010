// What it costs to move rows to experts and back: permute and combine against the plain ways, in one run. Bytes
// are those of the grouped rows, 4096 tokens, 8 choices of 256 experts; the limit of permute is writing them once,
// of combine reading them once.
#include <benchmark/benchmark.h>

#include <cstring>
#include <random>
#include <vector>

#include <moeroute/combine.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/plan.hpp>

namespace {

using namespace moeroute;

struct data {
  offset_t tokens = 4096, k = 8, width;
  std::vector<index_t> ids;
  std::vector<offset_t> offsets, slot, token;
  std::vector<float> x, grouped, y, weights;
  plan_view<> plan;
  explicit data(offset_t w)
      : width(w),
        ids(static_cast<std::size_t>(tokens * k)),
        offsets(257),
        slot(ids.size()),
        token(ids.size()),
        x(static_cast<std::size_t>(tokens * w), 1.f),
        grouped(ids.size() * static_cast<std::size_t>(w), 1.f),
        y(x.size(), 1.f),
        weights(ids.size(), .125f) {
    std::mt19937 g(1);
    for (auto& id : ids) id = static_cast<index_t>(g() % 256);
    plan.offsets = offsets, plan.slot_of_choice = slot, plan.token_of_slot = token;
    std::vector<std::byte> space(static_cast<std::size_t>(plan_workspace_bytes(serial{}, 256)));
    make_plan(serial{}, choices_view<>{.ids = {ids.data(), tokens, k}}, 256, {}, plan, space);
  }
  matrix_view<float> tokens_of(std::vector<float>& v) { return {v.data(), tokens, width}; }
  matrix_view<float> rows() { return {grouped.data(), tokens * k, width}; }
  void report(benchmark::State& state) const {
    state.SetBytesProcessed(state.iterations() * tokens * k * width * 4);
  }
};

void copy_by_slot(benchmark::State& state) {  // the plain way: for every row its token
  data d(state.range(0));
  for (auto _ : state) {
    for (offset_t s = 0; s < d.tokens * d.k; ++s)
      std::memcpy(d.rows()[s].data, d.tokens_of(d.x)[d.token[static_cast<std::size_t>(s)]].data,
                  static_cast<std::size_t>(d.width) * 4);
    benchmark::ClobberMemory();
  }
  d.report(state);
}
template <class X>
void permute_rows(benchmark::State& state, X const& x) {
  data d(state.range(0));
  for (auto _ : state) permute(x, d.plan, d.tokens_of(d.x), d.rows());
  d.report(state);
}
void add_by_row(benchmark::State& state) {  // the plain way: y[t] += w rows[slot], row after row
  data d(state.range(0));
  for (auto _ : state) {
    for (offset_t t = 0; t < d.tokens; ++t) {
      float* const y = d.tokens_of(d.y)[t].data;
      for (offset_t i = 0; i < d.width; ++i) y[i] = 0;
      for (offset_t c = t * d.k; c < (t + 1) * d.k; ++c) {
        float const* const row = d.rows()[d.slot[static_cast<std::size_t>(c)]].data;
        float const w = d.weights[static_cast<std::size_t>(c)];
        for (offset_t i = 0; i < d.width; ++i) y[i] += w * row[i];
      }
    }
    benchmark::ClobberMemory();
  }
  d.report(state);
}
template <class X>
void combine_rows(benchmark::State& state, X const& x) {
  data d(state.range(0));
  for (auto _ : state)
    combine(x, d.plan, d.rows(), matrix_view<float const>(d.weights.data(), d.tokens, d.k),
            d.tokens_of(d.y));
  d.report(state);
}

BENCHMARK(copy_by_slot)->Arg(2048)->Arg(7168)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(permute_rows, serial, serial{})
    ->Arg(2048)
    ->Arg(7168)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(permute_rows, two_threads, threads{2})
    ->Arg(2048)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(add_by_row)->Arg(2048)->Arg(7168)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(combine_rows, serial, serial{})
    ->Arg(2048)
    ->Arg(7168)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(combine_rows, two_threads, threads{2})
    ->Arg(2048)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
