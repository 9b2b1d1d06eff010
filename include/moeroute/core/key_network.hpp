// Decides the k best of keys that lie in registers: each lane sorts its own by a network, then lanes merge
// their best in a butterfly, so that every lane holds the winners, best first.
//
// A key is a larger-is-better 32-bit number with the inverted id in its low bits: distinct, so no ties.
// Network: Batcher's odd-even merge sort; merge: the bitonic half-cleaner.
#pragma once

#include <moeroute/core/butterfly_group.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace network {

using key = std::uint32_t;

MOEROUTE_HD inline void order(key& a, key& b) {
  key const high = a > b ? a : b, low = a > b ? b : a;
  a = high;
  b = low;
}
// Descending; N a power of two.
template <std::size_t Size>
MOEROUTE_HD void sort(key (&a)[Size]) {
  constexpr auto N = static_cast<index_t>(Size);
  MOEROUTE_UNROLL
  for (index_t p = 1; p < N; p *= 2) MOEROUTE_UNROLL
  for (index_t q = p; q >= 1; q /= 2) MOEROUTE_UNROLL
  for (index_t i = 0; i < N - q; ++i)
    if (i >= q % p && (i - q % p) / q % 2 == 0 && i / (2 * p) == (i + q) / (2 * p)) order(a[i], a[i + q]);
}
// The best N of two descending lists, descending.
template <std::size_t Size>
MOEROUTE_HD void merge(key (&a)[Size], key const (&b)[Size]) {
  constexpr auto N = static_cast<index_t>(Size);
  MOEROUTE_UNROLL
  for (index_t i = 0; i < N; ++i) a[i] = a[i] > b[N - 1 - i] ? a[i] : b[N - 1 - i];
  MOEROUTE_UNROLL
  for (index_t d = N / 2; d > 0; d /= 2) MOEROUTE_UNROLL
  for (index_t i = 0; i < N; ++i)
    if ((i & d) == 0) order(a[i], a[i + d]);
}
// top = the best N of all lanes' keys, in every lane. A key of 0 is nobody.
template <class G, std::size_t Count, std::size_t Size>
MOEROUTE_HD void best(G const& g, key const (&keys)[Count], key (&top)[Size]) {
  constexpr auto M = static_cast<index_t>(Count), N = static_cast<index_t>(Size);
  MOEROUTE_UNROLL
  for (index_t c = 0; c < M; c += N) {
    key part[Size];
    MOEROUTE_UNROLL
    for (index_t i = 0; i < N; ++i) part[i] = c + i < M ? keys[c + i] : 0u;
    sort(part);
    if (c == 0) {
      MOEROUTE_UNROLL
      for (index_t i = 0; i < N; ++i) top[i] = part[i];
    } else {
      merge(top, part);
    }
  }
  MOEROUTE_UNROLL
  for (index_t d = 1; d < G::static_lanes; d *= 2) {
    key other[Size];
    MOEROUTE_UNROLL
    for (index_t i = 0; i < N; ++i) other[i] = g.exchange(top[i], d);
    merge(top, other);
  }
}

}  // namespace network
}  // namespace moeroute::inline MOEROUTE_ABI
