// Decides how a batch is routed and planned in one go: choices are counted and ranked while they are near, so that
// the plan waits for no count. The same routing as route, the same plan as make_plan, for any CPU executor.
//
//   while routing:  rank_c = #{choices of e before this one in its share of the tokens}, kept in slot_of_choice
//   afterwards:     slot_c = first slot of e in the share + rank_c
#pragma once

#include <moeroute/plan/make.hpp>
#include <moeroute/route.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// Routes a share of the tokens; table[s]: counts of its choices, odd as in count_share.
template <class Route, std::integral Id, std::signed_integral Slot>
struct route_and_rank {
  Route route;
  matrix_view<Id> chosen;
  id_ranges ids;
  offset_t shares;
  offset_t* table = nullptr;  // shares x (experts + 1), as in count_share
  offset_t* odd = nullptr;    // shares x 2
  Slot* slot_of_choice = nullptr;

  // As many as one block of the vector path: the choices of one are counted while the core starts on the next.
  static constexpr offset_t tokens_at_once = 16;
  offset_t scratch_bytes() const { return route.scratch_bytes(); }
  template <lane_group G>
  void operator()(G const& g, offset_t s, scratch space) const {
    if (g.rank() == 0) start(s);
    share_range const mine = share_range_of(chosen.rows, s, shares);
    for (offset_t t = mine.first; t < mine.last; ++t) {
      route(g, t, space);
      g.sync();
      if (g.rank() == 0) rank(s, t, t + 1);
      g.sync();
    }
  }
  offset_t rows_scratch_bytes() const {
    offset_t const one = route.scratch_bytes(), many = rows_scratch_of(route);
    return one > many ? one : many;
  }
  void rows(offset_t first, offset_t last, scratch space) const {
    for (offset_t s = first; s < last; ++s) {
      start(s);
      share_range const mine = share_range_of(chosen.rows, s, shares);
      for (offset_t t = mine.first; t < mine.last; t += tokens_at_once) {
        offset_t const end = mine.last - t < tokens_at_once ? mine.last : t + tokens_at_once;
        run_rows(route, t, end, space);
        rank(s, t, end);
      }
    }
  }

 private:
  void start(offset_t s) const {
    for (index_t e = 0; e <= ids.experts; ++e) table[s * (ids.experts + 1) + e] = 0;
    odd[2 * s] = 0;
  }
  void rank(offset_t s, offset_t first, offset_t last) const {
    id_ranges const known = ids;  // copies: ranks are written through a pointer that could point here
    offset_t const k = chosen.cols;
    offset_t* const count = table + s * (known.experts + 1);
    for (offset_t t = first; t < last; ++t) {
      Id const* const id = chosen[t].data;
      Slot* const slot = slot_of_choice + t * k;
      for (offset_t j = 0; j < k; ++j)
        if (known.is_expert(id[j])) {
          slot[j] = static_cast<Slot>(count[id[j]]++);
        } else {
          slot[j] = static_cast<Slot>(known.special_slot(id[j]));
          if (odd[2 * s] == 0 && !known.is_known(id[j])) odd[2 * s] = 1, odd[2 * s + 1] = static_cast<offset_t>(id[j]);
        }
    }
  }
};

// Ranks become slots. first: the first slot of each expert in each share.
template <std::integral Id, std::signed_integral Slot>
struct place_ranked {
  matrix_view<Id const> chosen;
  index_t experts;
  plan_view<Slot> plan;
  offset_t shares;
  offset_t const* table;  // shares x (experts + 1)

  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t s, scratch) const {
    share_range const mine = share_range_of(chosen.rows, s, shares);
    offset_t const k = chosen.cols;
    offset_t const *const first = table + s * (experts + 1), *const offsets = plan.offsets.data;
    Slot *const slots = plan.slot_of_choice.data, *const tokens = plan.token_of_slot.data;
    Slot *const choices = plan.choice_of_slot.data, *const ranks = plan.rank_of_choice.data;
    for (offset_t t = mine.first + g.rank(); t < mine.last; t += g.size()) {
      Id const* const id = chosen[t].data;
      for (offset_t c = t * k; c < (t + 1) * k; ++c) {
        if (slots[c] < 0) {
          if (ranks != nullptr) ranks[c] = Slot(-1);
          continue;
        }
        auto const e = static_cast<index_t>(id[c - t * k]);
        offset_t const slot = first[e] + slots[c];
        slots[c] = static_cast<Slot>(slot);
        if (tokens != nullptr) tokens[slot] = static_cast<Slot>(t);
        if (choices != nullptr) choices[slot] = static_cast<Slot>(c);
        if (ranks != nullptr) ranks[c] = static_cast<Slot>(slot - offsets[e]);
      }
    }
    g.sync();
  }
};

}  // namespace detail

// Bytes of workspace route_and_plan needs; grows with every argument.
template <executor X, any_router R, class T = float>
offset_t route_and_plan_workspace_bytes(X const& x, R const& r, offset_t tokens, index_t experts) {
  return route_workspace_bytes<X, R, T>(x, r, tokens, experts) + plan_workspace_bytes(x, experts) +
         aligned_bytes<offset_t>(static_cast<offset_t>(experts) + 1);
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
  offset_t const choices = plan.choices.size(), shares = shares_of(x), cells = static_cast<offset_t>(experts) + 1;
  detail::route_and_rank<route_row<R, T, H, Id, W>, Id, Slot> body{{r, in, out}, out.ids, ids, shares};
  offset_t const tables = aligned_bytes<offset_t>((shares + 1) * cells) + aligned_bytes<offset_t>(2 * shares);
  checks c;
  c.also(detail::check_plan(plan, choices, experts, plan_rows_bound(choices, experts, options.align)));
  c.also(workspace_ok(
      w, workspace_alignment + tables + body_workspace_bytes(x, body.scratch_bytes(), body.rows_scratch_bytes())));
  if (!c.result().ok()) return c.result();

  scratch mine = aligned_scratch(w);
  offset_t* const table = body.table = mine.take<offset_t>((shares + 1) * cells);
  offset_t* const odd = body.odd = mine.take<offset_t>(2 * shares);
  body.slot_of_choice = plan.slot_of_choice.data;
  workspace const rest{mine.at, w.data + w.bytes - mine.at};
  if (status const s = x.run(shares, body, rest); !s.ok()) return s;
  if (status const s = detail::report_odd(odd, shares, ids.known()); !s.ok()) return s;
  offset_t* const ends = table + shares * cells;  // a share without choices: its first slots are the ends
  for (index_t e = 0; e < experts; ++e) ends[e] = 0;
  offsets_of_counts<Slot>{plan, options.align, shares + 1, table}(serial_group{}, 0, scratch{});
  detail::place_ranked<Id, Slot> const place{out.ids, experts, plan, shares, table};
  if (status const s = x.run(shares, place, rest); !s.ok()) return s;
  return x.run(cells, mark_padding<Slot>{plan, ends}, rest);
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
