// Decides how a parallel body is proved without a GPU: n CPU threads are the lanes of one group, and every
// collective is a barrier. A missing sync() is a data race that a thread sanitizer sees.
#pragma once

#include <barrier>
#include <thread>
#include <vector>

#include <moeroute/core/executor.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct lockstep_lane_state {
  alignas(64) std::int64_t word = 0;
  index_t id = 0;
};

// One lane of a group of `lanes` threads. Collectives run in the order of a butterfly where the size is a
// power of two, in rank order elsewhere.
struct lockstep_group {
  std::barrier<>* barrier{};
  lockstep_lane_state* state{};  // lanes
  index_t lane = 0;
  index_t lanes = 1;

  index_t rank() const { return lane; }
  index_t size() const { return lanes; }
  void sync() const { barrier->arrive_and_wait(); }

  template <class T>
  T sum(T x) const {
    return fold(x, [](T a, T b) { return a + b; });
  }
  template <class T>
  T max(T x) const {
    return fold(x, [](T a, T b) { return b > a ? b : a; });
  }
  bool any(bool x) const {
    return fold(std::int64_t{x}, [](std::int64_t a, std::int64_t b) { return a | b; }) != 0;
  }
  template <class Key>
  ranked<Key> best(ranked<Key> c) const {
    state[lane].word = c.key;
    state[lane].id = c.id;
    sync();
    ranked<Key> winner;
    for (index_t i = 0; i < lanes; ++i)
      if (ranked<Key> const o{static_cast<Key>(state[i].word), state[i].id}; beats(o, winner)) winner = o;
    sync();
    return winner;
  }

 private:
  template <class T, class F>
  T fold(T x, F f) const {
    auto const at = [&](index_t i) {
      if constexpr (sizeof(T) == 4) return math::as<T>(static_cast<std::int32_t>(state[i].word));
      else return math::as<T>(state[i].word);
    };
    if constexpr (sizeof(T) == 4) state[lane].word = math::as<std::int32_t>(x);
    else state[lane].word = math::as<std::int64_t>(x);
    sync();
    T total = at(0);
    if ((lanes & (lanes - 1)) == 0) {
      T part[64];
      for (index_t i = 0; i < lanes; ++i) part[i] = at(i);
      for (index_t half = lanes / 2; half > 0; half /= 2)
        for (index_t i = 0; i < half; ++i) part[i] = f(part[i], part[i + half]);
      total = part[0];
    } else {
      for (index_t i = 1; i < lanes; ++i) total = f(total, at(i));
    }
    sync();
    return total;
  }
};
static_assert(lane_group<lockstep_group>);

// Runs every row with a lockstep group. For tests: slow, and it allocates its threads.
struct lockstep {
  index_t lanes = 4;  // 1 to 64

  static constexpr offset_t workspace_bytes(offset_t scratch_bytes) { return serial::workspace_bytes(scratch_bytes); }
  template <class Body>
  status run(offset_t rows, Body const& body, workspace w) const noexcept {
    checks c;
    c.at_least("lockstep.lanes", lanes, 1).at_most("lockstep.lanes", lanes, 64);
    c.also(workspace_ok(w, workspace_bytes(body.scratch_bytes())));
    if (!c.result().ok()) return c.result();
    scratch const mine = w.data == nullptr ? scratch{} : aligned_scratch(w);
    std::barrier<> barrier(lanes);
    std::vector<lockstep_lane_state> state(static_cast<std::size_t>(lanes));
    auto const work = [&](index_t lane) {
      lockstep_group const g{&barrier, state.data(), lane, lanes};
      for (offset_t r = 0; r < rows; ++r) {
        body(g, r, mine);
        g.sync();
      }
    };
    std::vector<std::thread> others;
    for (index_t i = 1; i < lanes; ++i) others.emplace_back(work, i);
    work(0);
    for (auto& t : others) t.join();
    return {};
  }
};
static_assert(executor<lockstep>);

}  // namespace moeroute::inline MOEROUTE_ABI
