// Decides how a block of warps counts and places choices: two launches, no atomics, stable by construction,
// the same plan as plan/make.hpp on the CPU. Rows of work are shares of the choices, one a block.
//
//   count_block  per-warp counters in scratch; lanes with the same expert find each other by ballots;
//                rank of every choice in its share, counts of the share
//   place_block  adds the counts of the shares it needs (so that shares need not talk), scans the
//                aligned totals, writes both maps and the padding
#pragma once

#include <moeroute/core/butterfly_group.hpp>
#include <moeroute/core/joined_group.hpp>
#include <moeroute/plan/limited.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

MOEROUTE_HD inline index_t count_bits(std::uint32_t x) {
#if defined(__CUDA_ARCH__)
  return __popc(x);
#else
  return __builtin_popcount(x);
#endif
}
// Choices [first, first + count) of a share; the expert of a choice, `experts` if it has none.
template <std::integral Id>
struct choice_shares {
  choices_view<Id> in;
  id_ranges ids;
  offset_t choices;
  offset_t per_share;

  MOEROUTE_HD offset_t first(offset_t share) const { return share * per_share; }
  MOEROUTE_HD offset_t count(offset_t share) const {
    offset_t const left = choices - first(share);
    return left < per_share ? left : per_share;
  }
  MOEROUTE_HD offset_t token_of(offset_t c) const { return in.shape().token_of(c); }
  // The id of a choice; padding tokens show no_expert.
  MOEROUTE_HD Id id(offset_t c) const {
    bool const ragged = in.offsets.size != 0, packed = ragged || in.ids.stride == in.ids.cols;
    if (packed && in.valid.empty()) return in.ids.data[c];
    offset_t const t = token_of(c);
    Id const given = packed ? in.ids.data[c] : in.ids.data[t * in.ids.stride + (c - t * in.ids.cols)];
    return in.is_valid(t) ? given : no_expert_of<Id>;
  }
  MOEROUTE_HD std::uint32_t expert(Id i) const {
    return static_cast<std::uint32_t>(ids.is_expert(i) ? static_cast<index_t>(i) : ids.experts);
  }
};

}  // namespace detail

template <std::integral Id, std::signed_integral Slot>
struct count_block {
  static constexpr bool long_rows = true;
  detail::choice_shares<Id> share;
  index_t warps;            // of a block that count; as many as scratch has room for
  std::uint32_t* counts;    // shares x experts
  offset_t* odd;            // shares: first choice with an id that nobody knows; largest<offset_t> if none
  Slot* rank;               // choices: rank of a choice among those of its expert in its share

  offset_t scratch_bytes() const {
    return aligned_bytes<std::uint32_t>(static_cast<offset_t>(warps) * share.ids.experts);
  }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch memory) const {
    auto const& warp = g.part;
    constexpr index_t lanes = std::remove_cvref_t<decltype(warp)>::static_lanes;
    auto const experts = static_cast<std::uint32_t>(share.ids.experts);
    auto* const table = memory.take<std::uint32_t>(static_cast<offset_t>(warps) * share.ids.experts);
    std::uint32_t* const mine = table + static_cast<std::uint32_t>(g.index) * experts;
    index_t bits = 1;
    while (experts >> bits != 0) ++bits;
    offset_t const first = share.first(s), n = share.count(s);
    offset_t const slice = round_up((n + warps - 1) / warps, lanes), begin = g.index * slice;
    offset_t const end = g.index >= warps ? begin : (begin + slice < n ? begin + slice : n);

    offset_t unknown = largest<offset_t>;
    if (g.index < warps) {
      for (auto e = static_cast<std::uint32_t>(warp.rank()); e < experts; e += lanes) mine[e] = 0;
      warp.sync();
      for (offset_t base = begin; base < end; base += lanes) {
        offset_t const i = base + warp.rank(), c = first + i;
        std::uint32_t e = experts;
        if (i < end) {
          Id const id = share.id(c);
          e = share.expert(id);
          if (!share.ids.is_known(id) && unknown > c) unknown = c;
        }
        std::uint32_t const same = warp.match(e, bits);
        index_t const before = detail::count_bits(same & ((std::uint32_t{1} << warp.rank()) - 1));
        std::uint32_t const seen = e < experts ? mine[e] : 0;
        warp.sync();
        if (e < experts) {
          rank[c] = static_cast<Slot>(static_cast<offset_t>(seen) + before);
          if (before == 0) mine[e] = seen + static_cast<std::uint32_t>(detail::count_bits(same));
        }
        warp.sync();
      }
    }
    g.sync();
    for (auto e = static_cast<std::uint32_t>(g.rank()); e < experts; e += static_cast<std::uint32_t>(g.size())) {
      std::uint32_t total = 0;
      for (std::uint32_t q = 0; q < static_cast<std::uint32_t>(warps); ++q) {
        std::uint32_t const count = table[q * experts + e];
        table[q * experts + e] = total;
        total += count;
      }
      counts[s * experts + e] = total;
    }
    g.sync();
    for (offset_t i = begin + warp.rank(); i < end; i += lanes)
      if (std::uint32_t const e = share.expert(share.id(first + i)); e < experts)
        rank[first + i] = static_cast<Slot>(rank[first + i] + static_cast<Slot>(mine[e]));
    unknown = -g.max(-unknown);
    if (g.rank() == 0) odd[s] = unknown;
    g.sync();
  }
};

template <std::integral Id, std::signed_integral Slot>
struct place_block {
  static constexpr bool long_rows = true;
  detail::choice_shares<Id> share;
  offset_t shares;
  offset_t align;
  std::uint32_t const* counts;  // shares x experts
  offset_t const* odd;          // shares
  plan_view<Slot> plan;         // slot_of_choice holds the ranks of count_block
  offset_t* odd_choice;         // one number or null: the first choice with an id that nobody knows, or -1
  offset_t capacity = largest<offset_t>;  // choices of an expert that get a row: the first of its queue
  bool fixed_rows = false;                // every expert has rows for its capacity

  offset_t scratch_bytes() const {
    offset_t const experts = share.ids.experts;
    return 2 * aligned_bytes<std::uint32_t>(experts) + aligned_bytes<offset_t>(experts + 1);
  }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void operator()(G const& g, offset_t s, scratch memory) const {
    offset_t const experts = share.ids.experts;
    auto* const total = memory.take<std::uint32_t>(experts);   // choices of an expert
    auto* const before = memory.take<std::uint32_t>(experts);  // of these, in earlier shares
    auto* const start = memory.take<offset_t>(experts + 1);    // its first slot
    for (offset_t e = g.rank(); e < experts; e += g.size()) {
      std::uint32_t all = 0, earlier = 0;
      for (offset_t q = 0; q < shares; ++q) {
        std::uint32_t const c = counts[q * experts + e];
        all += c;
        earlier += q < s ? c : 0u;
      }
      total[e] = all;
      before[e] = earlier;
    }
    g.sync();
    if (g.index == 0) scan(g.part, experts, total, start);
    g.sync();
    if (s == 0) summary(g, experts, total, start);
    for (offset_t e = s; e < experts; e += shares) clear(g, start[e] + kept(total[e]), start[e + 1]);
    clear_beyond(g, s, start[experts]);

    offset_t const first = share.first(s), last = first + share.count(s);
    for (offset_t c = first + g.rank(); c < last; c += g.size()) place(c, before, start);
    g.sync();
  }

 private:
  MOEROUTE_HD offset_t kept(std::uint32_t count) const { return count < capacity ? count : capacity; }
  MOEROUTE_HD offset_t rows(std::uint32_t count) const { return round_up(fixed_rows ? capacity : kept(count), align); }
  // A run of experts a lane; one scan over the lanes.
  template <class W>
  MOEROUTE_HD void scan(W const& warp, offset_t experts, std::uint32_t const* total, offset_t* start) const {
    offset_t const run = (experts + W::static_lanes - 1) / W::static_lanes;
    offset_t const from = warp.rank() * run < experts ? warp.rank() * run : experts;
    offset_t const to = from + run < experts ? from + run : experts;
    offset_t own = 0;
    for (offset_t e = from; e < to; ++e) own += rows(total[e]);
    offset_t at = warp.sum_before(own);
    for (offset_t e = from; e < to; ++e) {
      start[e] = at;
      at += rows(total[e]);
    }
    if (warp.rank() == W::static_lanes - 1) start[experts] = at;
  }
  template <class G>
  MOEROUTE_HD void summary(G const& g, offset_t experts, std::uint32_t const* total, offset_t const* start) const {
    for (offset_t e = g.rank(); e < experts; e += g.size()) {
      if (!plan.counts.empty()) plan.counts[e] = total[e];
      if (!plan.kept.empty()) plan.kept[e] = kept(total[e]);
      plan.offsets[e] = start[e];
    }
    if (g.rank() != 0) return;
    plan.offsets[experts] = start[experts];
    if (odd_choice == nullptr) return;
    offset_t found = largest<offset_t>;
    for (offset_t q = 0; q < shares; ++q) found = odd[q] < found ? odd[q] : found;
    *odd_choice = found == largest<offset_t> ? -1 : found;
  }
  template <class G>
  MOEROUTE_HD void clear(G const& g, offset_t from, offset_t to) const {
    for (offset_t slot = from + g.rank(); slot < to; slot += g.size()) {
      if (!plan.token_of_slot.empty()) plan.token_of_slot[slot] = Slot(-1);
      if (!plan.choice_of_slot.empty()) plan.choice_of_slot[slot] = Slot(-1);
    }
  }
  template <class G>
  MOEROUTE_HD void clear_beyond(G const& g, offset_t s, offset_t used) const {
    offset_t const first = used + s * g.size() + g.rank(), step = shares * g.size();
    for (offset_t slot = first; slot < plan.token_of_slot.size; slot += step) plan.token_of_slot[slot] = Slot(-1);
    for (offset_t slot = first; slot < plan.choice_of_slot.size; slot += step) plan.choice_of_slot[slot] = Slot(-1);
  }
  MOEROUTE_HD void place(offset_t c, std::uint32_t const* before, offset_t const* start) const {
    Id const id = share.id(c);
    std::uint32_t const e = share.expert(id);
    if (e == static_cast<std::uint32_t>(share.ids.experts)) {
      plan.slot_of_choice[c] = static_cast<Slot>(share.ids.special_slot(id));
      if (!plan.rank_of_choice.empty()) plan.rank_of_choice[c] = Slot(-1);
      return;
    }
    offset_t const rank = static_cast<offset_t>(before[e]) + plan.slot_of_choice[c], slot = start[e] + rank;
    bool const fits = rank < capacity;
    plan.slot_of_choice[c] = static_cast<Slot>(fits ? slot : dropped_slot);
    if (!plan.rank_of_choice.empty()) plan.rank_of_choice[c] = static_cast<Slot>(rank);
    if (!fits) return;
    if (!plan.token_of_slot.empty()) plan.token_of_slot[slot] = static_cast<Slot>(share.token_of(c));
    if (!plan.choice_of_slot.empty()) plan.choice_of_slot[slot] = static_cast<Slot>(c);
  }
};

// How choices are cut: shares of at least 512, so few that all their counts are read by every share at
// little cost (shares^2 * experts numbers), and warps whose counters fit in 48 KB, one at least.
struct plan_cut {
  offset_t shares;
  offset_t per_share;
  index_t warps;

  static constexpr offset_t least_share = 512, most_shares = 132;
  static constexpr offset_t shares_bound(index_t experts) {
    offset_t n = most_shares;
    while (n > 1 && n * n * experts > (offset_t{1} << 23)) --n;
    return n;
  }
  static constexpr plan_cut of(offset_t choices, index_t experts, index_t warps_of_block) {
    offset_t const bound = shares_bound(experts);
    offset_t const even = (choices + bound - 1) / bound, per_share = even > least_share ? even : least_share;
    offset_t const room = 48 * 1024 / (offset_t{4} * experts);
    index_t const warps = room >= warps_of_block ? warps_of_block : (room < 1 ? 1 : static_cast<index_t>(room));
    offset_t const shares = (choices + per_share - 1) / per_share;
    return {shares < 1 ? 1 : shares, per_share, warps};
  }
};

template <executor X>
offset_t plan_by_blocks_workspace_bytes(X const& x, index_t experts, index_t warps_of_block) {
  offset_t const shares = plan_cut::shares_bound(experts);
  offset_t const warps = plan_cut::of(0, experts, warps_of_block).warps;
  offset_t const count = aligned_bytes<std::uint32_t>(warps * experts);
  offset_t const place = 2 * aligned_bytes<std::uint32_t>(experts) + aligned_bytes<offset_t>(offset_t{experts} + 1);
  return workspace_alignment + aligned_bytes<std::uint32_t>(shares * experts) + aligned_bytes<offset_t>(shares) +
         x.workspace_bytes(count > place ? count : place);
}

// make_plan for an executor that gives every row a joined group of `warps_of_block` parts. Nothing is read
// on the host. An id that nobody knows counts as no expert; `odd_choice` (one number, or null) receives
// the first such choice, or -1. With a capacity, choices beyond it in the order of the tokens are dropped.
template <executor X, std::integral Id, std::signed_integral Slot>
status plan_by_blocks(X const& x, index_t warps_of_block, choices_view<Id> const& in, index_t experts,
                      plan_options const& options, plan_view<Slot>& plan, workspace w, offset_t* odd_choice,
                      offset_t capacity = largest<offset_t>, bool fixed_rows = false) noexcept {
  id_ranges const ids{experts, options.identity, options.null};
  plan.choices = in.shape();
  bool const ragged = plan.choices.ragged();
  offset_t const choices = ragged ? in.ids.cols : in.ids.rows * in.ids.cols;
  checks c;
  c.at_least("experts", experts, 1).at_least("plan.align", options.align, 1);
  c.at_least("plan.identity", ids.identity, 0).at_least("plan.null", ids.null, 0);
  c.empty_or("choices.valid size", in.valid, plan.choices.tokens).strided("choices.ids", in.ids);
  if (ragged) c.must_be("choices.ids rows of ragged choices", in.ids.rows, 1);
  c.at_most("choices of a plan on a device", choices, largest<index_t>, errc::unsupported);
  if (!c.result().ok()) return c.result();
  offset_t const all_rows = plan_rows_bound(choices, experts, options.align);
  offset_t const most = fixed_rows || capacity < choices ? capacity : choices;
  if (fixed_rows) c.at_most("capacity (of fixed rows)", capacity, (offset_t{1} << 60) / experts);
  if (!c.result().ok()) return c.result();
  offset_t const limited = experts * round_up(most, options.align);
  c.also(detail::check_plan(plan, choices, experts, fixed_rows || limited < all_rows ? limited : all_rows));
  c.also(workspace_ok(w, plan_by_blocks_workspace_bytes(x, experts, warps_of_block)));
  if (!c.result().ok()) return c.result();

  plan_cut const cut = plan_cut::of(choices, experts, warps_of_block);
  scratch mine = aligned_scratch(w);
  auto* const counts = mine.take<std::uint32_t>(cut.shares * experts);
  auto* const odd = mine.take<offset_t>(cut.shares);
  workspace const rest{mine.at, w.data + w.bytes - mine.at};
  detail::choice_shares<Id> const share{in, ids, choices, cut.per_share};
  count_block<Id, Slot> const count{share, cut.warps, counts, odd, plan.slot_of_choice.data};
  if (status const s = x.run(cut.shares, count, rest); !s.ok()) return s;
  place_block<Id, Slot> const place{share, cut.shares, options.align, counts, odd, plan, odd_choice, capacity, fixed_rows};
  return x.run(cut.shares, place, rest);
}

// make_plan under a capacity, for what blocks serve: one queue an expert, in the order of the tokens, and a
// formula whose numbers are known on the host.
template <executor X, std::integral Id, element P, std::signed_integral Slot>
status limited_plan_by_blocks(X const& x, index_t warps_of_block, choices_view<Id> const& in, index_t experts,
                              plan_options const& options, capacity_options<P> const& limit, plan_view<Slot>& plan,
                              workspace w, offset_t* odd_choice) noexcept {
  auto const formula = limit.rule.formula;
  checks c;
  c.also(limit.rule.validate()).at_least("experts", experts, 1);
  c.must_be("capacity.queue.order on a device", static_cast<offset_t>(limit.queue.order),
            static_cast<offset_t>(queue_order::position), errc::unsupported);
  c.must_be("capacity.segments on a device", limit.segments, 1, errc::unsupported);
  c.must_be("capacity.segment size on a device", limit.segment.size, 0, errc::unsupported);
  c.must_be("capacity.before size on a device", limit.before.size, 0, errc::unsupported);
  bool const without = formula == capacity_formula::unlimited;
  if (formula != capacity_formula::given && !without)
    c.must_be("choices.valid size on a device (with a formula; count the tokens and give the slots)", in.valid.size, 0,
              errc::unsupported);
  if (formula == capacity_formula::tutel && !(limit.rule.factor > 0))
    c.must_be("capacity.factor on a device is above 0 (0: no, 1: yes)", 0, 1, errc::unsupported);
  bool const fixed_rows = limit.rows == row_layout::fixed;
  if (fixed_rows && without) c.must_be("capacity.formula (fixed rows need a capacity)", 0, 1, errc::bad_value);
  if (!c.result().ok()) return c.result();
  bool const ragged = in.offsets.size != 0;
  capacity_sizes const sizes{ragged ? in.offsets.size - 1 : in.ids.rows, ragged ? in.ids.cols : in.ids.rows * in.ids.cols,
                             experts, 0};
  return plan_by_blocks(x, warps_of_block, in, experts, options, plan, w, odd_choice, capacity(limit.rule, sizes),
                        fixed_rows);
}

}  // namespace moeroute::inline MOEROUTE_ABI
