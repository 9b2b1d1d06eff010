// Decides the N best of keys that lie in registers: each lane sorts its own by a network, chunk by chunk, then lanes
// merge their best in a butterfly, so that every lane holds the winners, best first.
//
// A key is a larger-is-better 32-bit number with the inverted id in its low bits: distinct, so no ties. A key of 0 is
// nobody.
// Network: Batcher's odd-even merge sort; merge: the bitonic half-cleaner.
#pragma once

#include <moeroute/core/butterfly_group.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace network {

using key = std::uint32_t;

MOEROUTE_HD MOEROUTE_INLINE void order(key& a, key& b) {
  key const high = a > b ? a : b, low = a > b ? b : a;
  a = high;
  b = low;
}
// Descending; N a power of two.
template <std::size_t Size>
MOEROUTE_HD MOEROUTE_INLINE void sort(key (&a)[Size]) {
  constexpr auto N = static_cast<index_t>(Size);
  MOEROUTE_UNROLL
  for (index_t p = 1; p < N; p *= 2) MOEROUTE_UNROLL
  for (index_t q = p; q >= 1; q /= 2) MOEROUTE_UNROLL
  for (index_t i = 0; i < N - q; ++i)
    if (i >= q % p && (i - q % p) / q % 2 == 0 && i / (2 * p) == (i + q) / (2 * p)) order(a[i], a[i + q]);
}
// The best N of two descending lists, descending; those of a are worth `rise` more.
template <std::size_t Size>
MOEROUTE_HD MOEROUTE_INLINE void merge(key (&a)[Size], key const (&b)[Size], key rise = 0) {
  constexpr auto N = static_cast<index_t>(Size);
  MOEROUTE_UNROLL
  for (index_t i = 0; i < N; ++i) {
    key const x = a[i] + rise, y = b[N - 1 - i];
    a[i] = x > y ? x : y;
  }
  MOEROUTE_UNROLL
  for (index_t d = N / 2; d > 0; d /= 2) MOEROUTE_UNROLL
  for (index_t i = 0; i < N; ++i)
    if ((i & d) == 0) order(a[i], a[i + d]);
}
// top, worth `rise` more, takes in a chunk of N more keys, which are sorted on the way.
template <std::size_t Size>
MOEROUTE_HD MOEROUTE_INLINE void take_in(key (&top)[Size], key (&chunk)[Size], key rise = 0) {
  sort(chunk);
  merge(top, chunk, rise);
}
// Whether a key lies in [from, to), which is not empty; of an empty one it may be anything.
template <std::size_t Size>
MOEROUTE_HD MOEROUTE_INLINE bool any_within(key const (&a)[Size], key from, key to) {
  key most = 0;  // to - 1 is the largest number after the shift
  MOEROUTE_UNROLL
  for (std::size_t i = 0; i < Size; ++i) most = a[i] - to > most ? a[i] - to : most;
  return most >= from - to;
}
// a[i], the array kept in registers.
template <class T, std::size_t Size>
MOEROUTE_HD MOEROUTE_INLINE T at(T const (&a)[Size], index_t i) {
  T b[Size];
  MOEROUTE_UNROLL
  for (std::size_t j = 0; j < Size; ++j) b[j] = a[j];
  MOEROUTE_UNROLL
  for (std::size_t n = Size, bit = 1; n > 1; n /= 2, bit *= 2) MOEROUTE_UNROLL
  for (std::size_t j = 0; j < n / 2; ++j) b[j] = (static_cast<std::size_t>(i) & bit) != 0 ? b[2 * j + 1] : b[2 * j];
  return b[0];
}
// top = the best N of all lanes' lists, in every lane.
template <class G, std::size_t Size>
MOEROUTE_HD MOEROUTE_INLINE void best_of_lanes(G const& g, key (&top)[Size]) {
  MOEROUTE_UNROLL
  for (index_t d = 1; d < G::static_lanes; d *= 2) {
    key other[Size];
    MOEROUTE_UNROLL
    for (index_t i = 0; i < static_cast<index_t>(Size); ++i) other[i] = g.exchange(top[i], d);
    merge(top, other);
  }
}

}  // namespace network
}  // namespace moeroute::inline MOEROUTE_ABI
