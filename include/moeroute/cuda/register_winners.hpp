// Decides who wins a row in registers, and whether that stands: the lanes merge their lists, eight winners a pass, and
// the check says where a filter key may have hidden somebody.
//
//   exact keys   the winners stand.
//   filter keys  the winners' exact keys are computed. They are right if no other key reaches the floor of the last
//                one, and their order if each beats the next; else the row is in doubt.
// k above 8: again, over the keys below the last winner. Groups: lists of closed groups are emptied.
#pragma once

#include <moeroute/cuda/register_groups.hpp>
#include <moeroute/cuda/register_list.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// A summary up to a common factor (score.hpp), which the largest logit of the row gives, and the score of it.
template <class Score>
concept sums_ratios =
    requires(Score const& s, serial_group g, memory_row<float> z) { s.ratio(s.summarize_ratios(g, z), 0.f); };

template <class Plain, class List>
struct register_winners;
template <class R, class T, class H, class Id, class W, class List>
struct register_winners<route_row<R, T, H, Id, W>, List> {
  using V = compute_t<T>;
  using key = network::key;
  using Select = std::remove_cvref_t<decltype(R::select)>;
  static constexpr index_t tile = List::tile;
  static constexpr bool grouped = detail::is_group_limited<Select>;
  // Where a common factor of the scores cancels, the first winner tells as much as the row.
  static constexpr bool may_wait = !grouped && ranks_logits<R> && sums_ratios<std::remove_cvref_t<decltype(R::score)>>;

  route_row<R, T, H, Id, W> const* plain;
  List const* list;
  bool wait;  // for the first winner, with the summary

  // Writes the ids of the winners. Their scores: the first eight in their lanes, all in `chosen` if k is not 8. True if
  // the filter cannot vouch for them.
  template <class G>
  MOEROUTE_HD bool choose(G const& g, offset_t t, bool known, row_view<V> chosen, V& mine) const {
    row_context const c = detail::context_of(plain->in, t, known);
    T const* const row = plain->in.logits[t].data;
    auto const summary = [&] {
      return plain->summary(g, mapped_row{vector_row{row, list->place}, detail::nan_to_closed{}});
    };
    decltype(summary()) m{};
    if (!may_wait || !wait) {
      m = summary();  // seldom if renormalized
    }
    index_t const k = static_cast<index_t>(chosen.size);
    typename List::keys own;
    standing n;
    pass(g, t, c, m, row, known, chosen, 0, own, n);
    mine = n.score;
    MOEROUTE_UNROLL_BY(1)
    for (index_t base = tile; base < k; base += tile) pass(g, t, c, m, row, known, chosen, base, own, n);  // seldom
    if constexpr (List::exact_keys) {
      return false;
    } else {
      // Where each winner beats the next, the last is the least.
      index_t const last = (k - 1) & (tile - 1);
      key const bar = list->floor_of(g.from_lane(n.exact.key, last)), least = g.from_lane(n.mine, last);
      bool const hidden = list->place.chunks() > 1 && own[tile - 1] >= bar;
      return n.doubt | hidden | (bar == 0) | network::any_within(own, bar, least);
    }
  }

 private:
  // What a pass leaves to the next one and to the check.
  struct standing {
    key mine = 0, ceiling = 0;  // this lane's winner, the last one
    V score = 0;                // of this lane's winner
    key open = 0;               // this lane's group: all bits, or none
    bool doubt = false;
    ranked<std::int32_t> exact{};  // this lane's winner
  };
  // Winners base, ..., base + 7; in later passes, of the keys below the last winner's.
  template <class G, class M>
  MOEROUTE_HD MOEROUTE_INLINE void pass(G const& g, offset_t t, row_context const& c, M& m, T const* row, bool known,
                                        row_view<V> chosen, index_t base, typename List::keys& own, standing& n) const {
    index_t const k = static_cast<index_t>(chosen.size), me = g.rank();
    bool const again = base > 0;
    list->best(g, plain->r, c, m, row, again, n.ceiling, own);
    if constexpr (grouped) {
      if (!again) n.open = is_open(g, c, m, row, own, n.doubt) ? ~key{0} : 0;
      MOEROUTE_UNROLL
      for (index_t i = 0; i < tile; ++i) own[i] &= n.open;
    }
    typename List::keys top;
    MOEROUTE_UNROLL
    for (index_t i = 0; i < tile; ++i) top[i] = own[i];
    network::best_of_lanes(g, top);
    n.ceiling = top[tile - 1];
    n.mine = network::at(top, me);
    bool const won = (G::static_lanes == tile || me < tile) && base + me < k;
    index_t const id = list->place.expert(n.mine);
    V const z = load(row[id]);
    if (won && known) plain->out.ids[t][base + me] = static_cast<Id>(id);
    n.score = score(g, m, z, again);
    if (won && k != tile) {
      chosen[base + me] = n.score;  // seldom
    }
    if constexpr (!List::exact_keys) {
      ranked<std::int32_t> before{largest<std::int32_t>, -1};
      if (again) before = {g.from_lane(n.exact.key, tile - 1), g.from_lane(n.exact.id, tile - 1)};
      n.exact = {order_key<V>(detail::key_of(plain->r, c, id, z, n.score)), id};
      index_t const left = (me - 1) & (G::static_lanes - 1);
      ranked<std::int32_t> above{g.from_lane(n.exact.key, left), g.from_lane(id, left)};
      if (me == 0) above = before;
      n.doubt |= won && !beats(above, n.exact);
    }
  }
  // Whether this lane's group is among the best.
  template <class G, class M>
  MOEROUTE_HD MOEROUTE_INLINE bool is_open(G const& g, row_context const& c, M const& m, T const* row,
                                           typename List::keys const& own, bool& doubt) const {
    auto const number_of = [&](index_t e) {
      V const z = load(row[e]), score = score_of(plain->r.score, m, detail::closed_if_nan(z));
      return detail::closed_if_nan(detail::key_of(plain->r, c, e, z, score));
    };
    auto const floor_of = [&](std::int32_t x) { return list->floor_of(x); };
    return detail::is_open(g, list->place, plain->r.select, own, number_of, floor_of, doubt);
  }
  // What this lane's winner of logit z scores; the first pass of a row that waits makes the summary from the first
  // winner.
  template <class G, class M>
  MOEROUTE_HD MOEROUTE_INLINE V score(G const& g, M& m, V z, bool again) const {
    bool const waits = may_wait && wait;
    V const x = detail::closed_if_nan(z);
    V s = 0;
    if constexpr (may_wait) {
      if (waits && !again) {
        V first = detail::closed_if_nan(g.from_lane(z, 0));
        m = plain->r.score.summarize_ratios(serial_group{}, memory_row<V>{&first, 1});
      }
      if (waits) s = plain->r.score.ratio(m, x);
    }
    if (!waits) {
      s = score_of(plain->r.score, m, x);  // seldom if renormalized
    }
    return s;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
