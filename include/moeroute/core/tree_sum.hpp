// Decides how numbers of any size are added so that every lane group gets the same bits: 32 classes
// (element e belongs to class e mod 32), each added in order, then one fixed tree over the classes.
#pragma once

#include <moeroute/core/group.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Sum over i in [0, count) of term(i). Every lane calls it and receives it.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, lane_group G, class Term>
MOEROUTE_HD V tree_sum(G const& g, offset_t count, Term const& term) {
  V part[32];
  if constexpr (requires { G::is_warp; }) {  // 32 lanes: a lane is a class, the tree is the butterfly
    V mine = 0;
    for (offset_t i = g.rank(); i < count; i += 32) mine += term(i);
    return g.sum(mine);
  } else {
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
