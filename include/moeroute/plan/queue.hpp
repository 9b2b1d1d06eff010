// Decides in which order choices line up at their experts: who is served first when an expert is full.
//
//   position         token, then choice: all choices of a token enter together    DeepSpeed top-k, Switch
//   choice_major     all first choices, then all second choices, ...              GShard, Tutel
//   batch_priority   choice_major, tokens by descending score of the token        V-MoE (2106.05974), P33
//   score            choices by descending score: probability, or given numbers   Megatron-LM "probs"
//   shuffled         by random bits of (seed, step, token, expert)                DeepSpeed random token selection
// Ties: lower token, then earlier choice. NaN scores come last.
#pragma once

#include <moeroute/core/philox.hpp>
#include <moeroute/core/order.hpp>
#include <moeroute/plan/count.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class queue_order : std::uint8_t { position, choice_major, batch_priority, score, shuffled };

// What the order asks for; numbers a larger of which comes earlier.
template <element P = float>
struct queue_keys {
  queue_order order = queue_order::position;
  row_view<P const> of_token{};      // tokens: batch_priority
  matrix_view<P const> of_choice{};  // tokens x k, or 1 x all: score
  draws random{};                    // shuffled
  row_view<offset_t const> token{};  // tokens: their names for random draws; default: the row number
};

namespace detail {

// A line of choices: tokens or choices may have been sorted. Cells are experts, in every segment.
struct queue_line {
  queue_order order = queue_order::position;
  offset_t const* sorted = nullptr;   // batch_priority: tokens; score, shuffled: choices
  offset_t longest = 0;               // most choices of a token
  row_view<index_t const> segment{};  // tokens
  index_t segments = 1;

  MOEROUTE_HD constexpr offset_t cells(index_t experts) const { return static_cast<offset_t>(segments) * experts; }
  MOEROUTE_HD constexpr offset_t segment_of(offset_t t) const { return segment.empty() ? 0 : segment[t]; }
  MOEROUTE_HD constexpr offset_t cell(offset_t t, index_t e, index_t experts) const {
    return segment_of(t) * experts + e;
  }

  template <std::integral Id, class F>
  MOEROUTE_HD void each(choices_view<Id> const& in, offset_t s, offset_t shares, F&& visit) const {
    choice_shape const shape = in.shape();
    auto const one = [&](offset_t t, offset_t j) {
      visit(t, shape.first(t) + j, in.is_valid(t) ? values_of(in.ids, shape, t)[j] : no_expert_of<Id>);
    };
    if (order == queue_order::position) return token_major{}.each(in, s, shares, visit);
    if (order == queue_order::choice_major || order == queue_order::batch_priority) {
      share_range const mine = share_range_of(shape.tokens * longest, s, shares);
      offset_t j = shape.tokens == 0 ? 0 : mine.first / shape.tokens, i = mine.first - j * shape.tokens;
      for (offset_t q = mine.first; q < mine.last; ++q) {
        offset_t const t = sorted == nullptr ? i : sorted[i];
        if (j < shape.last(t) - shape.first(t)) one(t, j);
        if (++i == shape.tokens) i = 0, ++j;
      }
      return;
    }
    share_range const mine = share_range_of(shape.size(), s, shares);
    for (offset_t q = mine.first; q < mine.last; ++q) {
      offset_t const t = shape.token_of(sorted[q]);
      one(t, sorted[q] - shape.first(t));
    }
  }
};

// Unsigned keys of which a smaller one comes first.
template <class V>
MOEROUTE_HD constexpr std::uint64_t descending(V x) {
  if constexpr (sizeof(V) == 4) return ~(static_cast<std::uint32_t>(order_key(x)) ^ 0x80000000u) & 0xFFFFFFFFu;
  else return ~(static_cast<std::uint64_t>(order_key(x)) ^ 0x8000000000000000u);
}

struct sort_space {
  std::uint64_t* keys[2];
  offset_t* items[2];
};
inline sort_space take_sort_space(scratch& s, offset_t n) {
  sort_space out{};
  for (int i = 0; i < 2; ++i) out.keys[i] = s.take<std::uint64_t>(n), out.items[i] = s.take<offset_t>(n);
  return out;
}
constexpr offset_t sort_bytes(offset_t n) {
  return 2 * aligned_bytes<std::uint64_t>(n) + 2 * aligned_bytes<offset_t>(n);
}

// Stable sort of items 0 .. n - 1 by keys[0], eight bits at a time; returns the sorted items.
inline offset_t const* radix_sort(sort_space s, offset_t n, int key_bytes) {
  int from = 0;
  for (offset_t i = 0; i < n; ++i) s.items[0][i] = i;
  for (int shift = 0; shift < 8 * key_bytes; shift += 8) {
    offset_t start[257] = {};
    auto const digit = [&](offset_t i) { return (s.keys[from][i] >> shift) & 255u; };
    for (offset_t i = 0; i < n; ++i) ++start[digit(i) + 1];
    if (n > 0 && start[digit(0) + 1] == n) continue;  // all alike
    for (int d = 0; d < 256; ++d) start[d + 1] += start[d];
    for (offset_t i = 0; i < n; ++i) {
      offset_t const to = start[digit(i)]++;
      s.keys[1 - from][to] = s.keys[from][i];
      s.items[1 - from][to] = s.items[from][i];
    }
    from = 1 - from;
  }
  return s.items[from];
}

// The line that `keys` asks for, sorted in the space given if it must be.
template <std::integral Id, element P>
queue_line line_up(choices_view<Id> const& in, queue_keys<P> const& keys, sort_space space) {
  choice_shape const shape = in.shape();
  queue_line line{keys.order, nullptr, shape.k, {}, 1};
  for (offset_t t = 0; shape.ragged() && t < shape.tokens; ++t)
    if (offset_t const n = shape.last(t) - shape.first(t); n > line.longest) line.longest = n;
  using V = compute_t<P>;
  if (keys.order == queue_order::batch_priority) {
    for (offset_t t = 0; t < shape.tokens; ++t) space.keys[0][t] = descending<V>(load(keys.of_token[t]));
    line.sorted = radix_sort(space, shape.tokens, sizeof(V));
  } else if (keys.order == queue_order::score) {
    for (offset_t t = 0; t < shape.tokens; ++t)
      for (offset_t c = shape.first(t), j = 0; c < shape.last(t); ++c, ++j)
        space.keys[0][c] = descending<V>(load(values_of(keys.of_choice, shape, t)[j]));
    line.sorted = radix_sort(space, shape.size(), sizeof(V));
  } else if (keys.order == queue_order::shuffled) {
    for (offset_t t = 0; t < shape.tokens; ++t)
      for (offset_t c = shape.first(t), j = 0; c < shape.last(t); ++c, ++j) {
        Id const id = values_of(in.ids, shape, t)[j];
        index_t const e = id == no_expert_of<Id> ? 0 : static_cast<index_t>(id);
        space.keys[0][c] = keys.random.bits(keys.token.empty() ? t : keys.token[t], e);
      }
    line.sorted = radix_sort(space, shape.size(), 4);
  }
  return line;
}

}  // namespace detail

template <element P, std::integral Id>
status validate(queue_keys<P> const& keys, choices_view<Id> const& in) {
  checks c;
  choice_shape const shape = in.shape();
  if (keys.order == queue_order::batch_priority)
    c.must_be("queue.of_token size", keys.of_token.size, shape.tokens, errc::missing);
  if (keys.order == queue_order::score)
    fits_choices(c, "queue.of_choice rows", "queue.of_choice columns", keys.of_choice, shape);
  return c.empty_or("queue.token size", keys.token, shape.tokens).result();
}

}  // namespace moeroute::inline MOEROUTE_ABI
