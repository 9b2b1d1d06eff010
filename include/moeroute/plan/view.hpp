// Decides what a dispatch plan is: for every choice the slot (row of the grouped array) it was given, for
// every slot the token and the choice it came from, and where each expert's slots begin.
//
//   slots of expert e: [offsets[e], offsets[e + 1]), its tokens first, padding after them
//   stable order: expert ascending, then token, then choice
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/fwd.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// What `slot_of_choice` holds for a choice without a row. Anything negative has none.
inline constexpr offset_t no_slot = -1;        // no expert: sentinel id, padding token, null expert
inline constexpr offset_t dropped_slot = -2;   // over capacity
inline constexpr offset_t identity_slot = -3;  // zero-computation expert: the token itself

// How choices are numbered: choice j of token t is t * k + j, or offsets[t] + j where tokens differ in
// how many experts they chose.
struct choice_shape {
  offset_t tokens = 0;
  offset_t k = 0;                      // choices a token; not read if ragged
  row_view<offset_t const> offsets{};  // tokens + 1, ragged only

  MOEROUTE_HD constexpr bool ragged() const { return offsets.size != 0; }
  MOEROUTE_HD constexpr offset_t first(offset_t t) const { return ragged() ? offsets[t] : t * k; }
  MOEROUTE_HD constexpr offset_t last(offset_t t) const { return first(t + 1); }
  MOEROUTE_HD constexpr offset_t size() const { return first(tokens); }
  // The token that made choice c.
  MOEROUTE_HD constexpr offset_t token_of(offset_t c) const {
    if (!ragged()) return c / k;
    offset_t low = 0, high = tokens;  // offsets[low] <= c < offsets[high]
    while (high - low > 1) {
      offset_t const middle = low + (high - low) / 2;
      (offsets[middle] <= c ? low : high) = middle;
    }
    return low;
  }
};

// One number for every choice: tokens x k with any row stride, or one row of all choices where ragged.
template <class W>
MOEROUTE_HD constexpr W* values_of(matrix_view<W> const& m, choice_shape const& shape, offset_t t) {
  return shape.ragged() ? m.data + shape.offsets[t] : m.data + t * m.stride;
}
// Checks that a per-choice array has the shape of the choices.
template <class W>
constexpr checks& fits_choices(checks& c, char const* rows, char const* columns, matrix_view<W> const& m,
                               choice_shape const& shape) {
  c.must_be(rows, m.rows, shape.ragged() ? 1 : shape.tokens);
  return c.must_be(columns, m.cols, shape.ragged() ? shape.size() : shape.k).strided(columns, m);
}

// The experts that tokens chose. Ids are in [0, experts), or no_expert_of<Id>: foreign, dropped, padding.
template <std::integral Id>
struct choices_view {
  matrix_view<Id const> ids{};           // tokens x k; 1 x all choices if ragged
  row_view<offset_t const> offsets{};    // tokens + 1 if tokens differ in number of choices
  row_view<std::uint8_t const> valid{};  // tokens: 0 = padding, its choices do not count

  MOEROUTE_HD constexpr choice_shape shape() const {
    return offsets.size == 0 ? choice_shape{ids.rows, ids.cols, {}} : choice_shape{offsets.size - 1, 0, offsets};
  }
  MOEROUTE_HD constexpr bool is_valid(offset_t t) const { return valid.empty() || valid[t] != 0; }
};

// The slots of one expert, for  for (auto [expert, rows] : plan.runs()) ... grouped.middle_rows(rows.first, rows.count).
struct slot_range {
  offset_t first = 0;
  offset_t count = 0;  // padding included
};
struct expert_run {
  index_t expert = 0;
  slot_range rows{};
};
// The experts that have slots, ascending.
struct expert_runs {
  row_view<offset_t const> offsets{};  // experts + 1

  struct iterator {
    row_view<offset_t const> offsets{};
    index_t expert = 0;
    constexpr expert_run operator*() const {
      return {expert, {offsets[expert], offsets[expert + 1] - offsets[expert]}};
    }
    constexpr iterator& operator++() {
      ++expert;
      return skip_empty();
    }
    constexpr bool operator!=(iterator const& other) const { return expert != other.expert; }
    constexpr iterator& skip_empty() {
      while (expert + 1 < offsets.size && offsets[expert] == offsets[expert + 1]) ++expert;
      return *this;
    }
  };
  constexpr iterator begin() const { return iterator{offsets, 0}.skip_empty(); }
  constexpr iterator end() const { return {offsets, offsets.size == 0 ? 0 : static_cast<index_t>(offsets.size - 1)}; }
};

// Slot is offset_t, or a narrower signed type where its numbers fit. Arrays left empty are not written.
template <std::signed_integral Slot>
struct plan_view {
  choice_shape choices{};
  row_view<offset_t> counts{};      // experts: valid choices of each, before any drop
  row_view<offset_t> kept{};        // experts: of these, the ones with a slot
  row_view<offset_t> offsets{};     // experts + 1: first slot of each; the last entry is the rows in use
  row_view<Slot> slot_of_choice{};  // choices
  row_view<Slot> token_of_slot{};   // at least plan_rows_bound: -1 in padding and beyond the rows in use
  row_view<Slot> choice_of_slot{};  // likewise
  row_view<Slot> rank_of_choice{};  // choices: place in its expert's queue, also over capacity; -1 without expert

  MOEROUTE_HD constexpr index_t experts() const { return static_cast<index_t>(offsets.size - 1); }
  constexpr expert_runs runs() const { return {offsets}; }
};

MOEROUTE_HD constexpr offset_t round_up(offset_t n, offset_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Rows that a grouped array needs at most, whatever the ids: choices + experts * (align - 1).
MOEROUTE_HD constexpr offset_t plan_rows_bound(offset_t choices, index_t experts, offset_t align = 1) {
  return choices + static_cast<offset_t>(experts) * (align - 1);
}

}  // namespace moeroute::inline MOEROUTE_ABI
