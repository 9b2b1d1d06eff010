// Decides where dropped choices go instead: to free experts at random, to an expert at home, or how free rows
// are filled with next-best tokens. Each changes ids (or priorities) before a second, final plan.
//
//   recycle  dropped choices, token by token, to an expert drawn evenly among those that still have room and
//            the token does not have: nobody is dropped while such an expert exists   Hunyuan-Large (P21)
//   IR       a dropped (t, e) goes to argmax p_{t,j} over experts j of the token's own rank that it does not
//            have, without limit; else no_expert                                      Rectify-Router (S114)
//   FR       queue of K + M choices: the first K before level K + 1 before ..., inside a level by p descending;
//            a plan by these priorities fills free rows and no more                   Rectify-Router (S114)
// Weights: score the new ids with the current logits (select/replay.hpp), then renormalize over the realized.
#pragma once

#include <moeroute/core/philox.hpp>
#include <moeroute/plan/expert_parallel.hpp>
#include <moeroute/plan/kept_weights.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class Id>
MOEROUTE_HD bool has_choice(Id const* id, offset_t n, offset_t e) {
  for (offset_t j = 0; j < n; ++j)
    if (id[j] != no_expert_of<Id> && static_cast<offset_t>(id[j]) == e) return true;
  return false;
}

// One row of work, token after token: rooms change as they are given away.
template <std::integral Id, std::signed_integral Slot>
struct recycle_all {
  plan_view<Slot> plan;
  matrix_view<Id> ids;  // tokens x k, or 1 x all
  offset_t capacity;
  draws random;
  row_view<offset_t const> token;
  offset_t* room;  // experts

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    if (g.rank() == 0) {
      index_t const experts = plan.experts();
      for (index_t e = 0; e < experts; ++e) room[e] = capacity - plan.kept[e];
      for (offset_t t = 0; t < plan.choices.tokens; ++t) {
        Id* const id = values_of(ids, plan.choices, t);
        offset_t const first = plan.choices.first(t), n = plan.choices.last(t) - first;
        for (offset_t j = 0; j < n; ++j)
          if (plan.slot_of_choice[first + j] == static_cast<Slot>(dropped_slot))
            move(id, n, j, token.empty() ? t : token[t]);
      }
    }
    g.sync();
  }

 private:
  MOEROUTE_HD void move(Id* id, offset_t n, offset_t j, offset_t name) const {
    index_t const experts = plan.experts();
    std::uint64_t open = 0;
    for (index_t e = 0; e < experts; ++e) open += room[e] > 0 && !has_choice(id, n, e) ? 1u : 0u;
    if (open == 0) return;
    std::uint64_t left = std::uint64_t{random.bits(name, static_cast<index_t>(j))} * open >> 32;
    for (index_t e = 0; e < experts; ++e) {
      if (room[e] <= 0 || has_choice(id, n, e)) continue;
      if (left-- != 0) continue;
      --room[e];
      id[j] = static_cast<Id>(e);
      return;
    }
  }
};

template <std::integral Id, element P, std::signed_integral Slot>
struct rectify_local_row {
  plan_view<Slot> plan;
  matrix_view<P const> scores;   // tokens x experts
  row_view<index_t const> home;  // tokens: its rank
  index_t ranks;
  matrix_view<Id> ids;

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (g.rank() == 0) {
      Id* const id = values_of(ids, plan.choices, t);
      offset_t const first = plan.choices.first(t), n = plan.choices.last(t) - first;
      expert_range const mine = experts_of_rank(plan.experts(), ranks, home[t]);
      for (offset_t j = 0; j < n; ++j) {
        if (plan.slot_of_choice[first + j] != static_cast<Slot>(dropped_slot)) continue;
        index_t best = -1;
        for (index_t e = mine.first; e < mine.last; ++e)
          if (!has_choice(id, n, e) && (best < 0 || order_key(load(scores[t][e])) > order_key(load(scores[t][best]))))
            best = e;
        id[j] = best < 0 ? no_expert_of<Id> : static_cast<Id>(best);
      }
    }
    g.sync();
  }
};

template <element P>
struct level_row {
  matrix_view<P const> scores;  // tokens x (k + extra): of the choices, in [0, 1]
  offset_t k;
  matrix_view<double> keys;

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    for (offset_t j = g.rank(); j < scores.cols; j += g.size()) {
      offset_t const level = j < k ? 0 : j - k + 1;
      keys[t][j] = static_cast<double>(load(scores[t][j])) - static_cast<double>(2 * level);
    }
    g.sync();
  }
};

}  // namespace detail

// Bytes recycle needs.
template <executor X>
offset_t recycle_workspace_bytes(X const& x, index_t experts) {
  return x.workspace_bytes(0) + workspace_alignment + aligned_bytes<offset_t>(experts);
}
// `plan`: the plan that dropped (with kept), `capacity`: rows an expert may take. Changes `ids` in place; plan
// them again with the same queue and capacity: what was kept stays kept, what found room is kept too.
template <executor X, std::integral Id, std::signed_integral Slot>
status try_recycle_dropped(X const& x, plan_view<Slot> const& plan, offset_t capacity, draws const& random,
                           matrix_view<Id> ids, workspace w, row_view<offset_t const> token = {}) noexcept {
  checks c;
  detail::check_plan_in_use(x, c, plan);
  c.must_be("plan.kept size", plan.kept.size, plan.experts(), errc::missing).at_least("capacity", capacity, 0);
  fits_choices(c, "ids rows", "ids columns", matrix_view<Id const>(ids), plan.choices);
  c.empty_or("token size", token, plan.choices.tokens)
      .also(workspace_ok(w, recycle_workspace_bytes(x, plan.experts())));
  if (!c.result().ok()) return c.result();
  scratch mine = aligned_scratch(w);
  auto* const room = mine.template take<offset_t>(plan.experts());
  detail::recycle_all<Id, Slot> const body{plan, ids, capacity, random, token, room};
  return x.run(1, body, {mine.at, w.data + w.bytes - mine.at});
}
template <executor X, std::integral Id, std::signed_integral Slot>
void recycle_dropped(X const& x, plan_view<Slot> const& plan, offset_t capacity, draws const& random,
                     matrix_view<Id> ids, workspace w, row_view<offset_t const> token = {}) {
  throw_if_bad(try_recycle_dropped(x, plan, capacity, random, ids, w, token));
}

// IR: `home` is the rank of every token, experts lie on `ranks` ranks in runs. Changes `ids` in place; plan
// them again without a capacity.
template <executor X, std::integral Id, class P, std::signed_integral Slot>
status try_rectify_local(X const& x, plan_view<Slot> const& plan, matrix_view<P> scores, row_view<index_t const> home,
                         index_t ranks, matrix_view<Id> ids) noexcept {
  checks c;
  detail::check_plan_in_use(x, c, plan);
  c.at_least("ranks", ranks, 1).must_be("home size", home.size, plan.choices.tokens);
  c.must_be("scores rows", scores.rows, plan.choices.tokens).must_be("scores columns", scores.cols, plan.experts());
  fits_choices(c, "ids rows", "ids columns", matrix_view<Id const>(ids), plan.choices).strided("scores", scores);
  if constexpr (runs_on_host<X>)
    for (offset_t t = 0; t < home.size && c.result().ok(); ++t)
      c.at_least("home", home[t], 0).at_most("home", home[t], ranks - 1);
  if (!c.result().ok()) return c.result();
  return x.run(plan.choices.tokens,
               detail::rectify_local_row<Id, std::remove_const_t<P>, Slot>{plan, scores, home, ranks, ids}, {});
}
template <executor X, std::integral Id, class P, std::signed_integral Slot>
void rectify_local(X const& x, plan_view<Slot> const& plan, matrix_view<P> scores, row_view<index_t const> home,
                   index_t ranks, matrix_view<Id> ids) {
  throw_if_bad(try_rectify_local(x, plan, scores, home, ranks, ids));
}

// FR: keys for queue_order::score over k + extra choices, whose scores lie in [0, 1]. In double, so that the
// levels do not blur scores: those that differ by 1e-15 or more keep their order.
template <executor X, class P>
status try_fill_keys(X const& x, matrix_view<P> scores, index_t k, matrix_view<double> keys) noexcept {
  checks c;
  c.must_be("keys rows", keys.rows, scores.rows).must_be("keys columns", keys.cols, scores.cols);
  c.at_least("k", k, 1).at_most("k", k, scores.cols).strided("scores", scores).strided("keys", keys);
  if (!c.result().ok()) return c.result();
  return x.run(scores.rows, detail::level_row<std::remove_const_t<P>>{scores, k, keys}, {});
}
template <executor X, class P>
void fill_keys(X const& x, matrix_view<P> scores, index_t k, matrix_view<double> keys) {
  throw_if_bad(try_fill_keys(x, scores, k, keys));
}

}  // namespace moeroute::inline MOEROUTE_ABI
