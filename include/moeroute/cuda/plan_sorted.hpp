// Decides how a plan with any queue and any segments is made where the host reads nothing: choices are sorted by
// (cell, place in the line), cuda/sorted_line.hpp; a second sort puts the rows of an expert back in the order of the
// tokens. The same plan as plan/limited.hpp, array by array.
#pragma once

#include <moeroute/cuda/sorted_line.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class P>
status check_sorted(capacity_options<P> const& limit, choice_shape const& shape, offset_t choices, offset_t columns,
                    index_t experts, offset_t before) {
  queue_order const order = limit.queue.order;
  checks c;
  c.also(limit.rule.validate()).at_least("capacity.segments", limit.segments, 1);
  c.empty_or("capacity.segment size", limit.segment, shape.tokens)
      .empty_or("capacity.before size", limit.before, experts);
  if (before != 0) c.must_be("capacity.segments (with capacity.before)", limit.segments, 1, errc::unsupported);
  if (limit.segment.empty()) c.must_be("capacity.segments (without capacity.segment)", limit.segments, 1);
  if (order == queue_order::batch_priority) {
    c.must_be("queue.of_token size", limit.queue.of_token.size, shape.tokens, errc::missing);
    c.must_be("ragged choices in a queue by batch priority", shape.ragged() ? 1 : 0, 0, errc::unsupported);
  }
  if (order == queue_order::score)
    fits_choices(c, "queue.of_choice rows", "queue.of_choice columns", limit.queue.of_choice,
                 shape.ragged() ? choice_shape{1, choices, {}} : shape);
  if (order == queue_order::score || order == queue_order::batch_priority)
    c.must_be("bytes of a key of the queue", sizeof(compute_t<P>), 4, errc::unsupported);
  c.empty_or("queue.token size", limit.queue.token, shape.tokens);
  offset_t const per_cell = order == queue_order::batch_priority ? columns : 1;
  c.at_most("choices of a plan on a device", choices, largest<std::int32_t>, errc::unsupported);
  return c
      .at_most("segments x experts (x k by batch priority) of a plan by sorting",
               offset_t{limit.segments} * experts * per_cell, (offset_t{1} << 32) - 2, errc::unsupported)
      .result();
}

}  // namespace detail

// Bytes of workspace besides what the sort itself takes; grows with every argument.
template <executor X>
offset_t plan_by_sorting_workspace_bytes(X const& x, index_t experts, offset_t choices, index_t segments = 1) {
  return workspace_alignment + 2 * aligned_bytes<std::uint64_t>(choices) + 2 * aligned_bytes<std::int32_t>(choices) +
         3 * aligned_bytes<offset_t>(offset_t{segments} * experts) + aligned_bytes<offset_t>(segments) +
         aligned_bytes<offset_t>(detail::sorted_blocks(choices)) + x.workspace_bytes(0);
}

// make_plan under a capacity with nothing read on the host. `sort(keys, sorted_keys, items, sorted, n, first_bit,
// last_bit)` is stable and returns a status. A choice whose id or segment nobody knows counts as no expert;
// `odd_choice` (one number, or null) receives the first, or -1. Keys of a queue are float or 16 bits.
template <executor X, std::integral Id, element P, std::signed_integral Slot, class Sort>
status plan_by_sorting(X const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
                       capacity_options<P> const& limit, plan_view<Slot>& plan, workspace w, Sort const& sort,
                       offset_t* odd_choice) noexcept {
  id_ranges const ids{experts, options.identity, options.null};
  choice_shape const shape = plan.choices = in.shape();
  offset_t const choices = shape.ragged() ? in.ids.cols : in.ids.rows * in.ids.cols;
  checks c;
  c.at_least("experts", experts, 1).at_least("plan.align", options.align, 1);
  c.at_least("plan.identity", ids.identity, 0).at_least("plan.null", ids.null, 0);
  c.empty_or("choices.valid size", in.valid, shape.tokens).strided("choices.ids", in.ids);
  if (shape.ragged()) c.must_be("choices.ids rows of ragged choices", in.ids.rows, 1);
  c.also(detail::check_sorted(limit, shape, choices, in.ids.cols, experts, limit.before.size));
  if (!c.result().ok()) return c.result();
  bool const fixed_rows = limit.rows == row_layout::fixed;
  offset_t const cells = offset_t{limit.segments} * experts;
  capacity_sizes const whole{shape.tokens, choices, experts, choices};
  if (fixed_rows) {
    if (limit.rule.formula == capacity_formula::unlimited)
      c.must_be("capacity.formula (fixed rows need a capacity)", 0, 1, errc::bad_value);
    c.at_most("capacity (of fixed rows)", capacity(limit.rule, whole), (offset_t{1} << 60) / cells);
    if (!c.result().ok()) return c.result();
  }
  c.also(detail::check_plan(plan, choices, experts,
                            limited_rows_bound(limit.rule, limit.rows, whole, limit.segments, options.align)));
  c.also(workspace_ok(w, plan_by_sorting_workspace_bytes(x, experts, choices, limit.segments)));
  if (!c.result().ok()) return c.result();

  scratch mine = aligned_scratch(w);
  detail::sorted_arrays at{};
  at.keys = mine.take<std::uint64_t>(choices), at.sorted_keys = mine.take<std::uint64_t>(choices);
  at.items = mine.take<std::int32_t>(choices), at.sorted = mine.take<std::int32_t>(choices);
  at.first = mine.take<offset_t>(cells), at.load = mine.take<offset_t>(cells), at.start = mine.take<offset_t>(cells);
  at.capacity = mine.take<offset_t>(limit.segments), at.odd = mine.take<offset_t>(detail::sorted_blocks(choices));
  workspace const rest{mine.at, w.data + w.bytes - mine.at};

  queue_order const order = limit.queue.order;
  bool const in_order =
      limit.slots == slot_order::queue || (order == queue_order::position && (limit.segments == 1 || fixed_rows));
  offset_t const per_cell = order == queue_order::batch_priority ? in.ids.cols : 1;
  using plan_type = detail::sorted_plan<Id, P, Slot>;
  plan_type s{in, ids, options, limit, plan, at, choices, cells, per_cell < 1 ? 1 : per_cell, in_order, odd_choice};
  auto const bits = [](offset_t n) {
    int b = 0;
    while (n >> b != 0) ++b;
    return b;
  };
  offset_t const blocks = detail::sorted_blocks(choices);
  offset_t longest =
      plan.token_of_slot.size > plan.choice_of_slot.size ? plan.token_of_slot.size : plan.choice_of_slot.size;
  if (cells > longest) longest = cells;
  bool const plain_order = order == queue_order::position;
  status done = x.run(detail::sorted_blocks(longest), detail::sorted_clear_block<plan_type>{s}, rest);
  auto const then = [&](auto&& step) {
    if (done.ok()) done = step();
  };
  then([&] { return x.run(blocks, detail::sorted_keys_block<plan_type>{s}, rest); });
  then([&] {
    return sort(at.keys, at.sorted_keys, at.items, at.sorted, choices, plain_order ? 32 : 0,
                32 + bits(cells * s.per_cell));
  });
  then([&] { return x.run(blocks, detail::sorted_borders_block<plan_type>{s, true}, rest); });
  then([&] { return x.run(limit.segments, detail::sorted_capacity<plan_type>{s}, rest); });
  then([&] { return x.run(1, detail::sorted_offsets<plan_type>{s, blocks}, rest); });
  then([&] { return x.run(blocks, detail::sorted_serve_block<plan_type>{s}, rest); });
  if (in_order || !done.ok()) return done;
  s.per_cell = 1, s.cells = fixed_rows ? cells : experts;
  then([&] { return sort(at.keys, at.sorted_keys, at.items, at.sorted, choices, 32, 32 + bits(s.cells)); });
  then([&] { return x.run(blocks, detail::sorted_borders_block<plan_type>{s, false}, rest); });
  then([&] { return x.run(blocks, detail::sorted_place_block<plan_type>{s}, rest); });
  return done;
}

}  // namespace moeroute::inline MOEROUTE_ABI
