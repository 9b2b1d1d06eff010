// What it costs to let experts choose, to balance softly (Sinkhorn) and exactly (auction), against the plain ways from
// the standard library and Eigen, in one run, one thread. Normal scores.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC's own AVX-512 header, through Eigen
#endif
#include <benchmark/benchmark.h>

#include <algorithm>
#include <bit>
#include <new>
#include <random>
#include <vector>
#if __has_include(<Eigen/Dense>)
#include <Eigen/Dense>
#define HAS_EIGEN 1
#endif

#include <moeroute/assign/balanced.hpp>
#include <moeroute/assign/sinkhorn.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/route_experts.hpp>

namespace {

using namespace moeroute;

// Arrays on whole lines, as those of Eigen and of every tensor library are.
template <class T>
struct on_lines {
  using value_type = T;
  on_lines() = default;
  template <class U>
  on_lines(on_lines<U> const&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t{64}); }
  friend bool operator==(on_lines, on_lines) { return true; }
};
using floats = std::vector<float, on_lines<float>>;

floats normal_scores(offset_t tokens, offset_t experts) {
  std::mt19937 g(1);
  std::normal_distribution<float> d;
  floats z(static_cast<std::size_t>(tokens * experts));
  for (auto& x : z) x = d(g);
  return z;
}
std::size_t size(offset_t n) { return static_cast<std::size_t>(n); }

// Scores given, the chosen set of every expert by position.
template <class R, class X>
void experts_choose(benchmark::State& state, R const& r, X const& x) {
  offset_t const tokens = state.range(0), experts = state.range(1), capacity = state.range(2);
  auto const z = normal_scores(tokens, experts);
  std::vector<offset_t> picks(size(experts * capacity));
  std::vector<float> weights(picks.size());
  std::vector<std::byte> w(
      size(route_experts_workspace_bytes<X, R, float>(x, r, tokens, static_cast<index_t>(experts), 1, capacity)));
  for (auto _ : state) {
    route_experts(x, r, batch<>{.logits = {z.data(), tokens, experts}},
                  expert_routing_view<>{{picks.data(), experts, capacity}, {weights.data(), experts, capacity}},
                  workspace(w));
    benchmark::ClobberMemory();
  }
}
void choose_by_position(benchmark::State& state) {
  experts_choose(
      state,
      router{.score = identity{}, .select = top_tokens<>{.fixed_count = state.range(2), .order = pick_order::position}},
      serial{});
}
void choose_after_softmax(benchmark::State& state) {
  experts_choose(state, router{.select = top_tokens<>{.fixed_count = state.range(2)}}, serial{});
}
void choose_after_softmax_two_threads(benchmark::State& state) {
  experts_choose(state, router{.select = top_tokens<>{.fixed_count = state.range(2)}}, threads{2});
}
// The composed way: columns of packed keys (score bits, lower token first), std::nth_element.
void nth_element_of_columns(benchmark::State& state) {
  offset_t const tokens = state.range(0), experts = state.range(1), capacity = state.range(2);
  auto const z = normal_scores(tokens, experts);
  std::vector<std::uint64_t> column(size(tokens));
  std::vector<offset_t> picks(size(experts * capacity));
  std::vector<float> weights(picks.size());
  for (auto _ : state) {
    for (offset_t e = 0; e < experts; ++e) {
      for (offset_t t = 0; t < tokens; ++t) {
        auto const b = std::bit_cast<std::uint32_t>(z[size(t * experts + e)]);
        std::uint32_t const key = (b >> 31) != 0 ? ~b : b | 0x80000000u;
        column[size(t)] = std::uint64_t{key} << 32 | (0xffffffffu - static_cast<std::uint32_t>(t));
      }
      std::nth_element(column.begin(), column.begin() + capacity, column.end(), std::greater<>{});
      for (offset_t j = 0; j < capacity; ++j) {
        auto const t = static_cast<offset_t>(0xffffffffu - static_cast<std::uint32_t>(column[size(j)]));
        picks[size(e * capacity + j)] = t;
        weights[size(e * capacity + j)] = z[size(t * experts + e)];
      }
    }
    benchmark::ClobberMemory();
  }
}
void transposing_copy(benchmark::State& state) {  // the limit: columns alone
  offset_t const tokens = state.range(0), experts = state.range(1);
  auto const z = normal_scores(tokens, experts);
  offset_t const stride = tokens + 16;
  floats columns(size(experts * stride));
  for (auto _ : state) {
    for (offset_t t = 0; t < tokens; t += 16)
      for (offset_t e = 0; e < experts; ++e)
        for (offset_t i = t; i < t + 16; ++i) columns[size(e * stride + i)] = z[size(i * experts + e)];
    benchmark::ClobberMemory();
  }
}

void sinkhorn_rounds(benchmark::State& state) {
  offset_t const tokens = state.range(0), experts = state.range(1);
  auto const z = normal_scores(tokens, experts);
  floats plan(z.size());
  sinkhorn const how{.tolerance = 0, .max_rounds = 8};
  std::vector<std::byte> w(size(sinkhorn_workspace_bytes<serial, float>(serial{}, tokens, experts)));
  for (auto _ : state) {
    sinkhorn_plan(serial{}, how, matrix_view<float const>{z.data(), tokens, experts},
                  matrix_view<float>{plan.data(), tokens, experts}, workspace(w));
    benchmark::ClobberMemory();
  }
}
#if defined(HAS_EIGEN)
void sinkhorn_by_eigen(benchmark::State& state) {  // two matrix-vector products a round
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  offset_t const tokens = state.range(0), experts = state.range(1);
  auto const z = normal_scores(tokens, experts);
  Eigen::Map<matrix const> const logits(z.data(), tokens, experts);
  matrix c(tokens, experts), plan(tokens, experts);
  Eigen::VectorXf row(tokens), column(experts);
  auto const t = static_cast<float>(tokens), e = static_cast<float>(experts);
  for (auto _ : state) {
    c = logits.array().exp().matrix();
    column.setOnes();
    for (int i = 0; i < 8; ++i) {
      row.noalias() = c * column;
      row = (t * (row.array() + 1e-8f)).inverse();
      column.noalias() = c.transpose() * row;
      column = (e * (column.array() + 1e-8f)).inverse();
    }
    plan = row.asDiagonal() * c * column.asDiagonal();
    benchmark::ClobberMemory();
  }
}
BENCHMARK(sinkhorn_by_eigen)->Args({4096, 64})->Args({4096, 256})->Unit(benchmark::kMicrosecond);
#endif

void balanced(benchmark::State& state) {
  offset_t const tokens = state.range(0), experts = state.range(1);
  auto const z = normal_scores(tokens, experts);
  std::vector<index_t> out(size(tokens));
  std::vector<std::byte> w(size(balanced_workspace_bytes<serial, float>(serial{}, tokens, experts)));
  assignment_report report;
  for (auto _ : state)
    report = balanced_assignment(serial{}, auction{}, matrix_view<float const>{z.data(), tokens, experts},
                                 row_view<index_t>(out), workspace(w));
  state.counters["rounds"] = static_cast<double>(report.rounds);
  state.counters["score"] = report.total_score;
  state.counters["gap"] = report.gap;
}

BENCHMARK(sinkhorn_rounds)->Args({4096, 64})->Args({4096, 256})->Unit(benchmark::kMicrosecond);
BENCHMARK(choose_by_position)->Args({4096, 64, 128})->Args({4096, 256, 128})->Unit(benchmark::kMicrosecond);
BENCHMARK(choose_after_softmax)->Args({4096, 64, 128})->Args({4096, 256, 128})->Unit(benchmark::kMicrosecond);
BENCHMARK(choose_after_softmax_two_threads)->Args({4096, 64, 128})->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(nth_element_of_columns)->Args({4096, 64, 128})->Args({4096, 256, 128})->Unit(benchmark::kMicrosecond);
BENCHMARK(transposing_copy)->Args({4096, 64})->Args({4096, 256})->Unit(benchmark::kMicrosecond);
BENCHMARK(balanced)->Args({4096, 64})->Args({1024, 16})->Unit(benchmark::kMicrosecond);

}  // namespace
