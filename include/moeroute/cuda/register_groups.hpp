// Decides which expert groups are open (group_limited_top_k) where a group lies in one lane or several: by the heads of
// their sorted lists, or by the two best numbers of a row in doubt.
#pragma once

#include <moeroute/core/key_network.hpp>
#include <moeroute/core/order.hpp>
#include <moeroute/cuda/register_layout.hpp>
#include <moeroute/select/group_limited_top_k.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

template <class S>
inline constexpr bool is_group_limited = false;
template <class Score>
inline constexpr bool is_group_limited<group_limited_top_k<Score>> = true;

template <class S>
constexpr index_t groups_of(S const& select) {
  if constexpr (is_group_limited<S>) return select.groups < 1 ? 1 : select.groups;
  else return static_cast<void>(select), 1;
}
template <class S>
MOEROUTE_HD bool ranks_by_two(S const& select) {
  return select.group_score.count(select.k, select.top_groups) == 2;
}

// Whether this lane's group is among the best; a group ranks by its best number, or by the sum of its two best.
template <class G, class Layout, class S, class V>
MOEROUTE_HD bool is_among_best(G const& g, Layout const& place, S const& select, V first, V second) {
  std::int32_t const mine = order_key<V>(ranks_by_two(select) ? first + second : first);
  index_t const group = g.rank() >> place.per_group_bits();
  index_t better = 0;
  MOEROUTE_UNROLL
  for (index_t q = 0; q < (Layout::known ? Layout::known_groups : select.groups); ++q) {
    std::int32_t const other = g.from_lane(mine, q * place.per_group());
    better += other > mine || (other == mine && q < group);
  }
  return better < select.top_groups;
}

// The same from the heads of the lanes' lists: number_of(e) gives the exact number of an expert, floor_of(its order key)
// what no key of a number at least as large lies below. `doubt` where a head that was not asked may be larger.
template <class G, class Layout, class S, std::size_t Size, class Number, class Floor>
MOEROUTE_HD bool is_open(G const& g, Layout const& place, S const& select, network::key const (&list)[Size],
                         Number const& number_of, Floor const& floor_of, bool& doubt) {
  network::key head[4] = {list[0], list[1], list[2], list[3]};
  for (index_t d = 1; d < place.per_group(); d *= 2) {
    network::key other[4];
    MOEROUTE_UNROLL
    for (index_t i = 0; i < 4; ++i) other[i] = g.exchange(head[i], d);
    network::merge(head, other);
  }
  auto const first = number_of(place.expert(head[0])), second = number_of(place.expert(head[1]));
  bool const two = ranks_by_two(select);
  using V = std::remove_const_t<decltype(first)>;
  doubt = doubt || (two ? head[2] : head[1]) >= floor_of(order_key<V>(two ? math::min(first, second) : first));
  return is_among_best(g, place, select, first, second);
}

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
