// Decides how choices are counted: which ids a plan knows, and a table of counts for each share of a line of choices.
// Integers only, no atomics: the same plan for any executor.
//
// A lane owns the experts e = rank, rank + size, ... and walks all choices of its share.
#pragma once

#include <moeroute/plan/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Which ids a plan knows: [0, experts) are experts; then come identity experts, then null experts; and
// no_expert. Anything else is an error.
struct id_ranges {
  index_t experts = 0;
  index_t identity = 0;
  index_t null = 0;

  MOEROUTE_HD constexpr offset_t known() const { return static_cast<offset_t>(experts) + identity + null; }
  template <std::integral Id>
  MOEROUTE_HD constexpr bool is_expert(Id id) const {
    using U = std::make_unsigned_t<Id>;
    if constexpr (sizeof(Id) < sizeof(index_t))
      return static_cast<index_t>(static_cast<U>(id)) < experts && id >= Id(0);
    else return static_cast<U>(id) < static_cast<U>(experts);
  }
  template <std::integral Id>
  MOEROUTE_HD constexpr bool is_known(Id id) const {
    return id == no_expert_of<Id> || static_cast<std::uint64_t>(id) < static_cast<std::uint64_t>(known());
  }
  // The slot of a choice that is no expert's.
  template <std::integral Id>
  MOEROUTE_HD constexpr offset_t special_slot(Id id) const {
    return id != no_expert_of<Id> && static_cast<std::uint64_t>(id) <
                                         static_cast<std::uint64_t>(experts) + static_cast<std::uint64_t>(identity)
               ? identity_slot
               : no_slot;
  }
};

namespace detail {

// Share s of n: [first, last), in order, sizes differ by at most one.
struct share_range {
  offset_t first, last;
};
MOEROUTE_HD constexpr share_range share_range_of(offset_t size, offset_t s, offset_t n) {
  offset_t const base = size / n, extra = size % n, first = s * base + (s < extra ? s : extra);
  return {first, first + base + (s < extra ? 1 : 0)};
}

template <class G>
MOEROUTE_HD constexpr bool owns(G const& g, offset_t e) {
  if constexpr (is_serial<G>) return true;
  else return e % g.size() == g.rank();
}

// The plainest line of choices, token by token: each() visits a share of it with visit(token, choice, id);
// padding tokens show no_expert. A cell is what has a count of its own, here an expert.
struct token_major {
  MOEROUTE_HD constexpr offset_t cells(index_t experts) const { return experts; }
  MOEROUTE_HD constexpr offset_t cell(offset_t, index_t e, index_t) const { return e; }
  template <std::integral Id, class F>
  MOEROUTE_HD void each(choices_view<Id> in, offset_t s, offset_t shares, F&& visit) const {
    choice_shape const shape = in.shape();
    share_range const mine = share_range_of(shape.tokens, s, shares);
    if (!shape.ragged() && in.valid.empty()) {  // the common case without its questions
      Id const* id = in.ids.data + mine.first * in.ids.stride;
      for (offset_t t = mine.first, c = t * shape.k; t < mine.last; ++t, id += in.ids.stride)
        for (offset_t j = 0; j < shape.k; ++j, ++c) visit(t, c, id[j]);
      return;
    }
    for (offset_t t = mine.first; t < mine.last; ++t) {
      Id const* const id = values_of(in.ids, shape, t);
      offset_t const first = shape.first(t), n = shape.last(t) - first;
      bool const valid = in.is_valid(t);
      for (offset_t j = 0; j < n; ++j) visit(t, first + j, valid ? id[j] : no_expert_of<Id>);
    }
  }
};

}  // namespace detail

// table[s]: a count for each cell, and last one for choices without an expert; odd[2 s] says that share s
// met an id it does not know, odd[2 s + 1] which.
template <std::integral Id, class Line = detail::token_major>
struct count_share {
  choices_view<Id> in;
  id_ranges ids;
  offset_t shares;
  offset_t* table;  // shares x (cells + 1)
  offset_t* odd;    // shares x 2
  Line line{};

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch) const {
    id_ranges const known = ids;  // copies: counts are written through pointers that could point here
    Line const queue = line;
    offset_t const cells = queue.cells(known.experts);
    offset_t* const n = table + s * (cells + 1);
    for (offset_t i = g.rank(); i <= cells; i += g.size()) n[i] = 0;
    g.sync();
    queue.each(in, s, shares, [&](offset_t t, offset_t, Id id) {
      offset_t const i = known.is_expert(id) ? queue.cell(t, static_cast<index_t>(id), known.experts) : cells;
      if (detail::owns(g, i)) ++n[i];
    });
    g.sync();
    if (g.rank() == 0) {
      odd[2 * s] = 0;
      if (n[cells] != 0)
        line.each(in, s, shares, [&](offset_t, offset_t, Id id) {
          if (odd[2 * s] != 0 || ids.is_known(id)) return;
          odd[2 * s] = 1;
          odd[2 * s + 1] = static_cast<offset_t>(id);
        });
    }
    g.sync();
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
