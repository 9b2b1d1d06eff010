// Decides the dropless plan: every choice of an expert gets a row, rows of an expert are rounded up to a
// multiple of `align`, and choices keep the order of the tokens.
//
//   slot = offsets[e] + #{choices of e before this one in (token, choice) order}
//   offsets[e + 1] = offsets[e] + align * ceil(count_e / align)
#pragma once

#include <moeroute/plan/rank.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct plan_options {
  offset_t align = 1;    // rows of an expert are a multiple of this
  index_t identity = 0;  // ids experts, experts + 1, ...: the token itself (LongCat-Flash)
  index_t null = 0;      // the ids after those: nothing (AdaMoE)
};

// ---- checks ------------------------------------------------------------------------------------------------

template <std::integral Id>
status validate(choices_view<Id> const& in) {
  checks c;
  choice_shape const shape = in.shape();
  c.empty_or("choices.valid size", in.valid, shape.tokens);
  if (!shape.ragged()) return c.strided("choices.ids", in.ids).result();
  c.must_be("choices.ids rows of ragged choices", in.ids.rows, 1);
  c.must_be("choices.offsets[0]", in.offsets[0], 0, errc::bad_value);
  for (offset_t t = 0; t < shape.tokens && c.result().ok(); ++t)
    c.at_least("choices.offsets[t + 1]", in.offsets[t + 1], in.offsets[t]);
  return c.must_be("choices.offsets[tokens]", in.offsets[shape.tokens], in.ids.cols, errc::bad_value).result();
}

namespace detail {

template <std::integral Id>
status check_ids(choices_view<Id> const& in, id_ranges const& ids, offset_t align) {
  checks c;
  c.also(validate(in)).at_least("experts", ids.experts, 1).at_least("plan.align", align, 1);
  c.at_least("plan.identity", ids.identity, 0).at_least("plan.null", ids.null, 0);
  return c.at_most("experts for this id type", ids.known(), nameable_experts<Id>, errc::bad_shape).result();
}

// Arrays of a plan for so many choices and rows; what is left out is left out.
template <std::signed_integral Slot>
status check_plan(plan_view<Slot> const& plan, offset_t choices, index_t experts, offset_t rows) {
  checks c;
  c.must_be("plan.offsets size", plan.offsets.size, static_cast<offset_t>(experts) + 1);
  c.empty_or("plan.counts size", plan.counts, experts).empty_or("plan.kept size", plan.kept, experts);
  c.must_be("plan.slot_of_choice size", plan.slot_of_choice.size, choices);
  c.empty_or("plan.rank_of_choice size", plan.rank_of_choice, choices);
  if (!plan.token_of_slot.empty())
    c.at_least("plan.token_of_slot size", plan.token_of_slot.size, rows, errc::too_small);
  if (!plan.choice_of_slot.empty())
    c.at_least("plan.choice_of_slot size", plan.choice_of_slot.size, rows, errc::too_small);
  offset_t const most = sizeof(Slot) < 8 ? static_cast<offset_t>(largest<Slot>) : largest<offset_t>;
  return c.at_most("rows for this slot type", rows > choices ? rows : choices, most, errc::bad_shape).result();
}

// The first id that nobody knows.
inline status report_odd(offset_t const* odd, offset_t shares, offset_t known) {
  for (offset_t s = 0; s < shares; ++s)
    if (odd[2 * s] != 0)
      return {errc::bad_value, "choices.ids (an id that is not no_expert)", "must be at least 0 and below",
              odd[2 * s + 1], known};
  return {};
}

}  // namespace detail

// ---- the verb ------------------------------------------------------------------------------------------------

// Bytes of workspace make_plan needs; grows with every argument.
template <executor X>
offset_t plan_workspace_bytes(X const& x, index_t experts) {
  offset_t const shares = shares_of(x);
  return x.workspace_bytes(0) + workspace_alignment + aligned_bytes<offset_t>((shares + 1) * experts) +
         aligned_bytes<offset_t>(2 * shares);
}

// Where every choice goes. plan.choices is set; arrays of `plan` are the caller's.
template <executor X, std::integral Id, std::signed_integral Slot>
  requires runs_on_host<X>
status try_make_plan(X const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
                     plan_view<Slot>& plan, workspace w) noexcept {
  id_ranges const ids{experts, options.identity, options.null};
  if (status const s = detail::check_ids(in, ids, options.align); !s.ok()) return s;
  plan.choices = in.shape();
  offset_t const choices = plan.choices.size();
  checks c;
  c.also(detail::check_plan(plan, choices, experts, plan_rows_bound(choices, experts, options.align)));
  c.also(workspace_ok(w, plan_workspace_bytes(x, experts)));
  if (!c.result().ok()) return c.result();

  offset_t const shares = shares_of(x);
  scratch mine = aligned_scratch(w);
  auto* const table = mine.take<offset_t>((shares + 1) * experts);
  auto* const odd = mine.take<offset_t>(2 * shares);
  workspace const rest{mine.at, w.data + w.bytes - mine.at};

  rank_share<Id, Slot> const rank{in, ids, shares, table, odd, plan.slot_of_choice.data};
  if (status const s = x.run(shares, rank, rest); !s.ok()) return s;
  if (status const s = detail::report_odd(odd, shares, ids.known()); !s.ok()) return s;
  offsets_of_counts(plan, options.align, shares, table);
  return x.run(shares, place_ranked<Id, Slot>{in, plan, shares, table}, rest);
}
template <executor X, std::integral Id, std::signed_integral Slot>
  requires runs_on_host<X>
void make_plan(X const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
               plan_view<Slot>& plan, workspace w) {
  throw_if_bad(try_make_plan(x, in, experts, options, plan, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
