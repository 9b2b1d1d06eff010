// What this machine can do at best, on one thread and two: bytes read, written, copied (past the caches, 256 MiB), float
// exponentials and fused multiply-adds of the vector layer from registers.
#include <benchmark/benchmark.h>

#include <vector>

#include <moeroute/cpu/simd/math.hpp>
#include <moeroute/cpu/threads.hpp>

#include "memory.hpp"

namespace {

using namespace moeroute;

constexpr offset_t bytes = offset_t{1} << 28;
using array = std::vector<unsigned char, on_pages<unsigned char>>;
line* lines_of(array& a) { return reinterpret_cast<line*>(a.data()); }

template <class Body, class X>
void move_bytes(benchmark::State& state, X const& x, Body body) {
  static array from(bytes + 8192, 1), to(bytes + 8192, 1);  // what is asked for ahead may lie behind the end
  body.from = lines_of(from), body.to = lines_of(to);
  for (auto _ : state) throw_if_bad(x.run(bytes / 64 / Body::lines, body, {}));
  state.SetBytesProcessed(state.iterations() * bytes);
}

// Parts of 2^16 results, eight chains side by side.
template <class F>
struct calculate {
  F f;
  static constexpr offset_t parts = 64, results = 1 << 16;
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const&, offset_t, scratch) const {
    simd::floats x[8];
    for (int j = 0; j < 8; ++j) x[j] = simd::floats(.1f * static_cast<float>(j) - 2.f);
    for (offset_t i = 0; i < results / 128; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) x[j] = f(x[j]);
    float out[16];
    for (int j = 0; j < 8; ++j) simd::store(out, x[j]), benchmark::DoNotOptimize(out);
  }
};
template <class X, class F>
void arithmetic(benchmark::State& state, X const& x, F f) {
  calculate<F> const body{f};
  for (auto _ : state) throw_if_bad(x.run(body.parts, body, {}));
  state.SetItemsProcessed(state.iterations() * body.parts * body.results);
}

void enter(char const* threads, auto const& x) {
  auto const add = [&](std::string const& what, auto f) {
    benchmark::RegisterBenchmark((what + "/" + threads).c_str(), f)->UseRealTime();
  };
  add("read", [x](benchmark::State& s) { move_bytes(s, x, read_bytes{{}, {}, false}); });
  add("write", [x](benchmark::State& s) { move_bytes(s, x, write_bytes{{}, {}, false}); });
  add("copy", [x](benchmark::State& s) { move_bytes(s, x, copy_bytes{}); });
  add("exp", [x](benchmark::State& s) {
    arithmetic(s, x, [](simd::floats v) MOEROUTE_SIMD_LAMBDA { return -math::exp(v); });
  });
  add("fma", [x](benchmark::State& s) {
    arithmetic(s, x, [](simd::floats v) MOEROUTE_SIMD_LAMBDA {
      return simd::simd_fma(v, simd::floats(.5f), simd::floats(.25f));
    });
  });
}
int const entered = (enter("one", serial{}), enter("two", threads{2}), 0);

}  // namespace
