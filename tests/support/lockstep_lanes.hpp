// Decides what plays the lanes of a warp on the CPU: threads that exchange words at a barrier. Every
// collective checks that all lanes made the same kind of call.
#pragma once

#include <moeroute/core/butterfly_group.hpp>
#include <moeroute/core/joined_group.hpp>
#include <moeroute/cpu/lockstep.hpp>

#include <algorithm>
#include <array>
#include <barrier>
#include <cstdlib>
#include <thread>
#include <vector>

namespace lockstep_lanes {
using moeroute::index_t;
using moeroute::offset_t;

enum class call { shuffle, vote, sync };
template <index_t L>
struct shared_state {
  std::barrier<> all{L};
  struct post {
    std::uint32_t word;
    call kind;
  };
  std::array<std::array<post, std::size_t{L}>, 2> posts{};
};

// Satisfies word_exchange.
template <index_t L>
struct words {
  static constexpr index_t lanes = L;
  shared_state<L>* state{};
  index_t lane = 0;
  mutable std::size_t turn = 0;

  index_t rank() const { return lane; }
  std::uint32_t shuffle_xor(std::uint32_t x, index_t d) const { return at(post(x, call::shuffle), lane ^ d); }
  std::uint32_t shuffle(std::uint32_t x, index_t from) const { return at(post(x, call::shuffle), from); }
  std::uint32_t ballot(bool b) const {
    auto const& all = post(b ? 1u : 0u, call::vote);
    std::uint32_t mask = 0;
    for (index_t i = 0; i < L; ++i) mask |= at(all, i) << i;
    return mask;
  }
  void sync() const { post(0, call::sync); }

 private:
  using row = std::array<typename shared_state<L>::post, std::size_t{L}>;
  static std::uint32_t at(row const& r, index_t i) { return r[static_cast<std::size_t>(i)].word; }
  row const& post(std::uint32_t word, call kind) const {
    row& now = state->posts[turn ^= 1];
    now[static_cast<std::size_t>(lane)] = {word, kind};
    state->all.arrive_and_wait();
    for (auto const& p : now)
      if (p.kind != kind) std::abort();  // lanes made different calls: a deadlock on a device
    return now;
  }
};
static_assert(moeroute::word_exchange<words<8>>);

// The same with the integer reductions of sm_80, so that their path is proved as well.
template <index_t L>
struct reducing_words : words<L> {
  std::int32_t max_of(std::int32_t x) const { return best_of(x); }
  std::uint32_t max_of(std::uint32_t x) const { return best_of(x); }

 private:
  template <class T>
  T best_of(T x) const {
    for (index_t d = 1; d < L; d *= 2) {
      auto const other = static_cast<T>(this->shuffle_xor(static_cast<std::uint32_t>(x), d));
      x = other > x ? other : x;
    }
    return x;
  }
};

// `Rows` rows of L lanes that march together: every collective is a call of all of them, and any_near() answers for all,
// also true every third time when nobody said so, for a row that is not there. Satisfies word_exchange.
template <index_t L, index_t Rows>
struct marching_words {
  static constexpr index_t lanes = L;
  words<L * Rows> warp{};
  mutable int votes = 0;

  index_t rank() const { return warp.lane % L; }
  std::uint32_t shuffle_xor(std::uint32_t x, index_t d) const { return warp.shuffle_xor(x, d); }
  std::uint32_t shuffle(std::uint32_t x, index_t from) const { return warp.shuffle(x, warp.lane / L * L + from % L); }
  std::uint32_t ballot(bool b) const {
    std::uint32_t const mine = L == 32 ? ~0u : (1u << L % 32) - 1;
    return warp.ballot(b) >> warp.lane / L * L & mine;
  }
  bool any_near(bool b) const { return warp.ballot(b) != 0 || ++votes % 3 == 0; }
  void sync() const { warp.sync(); }
};
static_assert(moeroute::word_exchange<marching_words<8, 2>>);

// Executor of bodies whose rows march together: body(group, row, scratch, whether it is a row of work).
template <index_t L, index_t Rows>
struct marching_warp {
  static constexpr offset_t workspace_bytes(offset_t scratch_bytes) {
    return moeroute::serial::workspace_bytes(Rows * moeroute::aligned_bytes<std::byte>(scratch_bytes));
  }
  template <class Body>
  moeroute::status run(offset_t rows, Body const& body, moeroute::workspace w) const noexcept {
    if (auto const s = moeroute::workspace_ok(w, workspace_bytes(body.scratch_bytes())); !s.ok()) return s;
    shared_state<L * Rows> state;
    auto const work = [&](index_t lane) {
      moeroute::butterfly_group<marching_words<L, Rows>> g;
      g.p.warp.state = &state;
      g.p.warp.lane = lane;
      moeroute::scratch mine = moeroute::aligned_scratch(w);
      mine.at += lane / L * moeroute::aligned_bytes<std::byte>(body.scratch_bytes());
      for (offset_t first = 0; first < rows; first += Rows) {
        offset_t const r = first + lane / L;
        body(g, r < rows ? r : rows - 1, mine, r < rows);
      }
    };
    std::vector<std::thread> others;
    for (index_t i = 1; i < L * Rows; ++i) others.emplace_back(work, i);
    work(0);
    for (auto& t : others) t.join();
    return {};
  }
};

// Executor: a warp of L lanes works on each row.
template <class Words>
struct warp {
  static constexpr offset_t workspace_bytes(offset_t scratch_bytes) {
    return moeroute::serial::workspace_bytes(scratch_bytes);
  }
  template <class Body>
  moeroute::status run(offset_t rows, Body const& body, moeroute::workspace w) const noexcept {
    if (auto const s = moeroute::workspace_ok(w, workspace_bytes(body.scratch_bytes())); !s.ok()) return s;
    moeroute::scratch const mine = w.data == nullptr ? moeroute::scratch{} : moeroute::aligned_scratch(w);
    constexpr index_t L = Words::lanes;
    shared_state<L> state;
    auto const work = [&](index_t lane) {
      moeroute::butterfly_group<Words> g;
      g.p.state = &state;
      g.p.lane = lane;
      for (offset_t r = 0; r < rows; ++r) {
        body(g, r, mine);
        g.sync();
      }
    };
    std::vector<std::thread> others;
    for (index_t i = 1; i < L; ++i) others.emplace_back(work, i);
    work(0);
    for (auto& t : others) t.join();
    return {};
  }
};
static_assert(moeroute::executor<warp<words<4>>>);

struct wait_for_block {
  std::barrier<>* all{};
  void operator()() const { all->arrive_and_wait(); }
};
// Executor: a block of `Parts` warps of L lanes works on each row.
template <index_t L, index_t Parts>
struct block {
  static constexpr offset_t workspace_bytes(offset_t scratch_bytes) {
    return moeroute::serial::workspace_bytes(scratch_bytes);
  }
  template <class Body>
  moeroute::status run(offset_t rows, Body const& body, moeroute::workspace w) const noexcept {
    if (auto const s = moeroute::workspace_ok(w, workspace_bytes(body.scratch_bytes())); !s.ok()) return s;
    moeroute::scratch const mine = w.data == nullptr ? moeroute::scratch{} : moeroute::aligned_scratch(w);
    std::barrier<> all(L * Parts);
    std::array<shared_state<L>, std::size_t{Parts}> states{};
    std::array<moeroute::joint_slot, 2 * std::size_t{Parts}> slots{};
    auto const work = [&](index_t thread) {
      moeroute::joined_group<moeroute::butterfly_group<words<L>>, wait_for_block> g;
      g.part.p.state = &states[static_cast<std::size_t>(thread / L)];
      g.part.p.lane = thread % L;
      g.barrier.all = &all;
      g.slots = slots.data();
      g.index = thread / L;
      g.parts = Parts;
      for (offset_t r = 0; r < rows; ++r) {
        body(g, r, mine);
        g.sync();
      }
    };
    std::vector<std::thread> others;
    for (index_t i = 1; i < L * Parts; ++i) others.emplace_back(work, i);
    work(0);
    for (auto& t : others) t.join();
    return {};
  }
};
static_assert(moeroute::executor<block<4, 2>>);

// Executor: `Blocks` blocks at once, as block<L, Parts>, each with its own scratch. run_both is one pass of all of them
// with a barrier of the grid in the middle; run, that they have nothing to wait for.
template <index_t L, index_t Parts, index_t Blocks>
struct grid {
  static constexpr offset_t workspace_bytes(offset_t scratch_bytes) {
    return Blocks * moeroute::aligned_bytes<std::byte>(scratch_bytes) + moeroute::workspace_alignment;
  }
  template <class Body>
  moeroute::status run(offset_t rows, Body const& body, moeroute::workspace w) const noexcept {
    return run_both(*this, rows, body, nothing{}, w);
  }
  template <class First, class Second>
  friend moeroute::status run_both(grid const&, offset_t rows, First const& first, Second const& second,
                                   moeroute::workspace w) noexcept {
    offset_t const most = std::max(first.scratch_bytes(), second.scratch_bytes());
    if (auto const s = moeroute::workspace_ok(w, workspace_bytes(most)); !s.ok()) return s;
    struct one_block {
      std::barrier<> all{L * Parts};
      std::array<shared_state<L>, std::size_t{Parts}> states{};
      std::array<moeroute::joint_slot, 2 * std::size_t{Parts}> slots{};
    };
    std::array<one_block, std::size_t{Blocks}> blocks{};
    std::barrier<> everybody(L * Parts * Blocks);
    std::byte* const memory = moeroute::aligned_scratch(w).at;
    auto const work = [&](index_t thread) {
      index_t const b = thread / (L * Parts), in_block = thread % (L * Parts);
      one_block& mine = blocks[static_cast<std::size_t>(b)];
      moeroute::joined_group<moeroute::butterfly_group<words<L>>, wait_for_block> g;
      g.part.p.state = &mine.states[static_cast<std::size_t>(in_block / L)];
      g.part.p.lane = in_block % L;
      g.barrier.all = &mine.all;
      g.slots = mine.slots.data();
      g.index = in_block / L;
      g.parts = Parts;
      moeroute::detail::both_in_stripes(g, b, Blocks, rows, first, second,
                                        moeroute::scratch{memory + b * moeroute::aligned_bytes<std::byte>(most)},
                                        [&] { everybody.arrive_and_wait(); });
    };
    std::vector<std::thread> others;
    for (index_t i = 1; i < L * Parts * Blocks; ++i) others.emplace_back(work, i);
    work(0);
    for (auto& t : others) t.join();
    return {};
  }

 private:
  struct nothing {
    offset_t scratch_bytes() const { return 0; }
    void operator()(moeroute::lane_group auto const&, offset_t, moeroute::scratch) const {}
  };
};
static_assert(moeroute::executor<grid<4, 2, 2>>);

}  // namespace lockstep_lanes
