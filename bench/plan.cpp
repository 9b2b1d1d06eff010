// What a dispatch plan costs: dropless and under a capacity, against a plain counting sort in two passes, and made
// while routing against routing alone, in one run. 32768 choices; the limit is reading the ids once and writing two
// lists.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/plan.hpp>
#include <moeroute/route_and_plan.hpp>
#include <moeroute/score.hpp>
#include <moeroute/select/top_k.hpp>

namespace {

using namespace moeroute;

template <class Slot>
struct data {
  offset_t tokens = 4096, k = 8;
  index_t experts;
  std::vector<index_t> ids;
  std::vector<float> score;
  std::vector<offset_t> counts, offsets;
  std::vector<Slot> slot, token;
  plan_view<Slot> plan;
  explicit data(index_t e)
      : experts(e),
        ids(static_cast<std::size_t>(tokens * k)),
        score(ids.size()),
        counts(static_cast<std::size_t>(e)),
        offsets(counts.size() + 1),
        slot(ids.size()),
        token(ids.size()) {
    std::mt19937 g(1);
    for (auto& id : ids) id = static_cast<index_t>(g() % static_cast<unsigned>(e));
    for (auto& s : score) s = static_cast<float>(g() >> 8);
    plan.counts = counts, plan.offsets = offsets, plan.slot_of_choice = slot, plan.token_of_slot = token;
  }
  choices_view<> choices() const { return {.ids = {ids.data(), tokens, k}}; }
  void report(benchmark::State& state) const {
    state.SetItemsProcessed(state.iterations() * tokens * k);
    state.SetBytesProcessed(state.iterations() * tokens * k *
                            static_cast<offset_t>(sizeof(index_t) + 2 * sizeof(Slot)));
  }
};

// The baseline: no masks, no checks, no alignment.
template <class Slot>
void sort_by_counting(data<Slot>& d, std::vector<offset_t>& next) {
  std::fill(next.begin(), next.end(), 0);
  for (auto const id : d.ids) ++next[static_cast<std::size_t>(id)];
  offset_t first = 0;
  for (std::size_t e = 0; e < next.size(); ++e) {
    d.offsets[e] = first;
    first += d.counts[e] = next[e];
    next[e] = d.offsets[e];
  }
  d.offsets.back() = first;
  for (offset_t t = 0; t < d.tokens; ++t)
    for (offset_t c = t * d.k; c < (t + 1) * d.k; ++c) {
      offset_t const s = next[static_cast<std::size_t>(d.ids[static_cast<std::size_t>(c)])]++;
      d.slot[static_cast<std::size_t>(c)] = static_cast<Slot>(s);
      d.token[static_cast<std::size_t>(s)] = static_cast<Slot>(t);
    }
  benchmark::ClobberMemory();
}
template <class Slot>
void counting_sort(benchmark::State& state) {
  data<Slot> d(static_cast<index_t>(state.range(0)));
  std::vector<offset_t> next(d.counts.size());
  for (auto _ : state) sort_by_counting(d, next);
  d.report(state);
}
template <class Slot, class X>
void dropless(benchmark::State& state, X const& x) {
  data<Slot> d(static_cast<index_t>(state.range(0)));
  std::vector<std::byte> w(static_cast<std::size_t>(plan_workspace_bytes(x, d.experts)));
  for (auto _ : state) make_plan(x, d.choices(), d.experts, {}, d.plan, w);
  d.report(state);
}
template <class X>
void dropless32(benchmark::State& state, X const& x) {
  dropless<std::int32_t>(state, x);
}
template <class X>
void dropless64(benchmark::State& state, X const& x) {
  dropless<offset_t>(state, x);
}
void limited(benchmark::State& state, queue_order order) {
  data<offset_t> d(static_cast<index_t>(state.range(0)));
  std::vector<std::byte> w(
      static_cast<std::size_t>(limited_plan_workspace_bytes(serial{}, d.experts, d.tokens, d.tokens * d.k)));
  capacity_options<> o{.rule = {.factor = 1.25}};
  o.queue = {.order = order, .of_token = {d.score.data(), d.tokens}, .of_choice = {d.score.data(), d.tokens, d.k}};
  for (auto _ : state) make_plan(serial{}, d.choices(), d.experts, {}, o, d.plan, w);
  d.report(state);
}

// Routing alone, with a plan made as it goes, or followed by a plan or by a counting sort of its choices.
enum class then { nothing, fused, plan, sort };
template <class X>
void routed(benchmark::State& state, X const& x, then what) {
  data<std::int32_t> d(static_cast<index_t>(state.range(0)));
  std::mt19937 g(2);
  std::normal_distribution<float> normal;
  std::vector<float> logits(static_cast<std::size_t>(d.tokens * d.experts)), weights(d.ids.size());
  for (auto& z : logits) z = normal(g);
  batch<> const in{.logits = {logits.data(), d.tokens, d.experts}};
  routing_view<> const out{{d.ids.data(), d.tokens, d.k}, {weights.data(), d.tokens, d.k}};
  router const r{.select = top_k{static_cast<index_t>(d.k)}};
  std::vector<std::byte> w(static_cast<std::size_t>(route_and_plan_workspace_bytes(x, r, d.tokens, d.experts)));
  std::vector<offset_t> next(d.counts.size());
  for (auto _ : state) {
    if (what == then::fused) {
      route_and_plan(x, r, in, out, d.experts, {}, d.plan, w);
      continue;
    }
    route(x, r, in, out, w);
    if (what == then::plan) make_plan(x, d.choices(), d.experts, {}, d.plan, w);
    if (what == then::sort) sort_by_counting(d, next);
  }
  d.report(state);
}

BENCHMARK(counting_sort<std::int32_t>)->Arg(64)->Arg(256);
BENCHMARK(counting_sort<offset_t>)->Arg(256);
BENCHMARK_CAPTURE(dropless32, serial, serial{})->Arg(64)->Arg(256);
BENCHMARK_CAPTURE(dropless64, serial, serial{})->Arg(256);
BENCHMARK_CAPTURE(dropless64, two_threads, threads{2})->Arg(256)->UseRealTime();
BENCHMARK_CAPTURE(routed, alone, serial{}, then::nothing)->Arg(256);
BENCHMARK_CAPTURE(routed, fused_plan, serial{}, then::fused)->Arg(256);
BENCHMARK_CAPTURE(routed, then_plan, serial{}, then::plan)->Arg(256);
BENCHMARK_CAPTURE(routed, then_counting_sort, serial{}, then::sort)->Arg(256);
BENCHMARK_CAPTURE(routed, fused_plan_two_threads, threads{2}, then::fused)->Arg(256)->UseRealTime();
BENCHMARK_CAPTURE(routed, then_plan_two_threads, threads{2}, then::plan)->Arg(256)->UseRealTime();
BENCHMARK_CAPTURE(limited, position, queue_order::position)->Arg(256);
BENCHMARK_CAPTURE(limited, choice_major, queue_order::choice_major)->Arg(256);
BENCHMARK_CAPTURE(limited, batch_priority, queue_order::batch_priority)->Arg(256);
BENCHMARK_CAPTURE(limited, score, queue_order::score)->Arg(256);

}  // namespace
