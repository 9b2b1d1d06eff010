// Decides how two ways are compared on a machine that changes its speed: they take turns, and their ratio is the median of
// those of neighbours. Best times of either by itself may be of different minutes.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

// Of as many calls as fill 5 ms, after others that find their data and wake their threads, for 1 ms or one of them.
template <class F>
double seconds_a_call(F f) {
  using clock = std::chrono::steady_clock;
  auto const calls_of = [&](double least) {
    auto const start = clock::now();
    for (int calls = 1;; ++calls) {
      f();
      benchmark::ClobberMemory();
      std::chrono::duration<double> const passed = clock::now() - start;
      if (passed.count() >= least) return passed.count() / calls;
    }
  };
  calls_of(1e-3);
  return calls_of(5e-3);
}

// The time is that of `ours`; the counter `ratio` how many times as long `other` takes.
template <class Ours, class Other>
void take_turns(benchmark::State& state, Ours ours, Other other) {
  std::vector<double> ratio;
  for (auto _ : state) {
    double const time = seconds_a_call(ours);
    state.SetIterationTime(time);
    ratio.push_back(seconds_a_call(other) / time);
  }
  auto const middle = ratio.begin() + static_cast<std::ptrdiff_t>(ratio.size() / 2);
  std::nth_element(ratio.begin(), middle, ratio.end());
  state.counters["ratio"] = *middle;
}

// So many turns a repetition, whatever a call takes.
inline void by_turns(benchmark::internal::Benchmark* b) { b->UseManualTime()->Iterations(21); }
