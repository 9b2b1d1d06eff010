// Decides how numbers of any size are added so that every lane group gets the same bits: 32 classes
// (element e belongs to class e mod 32), each added in order, then one fixed tree over the classes.
#pragma once

#include <moeroute/core/group.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
template <index_t Half, class V>
MOEROUTE_HD inline void fold_upper_half(V* part) {
  for (index_t c = 0; c < Half; ++c) part[c] += part[c + Half];
  if constexpr (Half > 1) fold_upper_half<Half / 2>(part);
}
}  // namespace detail

// Folds i in [0, count) class by class with part = step(part, i), then adds the classes. Every lane calls
// it and receives it.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, lane_group G, class Step>
MOEROUTE_HD V tree_fold(G const& g, offset_t count, Step const& step) {
  if constexpr (requires { G::static_lanes; }) {  // a power of two: the upper half of the tree lies in each
    constexpr std::size_t lanes = G::static_lanes, own = 32 / lanes;  // lane, the lower is the butterfly
    V part[own] = {};
    for (std::size_t c = 0; c < own; ++c)
      for (offset_t i = static_cast<offset_t>(c * lanes) + g.rank(); i < count; i += 32) part[c] = step(part[c], i);
    for (std::size_t half = own / 2; half > 0; half /= 2)
      for (std::size_t c = 0; c < half; ++c) part[c] += part[c + half];
    return g.sum(part[0]);
  } else if constexpr (requires { g.of_first_part(V{}); }) {  // a block: its first warp does it
    return g.of_first_part(g.index == 0 ? moeroute::tree_fold<V>(g.part, count, step) : V(0));
  } else {
    if constexpr (is_serial<G>)
      if (count <= 8) {  // classes beyond the eighth would add nothing
        V part[8] = {};
        for (offset_t i = 0; i < count; ++i) part[i] = step(part[i], i);
        detail::fold_upper_half<4>(part);
        return part[0];
      }
    V part[32];
    for (index_t c = 0; c < 32; ++c) part[c] = 0;
    if constexpr (is_serial<G>) {  // all classes side by side: the row is read once, in order
      offset_t const whole = count / 32 * 32;
      for (offset_t first = 0; first < whole; first += 32)
        for (index_t c = 0; c < 32; ++c) part[c] = step(part[c], first + c);
      for (offset_t i = whole; i < count; ++i) part[i - whole] = step(part[i - whole], i);
    } else {
      for (index_t c = 0; c < 32; ++c) {
        if (c % g.size() == g.rank())
          for (offset_t i = c; i < count; i += 32) part[c] = step(part[c], i);
        part[c] = g.sum(part[c]);  // one lane's value, the others add 0
      }
    }
    detail::fold_upper_half<16>(part);
    return part[0];
  }
}

// Sum over i in [0, count) of term(i).
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, lane_group G, class Term>
MOEROUTE_HD V tree_sum(G const& g, offset_t count, Term const& term) {
  return moeroute::tree_fold<V>(g, count, [&](V sum, offset_t i) { return sum + term(i); });
}

template <class V, std::size_t N>
struct tree_totals {
  V of[N] = {};
};
// N sums in one pass, each in the order of tree_sum: add(sums, i) adds the terms of i to sums[0] .. sums[N - 1], and may
// do more, since it is called once for each i.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, std::size_t N, lane_group G, class Add>
MOEROUTE_HD tree_totals<V, N> tree_sums(G const& g, offset_t count, Add const& add) {
  tree_totals<V, N> total;
  if constexpr (requires { G::static_lanes; }) {
    constexpr std::size_t lanes = G::static_lanes, own = 32 / lanes;
    V part[own][N] = {};
    for (std::size_t c = 0; c < own; ++c)
      for (offset_t i = static_cast<offset_t>(c * lanes) + g.rank(); i < count; i += 32) add(part[c], i);
    for (std::size_t half = own / 2; half > 0; half /= 2)
      for (std::size_t c = 0; c < half; ++c)
        for (std::size_t f = 0; f < N; ++f) part[c][f] += part[c + half][f];
    for (std::size_t f = 0; f < N; ++f) total.of[f] = g.sum(part[0][f]);
  } else if constexpr (requires { g.of_first_part(V{}); }) {
    if (g.index == 0) total = moeroute::tree_sums<V, N>(g.part, count, add);
    for (std::size_t f = 0; f < N; ++f) total.of[f] = g.of_first_part(total.of[f]);
  } else {
    V part[32][N] = {};
    if constexpr (is_serial<G>) {
      for (offset_t i = 0; i < count; ++i) add(part[i % 32], i);
    } else {
      for (index_t c = 0; c < 32; ++c) {
        if (c % g.size() == g.rank())
          for (offset_t i = c; i < count; i += 32) add(part[c], i);
        for (std::size_t f = 0; f < N; ++f) part[c][f] = g.sum(part[c][f]);
      }
    }
    for (index_t half = 16; half > 0; half /= 2)
      for (index_t c = 0; c < half; ++c)
        for (std::size_t f = 0; f < N; ++f) part[c][f] += part[c + half][f];
    for (std::size_t f = 0; f < N; ++f) total.of[f] = part[0][f];
  }
  return total;
}

}  // namespace moeroute::inline MOEROUTE_ABI
