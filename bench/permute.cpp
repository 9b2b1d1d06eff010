// What it costs to move rows to experts and back: permute and combine against the plain ways and the limits, in one
// run. Bytes are those of the grouped rows, 4096 tokens, 8 choices of 256 experts; the limit of permute is writing
// them once past the caches, of combine reading them once.
#include <benchmark/benchmark.h>

#include <bit>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <moeroute/combine.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/plan.hpp>

namespace {

using namespace moeroute;

struct bf16 {  // any 16-bit type that converts will do
  std::uint16_t bits = 0;
  bf16() = default;
  explicit bf16(float x) {
    auto const b = std::bit_cast<std::uint32_t>(x);
    bits = static_cast<std::uint16_t>((b + 0x7fffu + (b >> 16 & 1)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

// Arrays on large pages where the system gives them, for the limits and for us alike.
template <class T>
struct on_pages {
  using value_type = T;
  static constexpr std::size_t page = std::size_t{1} << 21;
  on_pages() = default;
  template <class U>
  on_pages(on_pages<U> const&) {}
  T* allocate(std::size_t n) {
    std::size_t const bytes = (n * sizeof(T) + page - 1) / page * page;
    void* const p = ::operator new(bytes, std::align_val_t{page});
#if defined(__linux__)
    madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t{page}); }
  friend bool operator==(on_pages, on_pages) { return true; }
};

template <class T>
struct data {
  offset_t tokens = 4096, k = 8, width;
  std::vector<index_t> ids;
  std::vector<offset_t> offsets, slot, token;
  std::vector<T, on_pages<T>> x, grouped, y;
  std::vector<float> weights;
  plan_view<> plan;
  explicit data(offset_t w)
      : width(w),
        ids(static_cast<std::size_t>(tokens * k)),
        offsets(257),
        slot(ids.size()),
        token(ids.size()),
        x(static_cast<std::size_t>(tokens * w), store<T>(1.f)),
        grouped(ids.size() * static_cast<std::size_t>(w), store<T>(1.f)),
        y(x.size(), store<T>(1.f)),
        weights(ids.size(), .125f) {
    std::mt19937 g(1);
    for (auto& id : ids) id = static_cast<index_t>(g() % 256);
    plan.offsets = offsets, plan.slot_of_choice = slot, plan.token_of_slot = token;
    std::vector<std::byte> space(static_cast<std::size_t>(plan_workspace_bytes(serial{}, 256)));
    make_plan(serial{}, choices_view<>{.ids = {ids.data(), tokens, k}}, 256, {}, plan, space);
  }
  matrix_view<T> tokens_of(std::vector<T, on_pages<T>>& v) { return {v.data(), tokens, width}; }
  matrix_view<T> rows() { return {grouped.data(), tokens * k, width}; }
  offset_t bytes() const { return tokens * k * width * static_cast<offset_t>(sizeof(T)); }
  void report(benchmark::State& state) const { state.SetBytesProcessed(state.iterations() * bytes()); }
};

template <class T>
void write_limit(benchmark::State& state) {  // the same bytes, streamed from one piece that stays near
  data<T> d(state.range(0));
  std::vector<unsigned char> piece(4096, 1);
  for (auto _ : state) {
    auto* const to = reinterpret_cast<unsigned char*>(d.grouped.data());
    for (offset_t i = 0; i < d.bytes(); i += 4096) detail::stream_copy(piece.data(), to + i, 4096);
    detail::stream_fence();
  }
  d.report(state);
}
template <class T>
void read_limit(benchmark::State& state) {  // the same bytes, read once in order
  data<T> d(state.range(0));
  for (auto _ : state) {
    using line [[gnu::vector_size(64)]] = std::uint64_t;
    line sum[4] = {};
    auto const* const from = reinterpret_cast<line const*>(d.grouped.data());
    for (offset_t i = 0; i < d.bytes() / 64; i += 4)
      for (int j = 0; j < 4; ++j) sum[j] ^= from[i + j];
    sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
    benchmark::DoNotOptimize(sum[0][0] ^ sum[0][3]);
  }
  d.report(state);
}
template <class T>
void copy_by_slot(benchmark::State& state) {  // the plain way: for every row its token
  data<T> d(state.range(0));
  for (auto _ : state) {
    for (offset_t s = 0; s < d.tokens * d.k; ++s)
      std::memcpy(d.rows()[s].data, d.tokens_of(d.x)[d.token[static_cast<std::size_t>(s)]].data,
                  static_cast<std::size_t>(d.width) * sizeof(T));
    benchmark::ClobberMemory();
  }
  d.report(state);
}
template <class T, class X>
void permute_rows(benchmark::State& state, X const& x) {
  data<T> d(state.range(0));
  for (auto _ : state) permute(x, d.plan, d.tokens_of(d.x), d.rows());
  d.report(state);
}
void add_by_row(benchmark::State& state) {  // the plain way: y[t] += w rows[slot], row after row
  data<float> d(state.range(0));
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
template <class T, class X>
void combine_rows(benchmark::State& state, X const& x) {
  data<T> d(state.range(0));
  for (auto _ : state)
    combine(x, d.plan, d.rows(), matrix_view<float const>(d.weights.data(), d.tokens, d.k), d.tokens_of(d.y));
  d.report(state);
}

template <class T>
void permute_alone(benchmark::State& state) {
  permute_rows<T>(state, serial{});
}
template <class T>
void combine_alone(benchmark::State& state) {
  combine_rows<T>(state, serial{});
}
void permute_on_two(benchmark::State& state) { permute_rows<float>(state, threads{2}); }
void combine_on_two(benchmark::State& state) { combine_rows<float>(state, threads{2}); }

#define WIDTHS Arg(2048)->Arg(7168)->Unit(benchmark::kMillisecond)
BENCHMARK(write_limit<float>)->WIDTHS;
BENCHMARK(permute_alone<float>)->WIDTHS;
BENCHMARK(copy_by_slot<float>)->WIDTHS;
BENCHMARK(write_limit<bf16>)->WIDTHS;
BENCHMARK(permute_alone<bf16>)->WIDTHS;
BENCHMARK(copy_by_slot<bf16>)->WIDTHS;
BENCHMARK(permute_on_two)->UseRealTime()->WIDTHS;
BENCHMARK(read_limit<float>)->WIDTHS;
BENCHMARK(combine_alone<float>)->WIDTHS;
BENCHMARK(add_by_row)->WIDTHS;
BENCHMARK(read_limit<bf16>)->WIDTHS;
BENCHMARK(combine_alone<bf16>)->WIDTHS;
BENCHMARK(combine_on_two)->UseRealTime()->WIDTHS;

}  // namespace
