// What MoE-GRPO's pieces cost, each beside its yardstick in the same run: samplers beside plain top-k, group advantages
// beside a plain sum and sum of squares, log-probability and objective, forward and backward, a token.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include <moeroute/cpu/simd/philox.hpp>
#include <moeroute/grpo/log_prob.hpp>
#include <moeroute/grpo/objective.hpp>
#include <moeroute/moeroute.hpp>
#include <moeroute/select/gumbel_top_k.hpp>
#include <moeroute/select/multinomial.hpp>
#include <moeroute/select/noisy_top_k.hpp>
#include <moeroute/select/replay.hpp>

#include "turns.hpp"

namespace {

using namespace moeroute;

constexpr offset_t tokens = 4096;

std::vector<float> normal(offset_t n, unsigned seed) {
  std::vector<float> x(static_cast<std::size_t>(n));
  std::mt19937 g(seed);
  std::normal_distribution<float> draw;
  for (float& v : x) v = draw(g);
  return x;
}
struct routes {
  index_t experts, k;
  std::vector<float> logits, weights;
  std::vector<index_t> ids;
  std::vector<std::byte> space;
  explicit routes(benchmark::State const& s)
      : experts(static_cast<index_t>(s.range(0))),
        k(static_cast<index_t>(s.range(1))),
        logits(normal(tokens * experts, 1)),
        weights(static_cast<std::size_t>(tokens * k)),
        ids(weights.size()) {}
  batch<> in() const { return {.logits = {logits.data(), tokens, experts}}; }
  template <class X, class R>
  void run(X const& on, R const& r) {
    space.resize(static_cast<std::size_t>(route_workspace_bytes(on, r, tokens, experts)));
    route(on, r, in(), routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}}, workspace(space));
  }
};
template <class X, class Make>
void routed(benchmark::State& s, X on, Make make) {
  routes d(s);
  auto const r = router{.select = make(d)};
  for (auto _ : s) {
    d.run(on, r);
    benchmark::ClobberMemory();
  }
  s.SetItemsProcessed(s.iterations() * tokens);
}
// A draw and the plain choice in turns.
template <class Make, class Other>
void routed_beside_routed(benchmark::State& s, Make make, Other other) {
  routes d(s), e(s);
  auto const r = router{.select = make(d)};
  auto const plain = router{.select = other(e)};
  take_turns(s, [&] { d.run(serial{}, r); }, [&] { e.run(serial{}, plain); });
  s.SetItemsProcessed(s.iterations() * tokens);
}
auto const plain = [](routes const& d) { return top_k{d.k}; };
auto const gumbel = [](routes const& d) { return gumbel_top_k{.k = d.k}; };
auto const with_replacement = [](routes const& d) { return multinomial{.k = d.k}; };
auto const v_moe = [](routes const& d) { return noisy_top_k{.k = d.k}; };
auto const shazeer = [](routes const& d) {
  return noisy_top_k{.k = d.k, .noise = learned_noise<>{.noise_logits = {d.logits.data(), tokens, d.experts}}};
};
auto const replayed = [](routes& d) {
  d.run(serial{}, router{.select = top_k{d.k}});
  return replay{top_k{d.k}, matrix_view<index_t>{d.ids.data(), tokens, d.k}};
};

// What a sampler cannot do without: the random words of every expert.
void random_words(benchmark::State& s) {
  auto const experts = static_cast<index_t>(s.range(0));
  std::vector<std::uint32_t> words(16 * static_cast<std::size_t>(experts));
  for (auto _ : s) {
    simd::philox_words const from(draws{.seed = 1, .step = 2, .purpose = 3});
    for (offset_t t = 0; t < tokens; t += 16) {
      offset_t token[16];
      std::uint32_t* to[16];
      for (int q = 0; q < 16; ++q) token[q] = t + q, to[q] = words.data() + q * experts;
      simd::draw_words(from, token, 16, 0, experts, false, to);
      benchmark::DoNotOptimize(words.data());
      benchmark::ClobberMemory();
    }
  }
  s.SetItemsProcessed(s.iterations() * tokens);
}

void log_prob(benchmark::State& s, probability_of of, bool backward) {
  routes d(s);
  d.run(serial{}, router{.select = gumbel_top_k{.k = d.k}});
  route_measure const m{.of = of};
  std::vector<float> lp(tokens), d_lp(tokens, 1.f), d_logits(d.logits.size());
  std::vector<std::byte> space(static_cast<std::size_t>(route_log_prob_workspace_bytes(serial{}, m, d.experts, d.k)));
  matrix_view<index_t const> const ids{d.ids.data(), tokens, d.k};
  for (auto _ : s) {
    if (backward)
      route_log_prob_backward(serial{}, no_prior{}, m, d.in(), ids, row_view<float const>(d_lp),
                              matrix_view<float>{d_logits.data(), tokens, d.experts}, workspace(space));
    else route_log_prob(serial{}, no_prior{}, m, d.in(), ids, row_view<float>(lp), workspace(space));
    benchmark::ClobberMemory();
  }
  s.SetItemsProcessed(s.iterations() * tokens);
}

void advantages(benchmark::State& s) {
  offset_t const rewards = 8192, group = s.range(0);
  auto const r = normal(rewards, 3);
  std::vector<float> a(r.size());
  for (auto _ : s) {
    group_advantages(serial{}, {}, row_view<float const>(r), segments(rewards / group, group), row_view<float>(a));
    benchmark::ClobberMemory();
  }
  s.SetItemsProcessed(s.iterations() * rewards);
}
// The yardstick: a sum over the rewards of each group, then one of their squares.
void sums_of_groups(benchmark::State& s) {
  offset_t const rewards = 8192, group = s.range(0);
  auto const r = normal(rewards, 3);
  for (auto _ : s)
    for (offset_t first = 0; first < rewards; first += group) {
      float sum = 0, squares = 0;
      for (offset_t j = first; j < first + group; ++j) sum += r[static_cast<std::size_t>(j)];
      benchmark::DoNotOptimize(sum);
      for (offset_t j = first; j < first + group; ++j) {
        float const x = r[static_cast<std::size_t>(j)];
        squares += x * x;
      }
      benchmark::DoNotOptimize(squares);
    }
  s.SetItemsProcessed(s.iterations() * rewards);
}
// Loss, statistics and gradient of 8 layers x 64 rollouts of 64 positions.
void objective(benchmark::State& s, policy_surrogate form) {
  offset_t const layers = 8, rollouts = 64, each = 64;
  auto const now = normal(layers * rollouts * each, 5), old = normal(layers * rollouts * each, 6),
             a = normal(rollouts, 7);
  std::vector<float> d(now.size());
  std::vector<objective_sums> rollout(static_cast<std::size_t>(rollouts)), total(1);
  offset_t const positions = rollouts * each;
  for (auto _ : s) {
    policy_objective(
        serial{}, form,
        policy_batch<float>{.log_prob = {now.data(), layers, positions},
                            .old = {old.data(), layers, positions},
                            .advantage = row_view<float const>(a),
                            .rollouts = segments(rollouts, each)},
        policy_gradient<float>{
            {d.data(), layers, positions}, row_view<objective_sums>(rollout), row_view<objective_sums>(total)});
    benchmark::ClobberMemory();
  }
  s.SetItemsProcessed(s.iterations() * layers * positions);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"experts", "k"})->UseRealTime()->Args({8, 2})->Args({64, 6})->Args({128, 8})->Args({256, 8});
}
BENCHMARK_CAPTURE(routed, plain_top_k, serial{}, plain)->Apply(sizes);
BENCHMARK_CAPTURE(routed, gumbel_top_k, serial{}, gumbel)->Apply(sizes);
BENCHMARK_CAPTURE(routed_beside_routed, gumbel_top_k, gumbel, plain)
    ->ArgNames({"experts", "k"})
    ->Args({128, 8})
    ->Apply(by_turns);
BENCHMARK_CAPTURE(routed, noisy_top_k, serial{}, v_moe)->Apply(sizes);
BENCHMARK_CAPTURE(routed, learned_noise, serial{}, shazeer)->Apply(sizes);
BENCHMARK_CAPTURE(routed, multinomial, serial{}, with_replacement)->Apply(sizes);
BENCHMARK_CAPTURE(routed, replay, serial{}, replayed)->Apply(sizes);
BENCHMARK_CAPTURE(routed, plain_top_k_plain_path, row_by_row{serial{}}, plain)->Apply(sizes);
BENCHMARK_CAPTURE(routed, gumbel_top_k_plain_path, row_by_row{serial{}}, gumbel)->Apply(sizes);
BENCHMARK(random_words)->ArgName("experts")->UseRealTime()->Arg(64)->Arg(128)->Arg(256);
BENCHMARK_CAPTURE(log_prob, ordered, probability_of::ordered, false)->Apply(sizes);
BENCHMARK_CAPTURE(log_prob, ordered_backward, probability_of::ordered, true)->Apply(sizes);
BENCHMARK_CAPTURE(log_prob, product, probability_of::product, false)->Apply(sizes);
BENCHMARK_CAPTURE(log_prob, set, probability_of::set, false)->Apply(sizes);
BENCHMARK(advantages)->ArgName("group")->UseRealTime()->Arg(8)->Arg(32)->Arg(64)->Arg(8192);
BENCHMARK(sums_of_groups)->ArgName("group")->UseRealTime()->Arg(8)->Arg(32)->Arg(64)->Arg(8192);
BENCHMARK_CAPTURE(objective, grpo, grpo_surrogate())->UseRealTime();
BENCHMARK_CAPTURE(objective, dapo, dapo_surrogate())->UseRealTime();
BENCHMARK_CAPTURE(objective, gspo, gspo_surrogate())->UseRealTime();
BENCHMARK_CAPTURE(objective, sapo, sapo_surrogate())->UseRealTime();

}  // namespace
