// Decides the plan under a capacity: choices queue at their experts, the first C of a queue get a row, the
// rest are dropped. With segments (sequences, or isolation groups) every segment has queues of its own, so
// rows of one never change what another gets.
//
//   kept_e = sum over segments of min(count_{s,e}, C_s),  C_s = capacity(rule, sizes of segment s)
//   rows: compact (kept_e, rounded up to align), or fixed: sum_s C_s for every expert (drop-and-pad)
#pragma once

#include <moeroute/plan/capacity.hpp>
#include <moeroute/plan/make.hpp>
#include <moeroute/plan/serve.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class slot_order : std::uint8_t { token, queue };
enum class row_layout : std::uint8_t { compact, fixed };

template <element P = float>
struct capacity_options {
  capacity_rule rule{};
  queue_keys<P> queue{};
  slot_order slots = slot_order::token;  // rows of an expert by token, or as they were served
  row_layout rows = row_layout::compact;
  row_view<index_t const> segment{};  // tokens: sequence or isolation group; empty: the whole batch
  index_t segments = 1;               // ids in `segment` are below this
  // Experts: choices of earlier ranks, which queue ahead of ours (global dropping, MiniMax-Text P19). The
  // rule is then `given`, with the capacity of the whole.
  row_view<offset_t const> before{};
};

namespace detail {

template <element P, std::integral Id>
status check_limits(capacity_options<P> const& o, choices_view<Id> const& in, index_t experts) {
  checks c;
  c.also(o.rule.validate()).also(validate(o.queue, in)).at_least("capacity.segments", o.segments, 1);
  c.empty_or("capacity.segment size", o.segment, in.shape().tokens).empty_or("capacity.before size", o.before, experts);
  if (!o.before.empty()) c.must_be("capacity.segments (with capacity.before)", o.segments, 1, errc::unsupported);
  if (o.segment.empty()) c.must_be("capacity.segments (without capacity.segment)", o.segments, 1);
  if (o.rows == row_layout::fixed && o.rule.formula == capacity_formula::unlimited)
    c.must_be("capacity.formula (fixed rows need a capacity)", 0, 1, errc::bad_value);
  for (offset_t t = 0; t < o.segment.size && c.result().ok(); ++t)
    c.at_least("capacity.segment", o.segment[t], 0).at_most("capacity.segment", o.segment[t], o.segments - 1);
  return c.result();
}

}  // namespace detail

// Rows a plan needs for this capacity, at most, if no segment has more tokens or choices than `whole`.
// fixed: experts x (segments x C, rounded up to align).
constexpr offset_t limited_rows_bound(capacity_rule const& rule, row_layout rows, capacity_sizes whole,
                                      index_t segments = 1, offset_t align = 1) {
  offset_t const all = plan_rows_bound(whole.choices, whole.experts, align);
  if (rows == row_layout::compact && rule.formula == capacity_formula::unlimited) return all;
  if (whole.largest_count == 0) whole.largest_count = whole.choices;
  offset_t const c = capacity(rule, whole);
  offset_t const most = c > whole.choices && rows == row_layout::compact ? whole.choices : c;
  offset_t const limited = static_cast<offset_t>(whole.experts) * round_up(most * segments, align);
  return rows == row_layout::compact && all < limited ? all : limited;
}

// Bytes of workspace the limited make_plan needs; grows with every argument.
template <executor X>
offset_t limited_plan_workspace_bytes(X const& x, index_t experts, offset_t tokens, offset_t choices,
                                      index_t segments = 1) {
  offset_t const shares = shares_of(x), cells = static_cast<offset_t>(segments) * experts;
  offset_t const sorted = tokens > choices ? tokens : choices;
  return x.workspace_bytes(0) + workspace_alignment + aligned_bytes<offset_t>(shares * (cells + 1)) +
         aligned_bytes<offset_t>(2 * shares) + 2 * aligned_bytes<offset_t>(cells) +
         2 * aligned_bytes<offset_t>(segments) + detail::sort_bytes(sorted);
}

template <executor X, std::integral Id, element P, std::signed_integral Slot>
  requires runs_on_host<X>
status try_make_plan(X const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
                     capacity_options<P> const& limit, plan_view<Slot>& plan, workspace w) noexcept {
  id_ranges const ids{experts, options.identity, options.null};
  checks c;
  c.also(detail::check_ids(in, ids, options.align)).also(detail::check_limits(limit, in, experts));
  if (!c.result().ok()) return c.result();
  choice_shape const shape = plan.choices = in.shape();
  offset_t const choices = shape.size(), cells = static_cast<offset_t>(limit.segments) * experts;
  c.also(detail::check_plan(plan, choices, experts, 0));
  c.also(workspace_ok(w, limited_plan_workspace_bytes(x, experts, shape.tokens, choices, limit.segments)));
  if (!c.result().ok()) return c.result();

  offset_t const shares = shares_of(x), stride = cells + 1;
  scratch mine = aligned_scratch(w);
  auto* const table = mine.take<offset_t>(shares * stride);
  auto* const odd = mine.take<offset_t>(2 * shares);
  detail::limits const found{mine.take<offset_t>(cells), mine.take<offset_t>(cells),
                             mine.take<offset_t>(limit.segments), mine.take<offset_t>(limit.segments)};
  auto const space = detail::take_sort_space(mine, shape.tokens > choices ? shape.tokens : choices);
  workspace const rest{mine.at, w.data + w.bytes - mine.at};

  // Who queues where.
  detail::queue_line line = detail::line_up(in, limit.queue, space);
  line.segment = limit.segment, line.segments = limit.segments;
  count_share<Id, detail::queue_line> const count{in, ids, shares, table, odd, line};
  if (status const s = x.run(shares, count, rest); !s.ok()) return s;
  if (status const s = detail::report_odd(odd, shares, ids.known()); !s.ok()) return s;

  // How much each cell may take, and where its rows begin.
  bool const fixed_rows = limit.rows == row_layout::fixed;
  for (offset_t s = 0; s < limit.segments; ++s) found.tokens[s] = found.capacity[s] = 0;
  for (offset_t t = 0; t < shape.tokens; ++t)
    if (in.is_valid(t)) {
      ++found.tokens[line.segment_of(t)];
      found.capacity[line.segment_of(t)] += shape.last(t) - shape.first(t);
    }
  for (offset_t s = 0; s < limit.segments; ++s) {
    capacity_sizes sizes{found.tokens[s], found.capacity[s], experts, 0};
    for (index_t e = 0; e < experts; ++e) {
      offset_t const i = s * experts + e, ahead = limit.before.empty() ? 0 : limit.before[e];
      found.load[i] = detail::spread_over_shares(table + i, stride, shares, ahead);
      if (found.load[i] > sizes.largest_count) sizes.largest_count = found.load[i];
    }
    found.capacity[s] = capacity(limit.rule, sizes);
    if (fixed_rows) c.at_most("capacity (of fixed rows)", found.capacity[s], (offset_t{1} << 60) / cells);
  }
  if (!c.result().ok()) return c.result();
  offset_t slot = 0;
  for (index_t e = 0; e < experts; ++e) {
    plan.offsets[e] = slot;
    offset_t chosen = 0, kept = 0, at = slot;
    for (offset_t s = 0; s < limit.segments; ++s) {
      offset_t const i = s * experts + e, ahead = limit.before.empty() ? 0 : limit.before[e];
      offset_t const room = found.capacity[s] > ahead ? found.capacity[s] - ahead : 0;
      offset_t const n = found.load[i] < room ? found.load[i] : room;
      chosen += found.load[i], kept += n;
      found.start[i] = at - ahead;  // rank `ahead` is the first of ours
      at += fixed_rows ? found.capacity[s] : n;
    }
    if (!plan.counts.empty()) plan.counts[e] = chosen;
    if (!plan.kept.empty()) plan.kept[e] = kept;
    slot += round_up(at - slot, options.align);
  }
  plan.offsets[experts] = slot;
  if (status const s = detail::check_plan(plan, choices, experts, slot); !s.ok()) return s;

  // The rows.
  for (Slot& entry : plan.token_of_slot) entry = Slot(-1);
  for (Slot& entry : plan.choice_of_slot) entry = Slot(-1);
  bool const in_order = limit.slots == slot_order::queue ||
                        (limit.queue.order == queue_order::position && (limit.segments == 1 || fixed_rows));
  detail::serve_choices<Id, Slot> const serve{in, ids, plan, line, found, shares, table, in_order};
  if (status const s = x.run(shares, serve, rest); !s.ok() || in_order) return s;
  detail::place_marked<Id, Slot> place{in, ids, plan, line, fixed_rows, false, shares, table};
  if (status const s = x.run(shares, place, rest); !s.ok()) return s;
  for (offset_t i = 0; i < (fixed_rows ? cells : experts); ++i)
    detail::spread_over_shares(
        table + i, stride, shares,
        fixed_rows ? found.start[i] + (limit.before.empty() ? 0 : limit.before[i]) : plan.offsets[i]);
  place.placing = true;
  return x.run(shares, place, rest);
}
template <executor X, std::integral Id, element P, std::signed_integral Slot>
  requires runs_on_host<X>
void make_plan(X const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
               capacity_options<P> const& limit, plan_view<Slot>& plan, workspace w) {
  throw_if_bad(try_make_plan(x, in, experts, options, limit, plan, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
