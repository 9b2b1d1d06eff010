// Decides how a dispatch plan is owned by a command: the arrays of a plan_view, made for any choices.
// Namespace: moeroute_examples.
#pragma once

#include <moeroute/plan.hpp>
#include <moeroute/plan/limited.hpp>

#include "cli/routed.hpp"

namespace moeroute_examples {

struct planned {
  tensor<std::int64_t> counts, kept, offsets, slot_of_choice, token_of_slot, choice_of_slot, rank_of_choice;
  moeroute::plan_view<std::int64_t> view;

  template <class Id>
  planned(any_executor const& x, moeroute::choices_view<Id> const& choices, std::int64_t experts,
          moeroute::plan_options const& options = {}) {
    auto const n = choices.shape().size();
    give_room(choices.shape(), experts, moeroute::plan_rows_bound(n, as_index(experts), options.align));
    auto work = memory(moeroute::plan_workspace_bytes(x, as_index(experts)));
    moeroute::make_plan(x, choices, as_index(experts), options, view, moeroute::workspace(work));
    trim();
  }
  // Under a capacity.
  template <class Id>
  planned(any_executor const& x, moeroute::choices_view<Id> const& choices, std::int64_t experts,
          moeroute::plan_options const& options, moeroute::capacity_options<> const& limit) {
    auto const shape = choices.shape();
    moeroute::capacity_sizes const whole{.tokens = shape.tokens, .choices = shape.size(), .experts = as_index(experts)};
    give_room(shape, experts,
              moeroute::limited_rows_bound(limit.rule, limit.rows, whole, limit.segments, options.align));
    auto work = memory(
        moeroute::limited_plan_workspace_bytes(x, as_index(experts), shape.tokens, shape.size(), limit.segments));
    moeroute::throw_if_bad(
        moeroute::try_make_plan(x, choices, as_index(experts), options, limit, view, moeroute::workspace(work)));
    trim();
  }
  planned(planned const&) = delete;
  planned& operator=(planned const&) = delete;

  std::int64_t rows() const { return offsets.values.back(); }  // in use, padding included

 private:
  void give_room(moeroute::choice_shape const& shape, std::int64_t experts, std::int64_t most_rows) {
    auto const n = shape.size();
    counts = kept = tensor<std::int64_t>({experts});
    offsets = tensor<std::int64_t>({experts + 1});
    slot_of_choice = rank_of_choice = tensor<std::int64_t>({n});
    token_of_slot = choice_of_slot = tensor<std::int64_t>({most_rows});
    view = {.choices = shape,
            .counts = counts.row(),
            .kept = kept.row(),
            .offsets = offsets.row(),
            .slot_of_choice = slot_of_choice.row(),
            .token_of_slot = token_of_slot.row(),
            .choice_of_slot = choice_of_slot.row(),
            .rank_of_choice = rank_of_choice.row()};
  }
  void trim() {
    for (auto* map : {&token_of_slot, &choice_of_slot})
      map->values.resize(static_cast<std::size_t>(rows())), map->shape = {rows()};
    view.token_of_slot = token_of_slot.row(), view.choice_of_slot = choice_of_slot.row();
  }
};

// Slots and counts as most frameworks keep them; -1 (none) stays, any other negative slot becomes -1.
inline tensor<std::int32_t> as_int32(tensor<std::int64_t> const& t, shape_t shape = {}) {
  auto out = t.as<std::int32_t>();
  for (auto& v : out.values) v = v < -1 ? -1 : v;
  if (!shape.empty()) out.shape = std::move(shape);
  return out;
}

}  // namespace moeroute_examples
