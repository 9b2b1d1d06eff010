// Decides which rows the benchmark of route runs on, and how a call is timed.
#pragma once

#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/route.hpp>

#include "turns.hpp"

enum class row_kind { normal, ties, constant, ascending, descending, some_nan, some_infinite };

// tokens x experts logits; where a call routes one token, 509 of them in turn.
struct rows {
  moeroute::offset_t tokens, all;
  moeroute::index_t experts, k;
  std::vector<float> logits, bias, weights, scores;
  std::vector<moeroute::index_t> ids;

  explicit rows(benchmark::State const& s, row_kind kind = row_kind::normal)
      : tokens(s.range(0)),
        all(tokens == 1 ? 509 : tokens),
        experts(static_cast<moeroute::index_t>(s.range(1))),
        k(static_cast<moeroute::index_t>(s.range(2))),
        logits(static_cast<std::size_t>(all * experts)),
        bias(static_cast<std::size_t>(experts)),
        weights(static_cast<std::size_t>(tokens * k)),
        ids(weights.size()) {
    std::mt19937 g(1);
    std::normal_distribution<float> normal;
    auto const e = [&](std::size_t i) { return static_cast<float>(i % static_cast<std::size_t>(experts)); };
    for (auto& b : bias) b = .05f * normal(g);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      float& z = logits[i] = normal(g);
      auto const hundredth = g() % 100;
      if (kind == row_kind::ties) z = static_cast<float>(static_cast<int>(z * 16)) / 16;  // as 16-bit logits tie
      if (kind == row_kind::constant) z = .5f;
      if (kind == row_kind::ascending) z = .01f * e(i);
      if (kind == row_kind::descending) z = -.01f * e(i);
      if (kind >= row_kind::some_nan && hundredth == 0) z = moeroute::not_a_number<float>;
      if (kind == row_kind::some_infinite && hundredth == 1) z = moeroute::infinity<float>;
      if (kind == row_kind::some_infinite && hundredth == 2) z = -moeroute::infinity<float>;
    }
  }
  float const* next(moeroute::offset_t& turn) const {
    float const* const p = logits.data() + turn * tokens * experts;
    turn = turn + 1 < all / tokens ? turn + 1 : 0;
    return p;
  }
};

inline void count(benchmark::State& s, rows const& d) {
  s.SetItemsProcessed(s.iterations() * d.tokens);
  s.SetBytesProcessed(s.iterations() * d.tokens * d.experts * 4);
}
// Two threads that wait between calls.
struct thread_pair {
  moeroute::thread_team const& team() const {
    static moeroute::thread_team const two(2);
    return two;
  }
  moeroute::index_t shares() const { return 2; }
  moeroute::offset_t workspace_bytes(moeroute::offset_t scratch, moeroute::offset_t rows_scratch = 0) const {
    return team().workspace_bytes(scratch, rows_scratch);
  }
  template <class Body>
  moeroute::status run(moeroute::offset_t n, Body const& body, moeroute::workspace w) const noexcept {
    return team().run(n, body, w);
  }
};

// One call after another.
template <class X, class R>
auto routing_of(rows& d, X const& on, R const& r) {
  using namespace moeroute;
  routing_view<> out{{d.ids.data(), d.tokens, d.k}, {d.weights.data(), d.tokens, d.k}};
  if (!d.scores.empty()) out.scores = {d.scores.data(), d.tokens, d.experts};
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(on, r, d.tokens, d.experts)));
  return [&d, on, r, out, space, turn = offset_t{0}]() mutable {
    route(on, r, {.logits = {d.next(turn), d.tokens, d.experts}}, out, workspace(space));
  };
}
template <class X, class R>
void run(benchmark::State& s, rows& d, X const& on, R const& r) {
  auto call = routing_of(d, on, r);
  for (auto _ : s) {
    call();
    benchmark::ClobberMemory();
  }
  count(s, d);
}
// Two threads and one in turns.
template <class R>
void run_two_beside_one(benchmark::State& s, rows& d, R const& r) {
  take_turns(s, routing_of(d, thread_pair(), r), routing_of(d, moeroute::serial{}, r));
  count(s, d);
}
template <class F>
void each_row(benchmark::State& s, rows& d, F f) {
  moeroute::offset_t turn = 0;
  for (auto _ : s) {
    float const* const z = d.next(turn);
    for (moeroute::offset_t t = 0; t < d.tokens; ++t)
      f(z + t * d.experts, d.ids.data() + t * d.k, d.weights.data() + t * d.k);
    benchmark::ClobberMemory();
  }
  count(s, d);
}
