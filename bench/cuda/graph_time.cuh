// Decides how a GPU is timed: a graph of many calls, replayed between two events. Hot: every call works on the same arrays.
// Cold: calls take turns on copies that together are larger than any cache. A figure is the time of one call.
#pragma once

#include <benchmark/benchmark.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/error.cuh>
#include <moeroute/cuda/executor.cuh>

#include <vector>

namespace moeroute_bench {
using namespace moeroute;

template <class T>
class device_array {
 public:
  explicit device_array(offset_t n) : size_(n) {
    check(cudaMalloc(&data_, static_cast<std::size_t>(n) * sizeof(T)), "cudaMalloc");
    check(cudaMemset(data_, 0, static_cast<std::size_t>(n) * sizeof(T)), "cudaMemset");
  }
  explicit device_array(std::vector<T> const& host) : device_array(std::ssize(host)) {
    check(cudaMemcpy(data_, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  device_array(device_array&& other) noexcept : data_(other.data_), size_(other.size_) { other.data_ = nullptr; }
  device_array& operator=(device_array&&) = delete;
  ~device_array() { cudaFree(data_); }

  T* data() const { return data_; }
  offset_t size() const { return size_; }
  matrix_view<T> rows(offset_t n) const { return {data_, n, n > 0 ? size_ / n : 0}; }
  row_view<T> row() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  offset_t size_;
};

inline constexpr offset_t beyond_caches = offset_t{256} << 20;  // bytes
inline constexpr int calls_in_graph = 20;

// Normal numbers, the same on every machine.
template <class T>
std::vector<T> normal_numbers(offset_t n, std::uint64_t seed) {
  std::vector<T> x;
  x.reserve(static_cast<std::size_t>(n));
  draws const d{.seed = seed};
  for (offset_t i = 0; i < n; ++i) x.push_back(static_cast<T>(d.normal(i, 0)));
  return x;
}
inline std::vector<index_t> some_choices(offset_t tokens, offset_t k, index_t experts, std::uint64_t seed) {
  std::vector<index_t> ids;
  draws const d{.seed = seed};
  for (offset_t t = 0; t < tokens; ++t)
    for (offset_t j = 0; j < k; ++j)  // distinct: one of every k-th share of the experts
      ids.push_back(
          static_cast<index_t>((d.bits(t, static_cast<index_t>(j)) % static_cast<std::uint32_t>(experts / k)) *
                                   static_cast<std::uint32_t>(k) +
                               static_cast<std::uint32_t>(j)));
  return ids;
}

// Times call(set, executor) over `sets`, each `bytes` of moved memory (what the work cannot do without).
// state.range(last) != 0: cold. `make` makes a set.
template <class Make, class Call>
void time_of(benchmark::State& state, bool cold, offset_t bytes, Make make, Call call) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    state.SkipWithError("SKIPPED: no CUDA device");
    return;
  }
  offset_t const copies = cold ? 1 + beyond_caches / (bytes < 1 ? 1 : bytes) : 1;
  offset_t const most = 4096;  // copies of small work: their launches pass each other in other memory all the same
  std::vector<decltype(make())> sets;
  for (offset_t i = 0; i < (copies < most ? copies : most); ++i) sets.push_back(make());

  on_cuda x{};
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  cudaEvent_t before, after;
  check(cudaStreamCreate(&x.stream), "cudaStreamCreate");
  check(cudaEventCreate(&before), "cudaEventCreate");
  check(cudaEventCreate(&after), "cudaEventCreate");
  int const calls = std::ssize(sets) > calls_in_graph ? static_cast<int>(std::ssize(sets)) : calls_in_graph;
  check(cudaStreamBeginCapture(x.stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  for (int i = 0; i < calls; ++i) call(sets[static_cast<std::size_t>(i) % sets.size()], x);
  check(cudaStreamEndCapture(x.stream, &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiate(&ready, graph, 0), "cudaGraphInstantiate");
  check(cudaGraphLaunch(ready, x.stream), "cudaGraphLaunch");
  check(cudaStreamSynchronize(x.stream), "cudaStreamSynchronize");

  for (auto _ : state) {
    check(cudaEventRecord(before, x.stream), "cudaEventRecord");
    check(cudaGraphLaunch(ready, x.stream), "cudaGraphLaunch");
    check(cudaEventRecord(after, x.stream), "cudaEventRecord");
    check(cudaEventSynchronize(after), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, before, after), "cudaEventElapsedTime");
    state.SetIterationTime(static_cast<double>(milliseconds) * 1e-3 / calls);
  }
  state.SetBytesProcessed(state.iterations() * bytes);
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaEventDestroy(before);
  cudaEventDestroy(after);
  cudaStreamDestroy(x.stream);
}

// A copy on the device of `bytes` read and as many written: the limit that every memory-bound row stands beside.
inline void limit_copy(benchmark::State& state) {
  offset_t const bytes = state.range(0);
  struct set {
    device_array<char> from, to;
  };
  time_of(
      state, true, 2 * bytes, [&] { return set{device_array<char>(bytes), device_array<char>(bytes)}; },
      [&](set& s, on_cuda x) {
        check(cudaMemcpyAsync(s.to.data(), s.from.data(), static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice,
                              x.stream),
              "cudaMemcpyAsync");
      });
}
// A kernel that does nothing: what a node of a graph costs.
struct nothing {
  static constexpr offset_t scratch_bytes() { return 0; }
  template <class G>
  MOEROUTE_HD void operator()(G const&, offset_t, scratch) const {}
};
inline void limit_launch(benchmark::State& state) {
  struct set {};
  time_of(
      state, false, 0, [] { return set{}; }, [](set&, on_cuda x) { throw_if_bad(x.run(1, nothing{}, workspace{})); });
}
#define MOEROUTE_BENCH_LIMITS                                                                          \
  BENCHMARK(moeroute_bench::limit_copy)->Arg(1 << 26)->UseManualTime()->Unit(benchmark::kMicrosecond); \
  BENCHMARK(moeroute_bench::limit_launch)->UseManualTime()->Unit(benchmark::kMicrosecond)

}  // namespace moeroute_bench
