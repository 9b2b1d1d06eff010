// Decides how a test owns the arrays of a plan: every one poisoned, the workspace too.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <moeroute/plan.hpp>

template <class T>
std::vector<T> poisoned(std::int64_t n) {
  std::vector<T> v(static_cast<std::size_t>(n));
  if (n > 0) std::memset(v.data(), 0xFF, v.size() * sizeof(T));
  return v;
}

template <class Slot = moeroute::offset_t>
struct plan_arrays {
  std::vector<moeroute::offset_t> counts, kept, offsets;
  std::vector<Slot> slot_of_choice, token_of_slot, choice_of_slot, rank_of_choice;
  moeroute::plan_view<Slot> view{};

  plan_arrays(std::int64_t choices, int experts, std::int64_t rows)
      : counts(poisoned<moeroute::offset_t>(experts)),
        kept(poisoned<moeroute::offset_t>(experts)),
        offsets(poisoned<moeroute::offset_t>(experts + 1)),
        slot_of_choice(static_cast<std::size_t>(choices), Slot(77)),
        token_of_slot(static_cast<std::size_t>(rows), Slot(77)),
        choice_of_slot(static_cast<std::size_t>(rows), Slot(77)),
        rank_of_choice(static_cast<std::size_t>(choices), Slot(77)) {
    view.counts = counts;
    view.kept = kept;
    view.offsets = offsets;
    view.slot_of_choice = slot_of_choice;
    view.token_of_slot = token_of_slot;
    view.choice_of_slot = choice_of_slot;
    view.rank_of_choice = rank_of_choice;
  }
  plan_arrays(plan_arrays const&) = delete;
};

template <class Slot>
void check_same(plan_arrays<Slot> const& a, plan_arrays<Slot> const& b) {
  CHECK(a.counts == b.counts);
  CHECK(a.kept == b.kept);
  CHECK(a.offsets == b.offsets);
  CHECK(a.slot_of_choice == b.slot_of_choice);
  CHECK(a.token_of_slot == b.token_of_slot);
  CHECK(a.choice_of_slot == b.choice_of_slot);
  CHECK(a.rank_of_choice == b.rank_of_choice);
}

// The ids of `rows` as one array, with `stride` elements a row (0: as many as the first row has).
inline std::vector<int> flat(std::vector<std::vector<int>> const& rows, std::size_t stride = 0) {
  std::vector<int> out;
  for (auto const& r : rows) {
    out.insert(out.end(), r.begin(), r.end());
    for (std::size_t j = r.size(); j < stride; ++j) out.push_back(-7);  // never read
  }
  return out;
}
