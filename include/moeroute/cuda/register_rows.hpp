// Decides how a token is routed with its row in registers: several tokens a warp, and the k best by a sorting network.
// The same policies, the same ids and the same weights as route_row, bit for bit; what it does not serve runs there.
//
//   register_layout   where the experts lie in the lanes' registers
//   register_keys     32-bit keys, exact or filtering
//   register_list     a lane's best keys
//   register_groups   which expert groups are open
//   register_winners  the best of all lanes, and whether they are beyond doubt
//   register_repair   a row in doubt: the plain rule; and what else few calls ask for
// Rows of a warp march together; `live` is false for one that only marches along.
#pragma once

#include <moeroute/cuda/register_repair.hpp>
#include <moeroute/cuda/register_winners.hpp>
#include <moeroute/select/top_k.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
template <class S>
inline constexpr bool is_top_k = false;
template <class K>
inline constexpr bool is_top_k<top_k<K>> = true;
}  // namespace detail

template <class R, class T, class H, class Id, class W, index_t Lanes, index_t Experts = 0, index_t Groups = 8>
struct route_in_registers {
  using V = compute_t<T>;
  using S = std::remove_cvref_t<decltype(R::select)>;
  static constexpr bool grouped = detail::is_group_limited<S>;
  static constexpr index_t lanes = Lanes;
  using layout = register_layout<Lanes, detail::vector_of<T>(grouped ? Experts / Lanes : 0), grouped, Experts, Groups>;
  using lists = register_list<R, T, layout>;
  static constexpr index_t tile = lists::tile;

  // Policies it can serve at all; `serves` asks for the numbers.
  static constexpr bool possible = std::same_as<V, float> && is_none<decltype(R::prior)> &&
                                   (detail::is_top_k<S> || (grouped && Experts % Groups == 0 && Lanes % Groups == 0));

  route_row<R, T, H, Id, W> plain;
  lists list;
  bool wait = false;  // for the first winner, with the summary

  static route_in_registers of(route_row<R, T, H, Id, W> const& row) {
    route_in_registers b{
        row, lists::of(layout::of(static_cast<index_t>(row.in.logits.cols), detail::groups_of(row.r.select)))};
    if (!b.list.on_vectors(row.r, row.in.logits)) b.list.place.without_vectors();
    b.wait = row.ratios_suffice();
    return b;
  }
  bool serves() const {
    index_t const k = plain.r.select.experts_per_token();
    offset_t const experts = plain.in.logits.cols;
    bool good = possible && (list.place.vectors_ || !layout::known) && k >= 1 && k <= 4 * tile && k <= experts;
    good = good && (layout::known ? experts == Experts : experts <= (lists::exact_keys ? 1 << 15 : 1 << 10));
    if constexpr (grouped) {
      auto const& s = plain.r.select;
      good = good && (layout::known ? s.groups == Groups : s.groups <= Lanes && (s.groups & (s.groups - 1)) == 0);
      index_t const n = good ? s.group_score.count(k, s.top_groups) : 3;
      good = good && s.closed == closed_groups::minus_infinity && n <= 2 && n * s.groups <= experts;
    }
    return good;
  }
  offset_t scratch_bytes() const { return aligned_bytes<V>(plain.out.ids.cols); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s, bool live) const {
    static_assert(G::static_lanes == Lanes);
    auto const& in = plain.in;
    register_repair<route_row<R, T, H, Id, W>, layout> const repair{&plain, &list.place};
    register_winners<route_row<R, T, H, Id, W>, lists> const winners{&plain, &list, wait};
    bool known = live && knows_row(plain.r, in, t), bad = false;
    if (in.nan != nan_rule::rank_last) {
      bad = repair.has_nan(g, t);                               // seldom
      known = known && !(bad && in.nan == nan_rule::drop_row);  // seldom
    }
    row_view<V> const chosen{s.take<V>(plain.out.ids.cols), plain.out.ids.cols};
    V mine = 0;
    if (g.any_near(winners.choose(g, t, known, chosen, mine))) {
      repair.choose(g, t, known, chosen);                                          // seldom
      mine = chosen[g.rank() < static_cast<index_t>(chosen.size) ? g.rank() : 0];  // seldom
    }
    weigh(g, t, known, bad, repair, chosen, mine);
    if (!known) {
      repair.nobody(g, t, live);  // seldom
    }
    if (!plain.out.scores.empty()) {
      repair.scores(g, t, known);  // seldom
    }
    g.sync();
  }

 private:
  // Eight winners' weights are computed by every lane, and each writes its own.
  template <class G, class Repair>
  MOEROUTE_HD void weigh(G const& g, offset_t t, bool known, bool bad, Repair const& repair, row_view<V> chosen,
                         V mine) const {
    row_view<W> const weights = plain.out.weights[t];
    if (static_cast<index_t>(chosen.size) == tile) {
      V w[std::size_t{tile}];
      MOEROUTE_UNROLL
      for (index_t j = 0; j < tile; ++j) w[j] = g.from_lane(mine, j);
      plain.r.weigh(row_view<V>{w, tile});
      if (known && g.rank() < tile)
        weights[g.rank()] = static_cast<W>(bad ? not_a_number<V> : network::at(w, g.rank()));
    } else {
      repair.weigh(g, chosen);                                                                // seldom: k is another
      for (index_t j = g.rank(); known && j < static_cast<index_t>(chosen.size); j += Lanes)  // seldom
        weights[j] = static_cast<W>(bad ? not_a_number<V> : chosen[j]);                       // seldom
    }
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
