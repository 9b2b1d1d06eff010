// What it costs to move rows to experts and back: permute and combine against the plain ways and the limits, in one
// run and in the same memory. Bytes are those of the grouped rows, 4096 tokens, 8 choices of 256 experts. The limit of
// permute is writing them once past the caches, of combine reading them once; two more limits also read the eighth
// that permute reads, and write the eighth that combine writes.
#include <benchmark/benchmark.h>

#include <bit>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <moeroute/combine.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/plan.hpp>

#include "memory.hpp"

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

// All contenders of a width share their arrays, so that they meet the same pages.
template <class T>
data<T>& shared(benchmark::State const& state) {
  static std::map<offset_t, data<T>> all;
  return all.try_emplace(state.range(0), state.range(0)).first->second;
}

template <class T, class X>
void write_limit(benchmark::State& state, X const& x, bool read) {
  data<T>& d = shared<T>(state);
  write_bytes const body{reinterpret_cast<line const*>(d.x.data()), reinterpret_cast<line*>(d.grouped.data()), read};
  for (auto _ : state) throw_if_bad(x.run(d.bytes() / 64 / body.lines, body, {}));
  d.report(state);
}
template <class T, class X>
void read_limit(benchmark::State& state, X const& x, bool write) {
  data<T>& d = shared<T>(state);
  read_bytes const body{reinterpret_cast<line const*>(d.grouped.data()), reinterpret_cast<line*>(d.y.data()), write};
  for (auto _ : state) throw_if_bad(x.run(d.bytes() / 64 / body.lines, body, {}));
  d.report(state);
}
template <class T>
void copy_by_slot(benchmark::State& state) {  // the plain way: for every row its token
  data<T>& d = shared<T>(state);
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
  data<T>& d = shared<T>(state);
  for (auto _ : state) permute(x, d.plan, d.tokens_of(d.x), d.rows());
  d.report(state);
}
void add_by_row(benchmark::State& state) {  // the plain way: y[t] += w rows[slot], row after row
  data<float>& d = shared<float>(state);
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
  data<T>& d = shared<T>(state);
  for (auto _ : state)
    combine(x, d.plan, d.rows(), matrix_view<float const>(d.weights.data(), d.tokens, d.k), d.tokens_of(d.y));
  d.report(state);
}

// Names: what/type/threads/width.
template <class T>
void enter(std::string const& type) {
  auto const add = [&](std::string const& what, std::string const& where, auto f) {
    benchmark::RegisterBenchmark((what + "/" + type + "/" + where).c_str(), f)
        ->Arg(2048)
        ->Arg(7168)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  auto const on = [&](std::string const& where, auto const& x) {
    add("limit_write", where, [x](benchmark::State& s) { write_limit<T>(s, x, false); });
    add("limit_write_and_read", where, [x](benchmark::State& s) { write_limit<T>(s, x, true); });
    add("permute", where, [x](benchmark::State& s) { permute_rows<T>(s, x); });
    add("limit_read", where, [x](benchmark::State& s) { read_limit<T>(s, x, false); });
    add("limit_read_and_write", where, [x](benchmark::State& s) { read_limit<T>(s, x, true); });
    add("combine", where, [x](benchmark::State& s) { combine_rows<T>(s, x); });
  };
  on("one", serial{});
  on("two", threads{2});
  add("copy_by_slot", "one", copy_by_slot<T>);
  if constexpr (std::same_as<T, float>) add("add_by_row", "one", add_by_row);
}
int const entered = (enter<float>("fp32"), enter<bf16>("bf16"), 0);

}  // namespace
