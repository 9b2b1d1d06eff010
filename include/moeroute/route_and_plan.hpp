// Decides how a batch is routed and planned in one go: who routes a share of the tokens ranks its choices too, so that
// threads meet once less. The same routing as route, the same plan as make_plan, for any CPU executor.
#pragma once

#include <moeroute/plan/make.hpp>
#include <moeroute/route.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// Routes a share of the tokens, then ranks what they chose.
template <class Route, std::integral Id, std::signed_integral Slot>
struct route_and_rank {
  Route route;
  rank_share<Id, Slot> rank;

  offset_t scratch_bytes() const { return route.scratch_bytes(); }
  template <lane_group G>
  void operator()(G const& g, offset_t s, scratch space) const {
    share_range const mine = tokens_of(s);
    for (offset_t t = mine.first; t < mine.last; ++t) {
      route(g, t, space);
      g.sync();
    }
    rank(g, s, space);
  }
  offset_t rows_scratch_bytes() const {
    offset_t const one = route.scratch_bytes(), many = rows_scratch_of(route);
    return one > many ? one : many;
  }
  void rows(offset_t first, offset_t last, scratch space) const {
    for (offset_t s = first; s < last; ++s) {
      share_range const mine = tokens_of(s);
      run_rows(route, mine.first, mine.last, space);
      rank(serial_group{}, s, space);
    }
  }

 private:
  share_range tokens_of(offset_t s) const { return share_range_of(rank.in.ids.rows, s, rank.shares); }
};

}  // namespace detail

// Bytes of workspace route_and_plan needs; grows with every argument.
template <executor X, any_router R, class T = float>
offset_t route_and_plan_workspace_bytes(X const& x, R const& r, offset_t tokens, index_t experts) {
  return route_workspace_bytes<X, R, T>(x, r, tokens, experts) + plan_workspace_bytes(x, experts);
}

// route, then make_plan of what it chose. A choice that is no expert of the plan must be in options.identity or
// options.null, as there.
template <executor X, token_choice_router R, class T, class H, class Id, class W, std::signed_integral Slot>
  requires runs_on_host<X>
status try_route_and_plan(X const& x, R const& r, batch<T, H> in, routing_view<Id, W> out, index_t experts,
                          plan_options const& options, plan_view<Slot>& plan, workspace w) noexcept {
  if (status const s = detail::gate_logits(x, r, in, w); !s.ok()) return s;
  if (status const s = validate(r, in, out); !s.ok()) return s;
  if (status const s = validate_modalities(x, r, in); !s.ok()) return s;
  id_ranges const ids{experts, options.identity, options.null};
  choices_view<Id> const chosen{.ids = out.ids};
  if (status const s = detail::check_ids(chosen, ids, options.align); !s.ok()) return s;
  plan.choices = chosen.shape();
  offset_t const choices = plan.choices.size(), shares = shares_of(x);
  detail::route_and_rank<route_row<R, T, H, Id, W>, Id, Slot> body{
      {r, in, out}, {chosen, ids, shares, nullptr, nullptr, plan.slot_of_choice.data}};
  offset_t const needed = body_workspace_bytes(x, body.scratch_bytes(), body.rows_scratch_bytes());
  checks c;
  c.also(detail::check_plan(plan, choices, experts, plan_rows_bound(choices, experts, options.align)));
  c.also(workspace_ok(w, plan_workspace_bytes(x, experts) + needed));
  if (!c.result().ok()) return c.result();

  scratch mine = aligned_scratch(w);
  offset_t* const table = body.rank.table = mine.take<offset_t>((shares + 1) * experts);
  offset_t* const odd = body.rank.odd = mine.take<offset_t>(2 * shares);
  workspace const rest{mine.at, w.data + w.bytes - mine.at};
  if (status const s = x.run(shares, body, rest); !s.ok()) return s;
  if (status const s = detail::report_odd(odd, shares, ids.known()); !s.ok()) return s;
  offsets_of_counts(plan, options.align, shares, table);
  return x.run(shares, place_ranked<Id, Slot>{chosen, plan, shares, table}, rest);
}
template <executor X, token_choice_router R, class Id, class W, std::signed_integral Slot>
  requires runs_on_host<X>
status try_route_and_plan(X const& x, R const& r, batch<> const& in, routing_view<Id, W> out, index_t experts,
                          plan_options const& options, plan_view<Slot>& plan, workspace w) noexcept {
  return try_route_and_plan<X, R, float, float, Id, W, Slot>(x, r, in, out, experts, options, plan, w);
}

template <executor X, token_choice_router R, class T, class H, class Id, class W, std::signed_integral Slot>
  requires runs_on_host<X>
void route_and_plan(X const& x, R const& r, batch<T, H> const& in, routing_view<Id, W> out, index_t experts,
                    plan_options const& options, plan_view<Slot>& plan, workspace w) {
  throw_if_bad(try_route_and_plan(x, r, in, out, experts, options, plan, w));
}
template <executor X, token_choice_router R, class Id, class W, std::signed_integral Slot>
  requires runs_on_host<X>
void route_and_plan(X const& x, R const& r, batch<> const& in, routing_view<Id, W> out, index_t experts,
                    plan_options const& options, plan_view<Slot>& plan, workspace w) {
  throw_if_bad(try_route_and_plan(x, r, in, out, experts, options, plan, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
