// Decides how numbers of any size are added so that every lane group gets the same bits: 32 classes
// (element e belongs to class e mod 32), each added in order, then one fixed tree over the classes.
#pragma once

#include <moeroute/core/group.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Sum over i in [0, count) of term(i). Every lane calls it and receives it.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, lane_group G, class Term>
MOEROUTE_HD V tree_sum(G const& g, offset_t count, Term const& term) {
  if constexpr (requires { G::static_lanes; }) {  // a power of two: the upper half of the tree lies in each lane,
    constexpr std::size_t lanes = G::static_lanes, own = 32 / lanes;  // the lower half is the butterfly
    V part[own] = {};
    for (std::size_t c = 0; c < own; ++c)
      for (offset_t i = static_cast<offset_t>(c * lanes) + g.rank(); i < count; i += 32) part[c] += term(i);
    for (std::size_t half = own / 2; half > 0; half /= 2)
      for (std::size_t c = 0; c < half; ++c) part[c] += part[c + half];
    return g.sum(part[0]);
  } else if constexpr (requires { g.of_first_part(V{}); }) {
    return g.of_first_part(g.index == 0 ? moeroute::tree_sum<V>(g.part, count, term) : V(0));
  } else {
    V part[32];
    for (index_t c = 0; c < 32; ++c) {
      part[c] = 0;
      if (c % g.size() == g.rank())
        for (offset_t i = c; i < count; i += 32) part[c] += term(i);
      if constexpr (!is_serial<G>) part[c] = g.sum(part[c]);  // one lane's value, the others add 0
    }
    for (index_t half = 16; half > 0; half /= 2)
      for (index_t c = 0; c < half; ++c) part[c] += part[c + half];
    return part[0];
  }
}

}  // namespace moeroute::inline MOEROUTE_ABI
