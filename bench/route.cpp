// What routing costs: the vector path against the plain one (row_by_row{...}), against composed public parts and
// against the limits of reading the logits and of their exponentials, in one run. A token is the item. One token a
// call takes another row each time, so that no branch predictor can learn it.
#include <benchmark/benchmark.h>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/moeroute.hpp>

#include "peers/composed.hpp"
#include "route_rows.hpp"

namespace {

using namespace moeroute;

template <class X>
void softmax_top_k(benchmark::State& s, X on) {
  rows d(s);
  run(s, d, on, router{.select = top_k{d.k}});
}
template <class X>
void renormalized(benchmark::State& s, X on) {
  rows d(s);
  run(s, d, on, presets::mixtral(d.k));
}
// As training asks: all probabilities are written too.
template <class X>
void with_scores(benchmark::State& s, X on) {
  rows d(s);
  d.scores.resize(d.logits.size());
  run(s, d, on, router{.select = top_k{d.k}});
}
template <class X>
void deepseek_v3(benchmark::State& s, X on) {
  rows d(s);
  run(s, d, on, presets::deepseek_v3(row_view<float const>(d.bias)));
}
void softmax_two_beside_one(benchmark::State& s) {
  rows d(s);
  run_two_beside_one(s, d, router{.select = top_k{d.k}});
}
void deepseek_v3_two_beside_one(benchmark::State& s) {
  rows d(s);
  run_two_beside_one(s, d, presets::deepseek_v3(row_view<float const>(d.bias)));
}
// Rows that break branches and filters.
void softmax_of(benchmark::State& s, row_kind kind) {
  rows d(s, kind);
  run(s, d, serial{}, router{.select = top_k{d.k}});
}
void deepseek_v3_of(benchmark::State& s, row_kind kind) {
  rows d(s, kind);
  run(s, d, serial{}, presets::deepseek_v3(row_view<float const>(d.bias)));
}

// The softmax as a user would write it, which the library does not know by name.
struct own_softmax {
  static constexpr bool strictly_increasing = true, sums_to_one = true;
  template <class V>
  struct summary {
    V top, total;
  };
  template <lane_group G, row Row>
  auto summarize(G const& g, Row const& z) const {
    using V = typename Row::value_type;
    V top = V(-infinity<float>);
    z.each(g, [&](index_t, V const& x) { top = math::max(x, top); });
    top = g.max(top);
    unit_sum<V> mass;
    z.each(g, [&](index_t, V const& x) { mass.add(math::exp(math::max(x - top, V(-100.f)))); });
    return summary<V>{top, exact_sum<V>{g.sum(mass.ticks())}.value()};
  }
  template <class V>
  V operator()(summary<V> const& m, V x) const {
    return math::exp(math::max(x - m.top, V(-100.f))) / m.total;
  }
};
struct own_sigmoid {
  static constexpr bool strictly_increasing = true;
  template <class V>
  V operator()(V x) const {
    return math::sigmoid(x);
  }
};
void user_softmax(benchmark::State& s) {
  rows d(s);
  run(s, d, serial{}, router{.score = own_softmax{}, .select = top_k{d.k}});
}
void user_sigmoid(benchmark::State& s) {
  rows d(s);
  run(s, d, serial{}, router{.score = own_sigmoid{}, .bias = correction_bias{d.bias}, .select = top_k{d.k}});
}
void sigmoid_top_k(benchmark::State& s) {
  rows d(s);
  run(s, d, serial{}, router{.score = sigmoid{}, .bias = correction_bias{d.bias}, .select = top_k{d.k}});
}

// ---- public parts, put together ---------------------------------------------------------------------------------
template <class Best>
void softmax_by(benchmark::State& s, Best best) {
  rows d(s);
  each_row(s, d, [&](float const* z, index_t* ids, float* weights) {
    composed::softmax_top_k(best, z, d.experts, d.k, ids, weights);
  });
}
template <class Best>
void deepseek_v3_by(benchmark::State& s, Best best) {
  rows d(s);
  each_row(s, d, [&](float const* z, index_t* ids, float* weights) {
    composed::deepseek_v3(best, z, d.bias.data(), d.experts, d.k, ids, weights);
  });
}

// ---- limits -----------------------------------------------------------------------------------------------------
void limit_read(benchmark::State& s) {
  rows d(s);
  each_row(s, d, [&](float const* z, index_t*, float* weights) { *weights = composed::max_of(z, d.experts); });
}
void limit_exp(benchmark::State& s) {
  rows d(s);
  each_row(s, d,
           [&](float const* z, index_t*, float* weights) { *weights = composed::denominator(z, d.experts, 4.f); });
}

void many_tokens(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "experts", "k"});
  for (auto [e, k] : {std::pair{8L, 2L}, {64L, 6L}, {128L, 8L}, {256L, 8L}}) b->Args({4096, e, k});
  b->Args({1024, 512, 10})->Args({1024, 512, 22});
}
void sizes(benchmark::internal::Benchmark* b) {
  many_tokens(b);
  b->Args({1, 128, 8})->Args({1, 8, 2})->UseRealTime();
}
void gate_of_many_tokens(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "experts", "k"})->Args({256, 256, 8})->Args({4096, 256, 8});
}
void gate(benchmark::internal::Benchmark* b) {
  gate_of_many_tokens(b);
  b->Args({1, 256, 8})->UseRealTime();
}
void one(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "experts", "k"})->UseRealTime()->Args({4096, 128, 8});
}

BENCHMARK_CAPTURE(softmax_top_k, one_thread, serial{})->Apply(sizes);
BENCHMARK_CAPTURE(softmax_by, partial_sort, composed::partial_sort{})->Apply(sizes);
#if defined(MOEROUTE_BENCH_HWY)
void softmax_by_vqsort(benchmark::State& s) { softmax_by(s, composed::vqsort{}); }
void deepseek_v3_by_vqsort(benchmark::State& s) { deepseek_v3_by(s, composed::vqsort{}); }
BENCHMARK(softmax_by_vqsort)->Name("softmax_by/vqsort")->Apply(sizes);
BENCHMARK(deepseek_v3_by_vqsort)->Name("deepseek_v3_by/vqsort")->Apply(gate);
#endif
BENCHMARK_CAPTURE(softmax_top_k, two_threads, thread_pair())->Apply(sizes);
BENCHMARK(softmax_two_beside_one)->Name("softmax_top_k/two_beside_one")->Apply(many_tokens)->Apply(by_turns);
BENCHMARK_CAPTURE(softmax_top_k, plain_path, row_by_row{serial{}})->Apply(sizes);
BENCHMARK_CAPTURE(renormalized, one_thread, serial{})->Apply(sizes);
BENCHMARK_CAPTURE(with_scores, one_thread, serial{})->Apply(sizes);
BENCHMARK(limit_read)->Apply(sizes);
BENCHMARK(limit_exp)->Apply(sizes);
BENCHMARK_CAPTURE(deepseek_v3, one_thread, serial{})->Apply(gate);
BENCHMARK_CAPTURE(deepseek_v3_by, partial_sort, composed::partial_sort{})->Apply(gate);
BENCHMARK_CAPTURE(deepseek_v3, two_threads, thread_pair())->Apply(gate);
BENCHMARK(deepseek_v3_two_beside_one)->Name("deepseek_v3/two_beside_one")->Apply(gate_of_many_tokens)->Apply(by_turns);
BENCHMARK_CAPTURE(deepseek_v3, plain_path, row_by_row{serial{}})->Apply(gate);
BENCHMARK(user_softmax)->Apply(one);
BENCHMARK(sigmoid_top_k)->Apply(one);
BENCHMARK(user_sigmoid)->Apply(one);
#define KIND(name)                                                                \
  BENCHMARK_CAPTURE(softmax_of, name, row_kind::name)->Apply(one);                \
  BENCHMARK_CAPTURE(deepseek_v3_of, name, row_kind::name)->Apply([](auto* b) {    \
    b->ArgNames({"tokens", "experts", "k"})->UseRealTime()->Args({4096, 256, 8}); \
  });
KIND(normal) KIND(ties) KIND(constant) KIND(ascending) KIND(descending) KIND(some_nan) KIND(some_infinite)

}  // namespace
