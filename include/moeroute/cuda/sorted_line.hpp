// Decides what a sorted line of choices says of a plan: the steps of cuda/plan_sorted.hpp, each a body.
//
//   cell = segment * experts + expert;  key = cell (with batch priority: cell k + j) above, place in the line below
//   rank of a choice = its distance from the first of its cell
// Rows of work are blocks of choices.
#pragma once

#include <moeroute/plan/limited.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

inline constexpr offset_t sorted_block = 1024;  // choices, slots or cells of one row of work
constexpr offset_t sorted_blocks(offset_t n) { return (n + sorted_block - 1) / sorted_block; }
template <class G, class F>
MOEROUTE_HD void each_of_block(G const& g, offset_t block, offset_t n, F&& visit) {
  offset_t const first = block * sorted_block, end = first + sorted_block < n ? first + sorted_block : n;
  for (offset_t i = first + g.rank(); i < end; i += g.size()) visit(i);
}

// Where everything lies during one plan.
struct sorted_arrays {
  std::uint64_t *keys, *sorted_keys;  // choices
  std::int32_t *items, *sorted;       // choices
  offset_t *first, *load, *start;     // cells: first place in the line, choices, first slot
  offset_t* capacity;                 // segments
  offset_t* odd;                      // blocks of choices: the first choice nobody knows
};

template <std::integral Id, element P, std::signed_integral Slot>
struct sorted_plan {
  using id_type = Id;
  using slot_type = Slot;
  choices_view<Id> in;
  id_ranges ids;
  plan_options options;
  capacity_options<P> limit;
  plan_view<Slot> plan;
  sorted_arrays at;
  offset_t choices;
  offset_t cells;     // of the sort at hand
  offset_t per_cell;  // batch priority: keys of one cell that differ above, first choices, second choices, ...
  bool in_order;      // slots follow the line
  offset_t* odd_choice;

  MOEROUTE_HD bool fixed_rows() const { return limit.rows == row_layout::fixed; }
  MOEROUTE_HD offset_t cell_of(std::uint64_t key) const { return static_cast<offset_t>(key >> 32) / per_cell; }
  MOEROUTE_HD offset_t segment_of(offset_t t) const { return limit.segment.empty() ? 0 : limit.segment[t]; }
  MOEROUTE_HD offset_t ahead(offset_t e) const { return limit.before.empty() ? 0 : limit.before[e]; }
  MOEROUTE_HD void give(offset_t c, offset_t slot) const {
    plan.slot_of_choice[c] = static_cast<Slot>(slot);
    if (!plan.token_of_slot.empty()) plan.token_of_slot[slot] = static_cast<Slot>(in.shape().token_of(c));
    if (!plan.choice_of_slot.empty()) plan.choice_of_slot[slot] = static_cast<Slot>(c);
  }
};

// The line: a key for every choice; those without an expert come last and get their special slot at once.
template <class S>
struct sorted_keys_block {
  S s;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t block, scratch) const {
    choice_shape const shape = s.in.shape();
    offset_t unknown = largest<offset_t>;
    each_of_block(g, block, s.choices, [&](offset_t c) {
      offset_t const t = shape.token_of(c), j = c - shape.first(t), segment = s.segment_of(t);
      auto const given = values_of(s.in.ids, shape, t)[j];
      bool const valid = s.in.is_valid(t), inside = segment >= 0 && segment < s.limit.segments;
      s.at.items[c] = static_cast<std::int32_t>(c);
      if (valid && (!inside || !s.ids.is_known(given)) && c < unknown) unknown = c;
      if (valid && inside && s.ids.is_expert(given)) {
        auto const e = static_cast<index_t>(given);
        offset_t const cell = segment * s.ids.experts + e, high = cell * s.per_cell + (s.per_cell == 1 ? 0 : j);
        s.at.keys[c] = static_cast<std::uint64_t>(high) << 32 | place_in_line(t, j, e);
        return;
      }
      s.at.keys[c] = static_cast<std::uint64_t>(s.cells * s.per_cell) << 32;
      auto const shown = valid && inside ? given : no_expert_of<typename S::id_type>;
      s.plan.slot_of_choice[c] = static_cast<typename S::slot_type>(s.ids.special_slot(shown));
      if (!s.plan.rank_of_choice.empty()) s.plan.rank_of_choice[c] = -1;
    });
    unknown = -g.max(-unknown);
    if (g.rank() == 0) s.at.odd[block] = unknown;
    g.sync();
  }

 private:
  MOEROUTE_HD std::uint64_t place_in_line(offset_t t, offset_t j, index_t e) const {
    auto const& q = s.limit.queue;
    if (q.order == queue_order::choice_major) return static_cast<std::uint64_t>(j);
    if (q.order == queue_order::batch_priority) return descending(static_cast<float>(load(q.of_token[t])));
    if (q.order == queue_order::score)
      return descending(static_cast<float>(load(values_of(q.of_choice, s.in.shape(), t)[j])));
    if (q.order == queue_order::shuffled) return q.random.bits(q.token.empty() ? t : q.token[t], e);
    return 0;
  }
};

// Empties what later bodies only touch where there is something.
template <class S>
struct sorted_clear_block {
  S s;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t block, scratch) const {
    each_of_block(g, block, s.cells, [&](offset_t i) { s.at.first[i] = s.at.load[i] = 0; });
    each_of_block(g, block, s.plan.token_of_slot.size, [&](offset_t i) { s.plan.token_of_slot[i] = -1; });
    each_of_block(g, block, s.plan.choice_of_slot.size, [&](offset_t i) { s.plan.choice_of_slot[i] = -1; });
    g.sync();
  }
};

// The borders of the cells in the sorted line.
template <class S>
struct sorted_borders_block {
  S s;
  bool counting;  // the number of choices too
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t block, scratch) const {
    each_of_block(g, block, s.choices, [&](offset_t q) {
      offset_t const cell = s.cell_of(s.at.sorted_keys[q]);
      if (cell >= s.cells || (q > 0 && s.cell_of(s.at.sorted_keys[q - 1]) == cell)) return;
      s.at.first[cell] = q;
      if (!counting) return;
      offset_t low = q + 1, high = s.choices;  // the first place behind the cell
      while (low < high) {
        offset_t const middle = low + (high - low) / 2;
        if (s.cell_of(s.at.sorted_keys[middle]) == cell) low = middle + 1;
        else high = middle;
      }
      s.at.load[cell] = low - q;
    });
    g.sync();
  }
};

// Rows: segments. What an expert may take.
template <class S>
struct sorted_capacity {
  S s;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t segment, scratch) const {
    choice_shape const shape = s.in.shape();
    offset_t tokens = 0, choices = 0, most = 0;
    for (offset_t t = g.rank(); t < shape.tokens; t += g.size())
      if (s.in.is_valid(t) && s.segment_of(t) == segment) ++tokens, choices += shape.last(t) - shape.first(t);
    for (offset_t e = g.rank(); e < s.ids.experts; e += g.size()) {
      offset_t const n = s.at.load[segment * s.ids.experts + e];
      most = n > most ? n : most;
    }
    capacity_sizes const sizes{g.sum(tokens), g.sum(choices), s.ids.experts, g.max(most)};
    if (g.rank() == 0) s.at.capacity[segment] = capacity(s.limit.rule, sizes);
    g.sync();
  }
};

// One row: where the rows of every cell begin, and the numbers of the plan.
template <class S>
struct sorted_offsets {
  S s;
  offset_t blocks;  // of choices
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    offset_t const experts = s.ids.experts;
    for (offset_t e = g.rank(); e < experts; e += g.size()) {
      offset_t chosen = 0, kept = 0, rows = 0;
      for (offset_t q = 0; q < s.limit.segments; ++q) {
        offset_t const i = q * experts + e, room = s.at.capacity[q] - s.ahead(e);
        offset_t const n = room <= 0 ? 0 : s.at.load[i] < room ? s.at.load[i] : room;
        chosen += s.at.load[i], kept += n;
        s.at.start[i] = rows;
        rows += s.fixed_rows() ? s.at.capacity[q] : n;
      }
      if (!s.plan.counts.empty()) s.plan.counts[e] = chosen;
      if (!s.plan.kept.empty()) s.plan.kept[e] = kept;
      s.plan.offsets[e + 1] = round_up(rows, s.options.align);
    }
    g.sync();
    if (g.rank() == 0) {
      s.plan.offsets[0] = 0;
      for (offset_t e = 0; e < experts; ++e) s.plan.offsets[e + 1] += s.plan.offsets[e];
      offset_t found = largest<offset_t>;
      for (offset_t b = 0; b < blocks; ++b) found = s.at.odd[b] < found ? s.at.odd[b] : found;
      if (s.odd_choice != nullptr) *s.odd_choice = found == largest<offset_t> ? -1 : found;
    }
    g.sync();
    for (offset_t i = g.rank(); i < s.cells; i += g.size()) s.at.start[i] += s.plan.offsets[i % experts];
    g.sync();
  }
};

// Ranks, and slots in the order of the line; or marks for what is kept and its key for the second sort.
template <class S>
struct sorted_serve_block {
  S s;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t block, scratch) const {
    using slot_type = typename S::slot_type;
    each_of_block(g, block, s.choices, [&](offset_t q) {
      offset_t const cell = s.cell_of(s.at.sorted_keys[q]), c = s.at.sorted[q];
      s.at.items[c] = static_cast<std::int32_t>(c);
      s.at.keys[c] = static_cast<std::uint64_t>(s.fixed_rows() ? s.cells : s.ids.experts) << 32;
      if (cell >= s.cells) return;
      offset_t const e = cell % s.ids.experts, place = q - s.at.first[cell], rank = place + s.ahead(e);
      bool const fits = rank < s.at.capacity[cell / s.ids.experts];
      if (!s.plan.rank_of_choice.empty()) s.plan.rank_of_choice[c] = static_cast<slot_type>(rank);
      s.plan.slot_of_choice[c] = static_cast<slot_type>(dropped_slot);
      if (!fits) return;
      s.at.keys[c] = static_cast<std::uint64_t>(s.fixed_rows() ? cell : e) << 32;
      if (s.in_order) s.give(c, s.at.start[cell] + place);
    });
    g.sync();
  }
};

// After the second sort: slots in the order of the tokens.
template <class S>
struct sorted_place_block {
  S s;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t block, scratch) const {
    each_of_block(g, block, s.choices, [&](offset_t q) {
      offset_t const cell = s.cell_of(s.at.sorted_keys[q]);
      if (cell >= s.cells) return;
      s.give(s.at.sorted[q], (s.fixed_rows() ? s.at.start[cell] : s.plan.offsets[cell]) + q - s.at.first[cell]);
    });
    g.sync();
  }
};

}  // namespace detail

}  // namespace moeroute::inline MOEROUTE_ABI
