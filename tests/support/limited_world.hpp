// Decides the world a limited plan is tried in, and what the plan must be there: nothing of the library but the draws
// and the formula of the capacity.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include <moeroute/plan.hpp>

#include "support/plan_arrays.hpp"

namespace limited_world {
using namespace moeroute;

struct world {
  offset_t tokens, k;
  index_t experts;
  std::vector<int> ids;
  std::vector<float> of_token, of_choice;
  std::vector<std::uint8_t> valid;
  std::vector<index_t> segment;
  index_t segments;

  world(offset_t t, offset_t choices, index_t e, unsigned seed, index_t groups = 1)
      : tokens(t), k(choices), experts(e), segments(groups) {
    auto const next = [&] { return (seed = seed * 1664525u + 1013904223u) >> 10; };
    for (offset_t i = 0; i < t; ++i) {
      for (offset_t j = 0; j < choices; ++j) {
        auto const r = next();
        ids.push_back(r % 11 == 0 ? -1
                                  : static_cast<int>(
                                        std::min(r % static_cast<unsigned>(e), (r >> 8) % static_cast<unsigned>(e))));
        of_choice.push_back(static_cast<float>(next() % 16));  // ties
      }
      of_token.push_back(static_cast<float>(next() % 8));
      valid.push_back(next() % 7 != 0);
      segment.push_back(static_cast<index_t>(next() % static_cast<unsigned>(groups)));
    }
  }
  choices_view<> view() const { return {.ids = {ids.data(), tokens, k}, .valid = valid}; }
  capacity_options<> options(queue_order order, capacity_rule const& rule, slot_order slots, row_layout rows) const {
    capacity_options<> o{.rule = rule, .slots = slots, .rows = rows, .segment = segment, .segments = segments};
    o.queue = {.order = order, .of_token = of_token, .of_choice = {of_choice.data(), tokens, k}, .random = {5, 6}};
    return o;
  }
};

struct answer {
  std::vector<offset_t> counts, kept, offsets, slot, token, choice, rank;
  friend bool operator==(answer const&, answer const&) = default;
};

// Sorts the choices of every (segment, expert) and serves them: nothing of the library but the draws.
inline answer reference(world const& w, capacity_options<> const& o, offset_t align) {
  answer a;
  auto const choices = static_cast<std::size_t>(w.tokens * w.k);
  a.slot.assign(choices, -1), a.rank.assign(choices, -1);
  a.counts.assign(static_cast<std::size_t>(w.experts), 0), a.kept = a.counts;
  std::vector<offset_t> cap(static_cast<std::size_t>(w.segments));
  auto const at = [](auto i) { return static_cast<std::size_t>(i); };
  auto const members = [&](index_t s, index_t e) {
    std::vector<offset_t> line;
    for (offset_t c = 0; c < w.tokens * w.k; ++c)
      if (w.valid[at(c / w.k)] != 0 && w.segment[at(c / w.k)] == s && w.ids[at(c)] == e) line.push_back(c);
    std::sort(line.begin(), line.end(), [&](offset_t a1, offset_t b1) {
      offset_t const ta = a1 / w.k, tb = b1 / w.k, ja = a1 % w.k, jb = b1 % w.k;
      switch (o.queue.order) {
        case queue_order::position:
          return std::tuple(ta, ja) < std::tuple(tb, jb);
        case queue_order::choice_major:
          return std::tuple(ja, ta) < std::tuple(jb, tb);
        case queue_order::batch_priority:
          return std::tuple(ja, -w.of_token[at(ta)], ta) < std::tuple(jb, -w.of_token[at(tb)], tb);
        case queue_order::score:
          return std::tuple(-w.of_choice[at(a1)], a1) < std::tuple(-w.of_choice[at(b1)], b1);
        case queue_order::shuffled:
          return std::tuple(o.queue.random.bits(ta, e), a1) < std::tuple(o.queue.random.bits(tb, e), b1);
      }
      return false;
    });
    return line;
  };
  for (index_t s = 0; s < w.segments; ++s) {
    offset_t tokens = 0, largest = 0;
    for (offset_t t = 0; t < w.tokens; ++t) tokens += w.valid[at(t)] != 0 && w.segment[at(t)] == s;
    for (index_t e = 0; e < w.experts; ++e) largest = std::max(largest, std::ssize(members(s, e)));
    cap[at(s)] = capacity(o.rule, {tokens, tokens * w.k, w.experts, largest});
  }
  auto const put = [&](offset_t c) {
    a.slot[at(c)] = std::ssize(a.token);
    a.token.push_back(c / w.k), a.choice.push_back(c);
  };
  auto const pad = [&](offset_t to) {
    while (std::ssize(a.token) < to) a.token.push_back(-1), a.choice.push_back(-1);
  };
  for (index_t e = 0; e < w.experts; ++e) {
    a.offsets.push_back(std::ssize(a.token));
    std::vector<offset_t> all;
    for (index_t s = 0; s < w.segments; ++s) {
      auto line = members(s, e);
      a.counts[at(e)] += std::ssize(line);
      for (std::size_t r = 0; r < line.size(); ++r) {
        a.rank[at(line[r])] = static_cast<offset_t>(r);
        if (static_cast<offset_t>(r) >= cap[at(s)]) a.slot[at(line[r])] = dropped_slot;
      }
      line.resize(std::min(line.size(), at(cap[at(s)])));
      a.kept[at(e)] += std::ssize(line);
      bool const part = o.rows == row_layout::fixed || o.slots == slot_order::queue;
      if (o.slots == slot_order::token) std::sort(line.begin(), line.end());
      if (!part) all.insert(all.end(), line.begin(), line.end());
      if (part) {
        offset_t const first = std::ssize(a.token);
        for (auto const c : line) put(c);
        if (o.rows == row_layout::fixed) pad(first + cap[at(s)]);
      }
    }
    std::sort(all.begin(), all.end());
    for (auto const c : all) put(c);
    offset_t const used = std::ssize(a.token) - a.offsets.back();
    pad(a.offsets.back() + (used + align - 1) / align * align);
  }
  a.offsets.push_back(std::ssize(a.token));
  return a;
}

inline constexpr queue_order orders[] = {queue_order::position, queue_order::choice_major, queue_order::batch_priority,
                                         queue_order::score, queue_order::shuffled};

// The arrays of a plan under a capacity as `make(plan_view&, workspace)` fills them, from poison.
template <class Make>
answer made(choices_view<> const& in, index_t experts, offset_t align, capacity_options<> const& o, offset_t bytes,
            Make make) {
  choice_shape const shape = in.shape();
  capacity_sizes const whole{shape.tokens, shape.size(), experts, 0};
  plan_arrays<> p(shape.size(), experts, limited_rows_bound(o.rule, o.rows, whole, o.segments, align));
  auto space = poisoned<std::byte>(bytes);
  status const s = make(p.view, workspace(space));
  REQUIRE_MESSAGE(s.ok(), message(s).c_str());
  return {p.counts, p.kept, p.offsets, p.slot_of_choice, p.token_of_slot, p.choice_of_slot, p.rank_of_choice};
}
template <class X>
answer planned(X const& x, choices_view<> const& in, index_t experts, plan_options const& options,
               capacity_options<> const& o) {
  choice_shape const shape = in.shape();
  return made(in, experts, options.align, o,
              limited_plan_workspace_bytes(x, experts, shape.tokens, shape.size(), o.segments),
              [&](plan_view<>& p, workspace w) { return try_make_plan(x, in, experts, options, o, p, w); });
}

}  // namespace limited_world
