// Decides who comes first: larger key, then lower id, NaN last. One total order for experts, groups and
// tokens, in every dtype, on every machine.
#pragma once

#include <moeroute/core/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class V>
using key_t = typename math::bits_of<V>::type;

// An integer that orders as the floating number does: -0 equals +0, NaN is the least of all.
template <class V>
MOEROUTE_HD inline key_t<V> order_key(V x) {
  using I = key_t<V>;
  if (x != x) return std::numeric_limits<I>::min();
  I const bits = math::as<I>(x + V(0));
  return bits < 0 ? I(bits ^ std::numeric_limits<I>::max()) : bits;
}
// The number an order key stands for; the least key gives NaN back.
template <class V>
MOEROUTE_HD inline V from_order_key(key_t<V> k) {
  using I = key_t<V>;
  if (k == std::numeric_limits<I>::min()) return std::numeric_limits<V>::quiet_NaN();
  return math::as<V>(k < 0 ? I(k ^ std::numeric_limits<I>::max()) : k);
}

// A candidate. The default one loses to everybody.
template <class Key>
struct ranked {
  Key key = std::numeric_limits<Key>::min();
  index_t id = std::numeric_limits<index_t>::max();
};
template <class Key>
MOEROUTE_HD constexpr bool beats(ranked<Key> a, ranked<Key> b) {
  return a.key > b.key || (a.key == b.key && a.id < b.id);
}

}  // namespace moeroute::inline MOEROUTE_ABI
