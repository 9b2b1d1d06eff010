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
#include "turns.hpp"

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

// What is timed, a call at a time.
template <class T, class X>
auto limit_write(data<T>& d, X const& x, bool read) {
  return [&d, x, read] {
    write_bytes const body{reinterpret_cast<line const*>(d.x.data()), reinterpret_cast<line*>(d.grouped.data()), read};
    throw_if_bad(x.run(d.bytes() / 64 / body.lines, body, {}));
  };
}
template <class T, class X>
auto limit_read(data<T>& d, X const& x, bool write) {
  return [&d, x, write] {
    read_bytes const body{reinterpret_cast<line const*>(d.grouped.data()), reinterpret_cast<line*>(d.y.data()), write};
    throw_if_bad(x.run(d.bytes() / 64 / body.lines, body, {}));
  };
}
template <class T, class X>
auto permute_rows(data<T>& d, X const& x) {
  return [&d, x] { permute(x, d.plan, d.tokens_of(d.x), d.rows()); };
}
template <class T, class X>
auto combine_rows(data<T>& d, X const& x) {
  return [&d, x] {
    combine(x, d.plan, d.rows(), matrix_view<float const>(d.weights.data(), d.tokens, d.k), d.tokens_of(d.y));
  };
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
// Names: what/type/threads/width, what_beside_other/type/threads/width where they take turns.
template <class T>
void enter(std::string const& type) {
  auto const add = [&](std::string const& what, std::string const& where, auto f) {
    return benchmark::RegisterBenchmark((what + "/" + type + "/" + where).c_str(), f)
        ->Arg(2048)
        ->Arg(7168)
        ->Unit(benchmark::kMillisecond);
  };
  auto const alone = [&](std::string const& what, std::string const& where, auto make) {
    add(what, where, [make](benchmark::State& s) {
      auto const call = make(shared<T>(s));
      for (auto _ : s) call();
      shared<T>(s).report(s);
    })->UseRealTime();
  };
  auto const beside = [&](std::string const& what, std::string const& where, auto ours, auto other) {
    add(what, where, [ours, other](benchmark::State& s) {
      take_turns(s, ours(shared<T>(s)), other(shared<T>(s)));
    })->Apply(by_turns);
  };
  auto const write = [](auto x, bool both) { return [=](data<T>& d) { return limit_write(d, x, both); }; };
  auto const read = [](auto x, bool both) { return [=](data<T>& d) { return limit_read(d, x, both); }; };
  auto const gather = [](auto x) { return [=](data<T>& d) { return permute_rows(d, x); }; };
  auto const sum = [](auto x) { return [=](data<T>& d) { return combine_rows(d, x); }; };
  auto const on = [&](std::string const& where, auto const& x) {
    alone("limit_write", where, write(x, false));
    alone("limit_write_and_read", where, write(x, true));
    alone("permute", where, gather(x));
    alone("limit_read", where, read(x, false));
    alone("limit_read_and_write", where, read(x, true));
    alone("combine", where, sum(x));
  };
  serial const one;
  threads const two{2};
  on("one", one);
  on("two", two);
  beside("permute_beside_limit_write", "one", gather(one), write(one, false));
  beside("permute_beside_limit_write_and_read", "one", gather(one), write(one, true));
  beside("combine_beside_limit_read", "one", sum(one), read(one, false));
  beside("combine_beside_limit_read_and_write", "one", sum(one), read(one, true));
  beside("permute_beside_permute", "two", gather(two), gather(one));
  beside("combine_beside_combine", "two", sum(two), sum(one));
  add("copy_by_slot", "one", copy_by_slot<T>)->UseRealTime();
  if constexpr (std::same_as<T, float>) add("add_by_row", "one", add_by_row)->UseRealTime();
}
int const entered = (enter<float>("fp32"), enter<bf16>("bf16"), 0);

}  // namespace
