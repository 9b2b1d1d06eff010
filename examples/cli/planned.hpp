// Decides how a dispatch plan is owned by a command: the arrays of a plan_view, made for any choices.
// Namespace: moeroute_examples.
#pragma once

#include <moeroute/plan.hpp>

#include "cli/routed.hpp"

namespace moeroute_examples {

struct planned {
  tensor<std::int64_t> counts, kept, offsets, slot_of_choice, token_of_slot, choice_of_slot, rank_of_choice;
  moeroute::plan_view<std::int64_t> view;

  template <class Id>
  planned(any_executor const& x, moeroute::choices_view<Id> const& choices, std::int64_t experts,
          moeroute::plan_options const& options = {}) {
    auto const n = choices.shape().size();
    auto const rows = moeroute::plan_rows_bound(n, as_index(experts), options.align);
    counts = kept = tensor<std::int64_t>({experts});
    offsets = tensor<std::int64_t>({experts + 1});
    slot_of_choice = rank_of_choice = tensor<std::int64_t>({n});
    token_of_slot = choice_of_slot = tensor<std::int64_t>({rows});
    view = {.choices = choices.shape(), .counts = counts.row(), .kept = kept.row(), .offsets = offsets.row(),
            .slot_of_choice = slot_of_choice.row(), .token_of_slot = token_of_slot.row(),
            .choice_of_slot = choice_of_slot.row(), .rank_of_choice = rank_of_choice.row()};
    auto work = memory(moeroute::plan_workspace_bytes(x, as_index(experts)));
    moeroute::make_plan(x, choices, as_index(experts), options, view, moeroute::workspace(work));
    token_of_slot.values.resize(static_cast<std::size_t>(this->rows())), token_of_slot.shape = {this->rows()};
    choice_of_slot.values.resize(static_cast<std::size_t>(this->rows())), choice_of_slot.shape = {this->rows()};
    view.token_of_slot = token_of_slot.row(), view.choice_of_slot = choice_of_slot.row();
  }
  planned(planned const&) = delete;
  planned& operator=(planned const&) = delete;

  std::int64_t rows() const { return offsets.values.back(); }  // in use, padding included
};

// Slots and counts as most frameworks keep them; -1 (none) stays, any other negative slot becomes -1.
inline tensor<std::int32_t> as_int32(tensor<std::int64_t> const& t, shape_t shape = {}) {
  auto out = t.as<std::int32_t>();
  for (auto& v : out.values) v = v < -1 ? -1 : v;
  if (!shape.empty()) out.shape = std::move(shape);
  return out;
}

}  // namespace moeroute_examples
