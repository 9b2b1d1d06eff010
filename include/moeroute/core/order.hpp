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
  I const bits = math::as<I>(x + V(0)), key = bits ^ (bits >> (8 * sizeof(I) - 1) & largest<I>);
  return x != x ? least<I> : key;
}
// The number an order key stands for; the least key gives NaN back.
template <class V>
MOEROUTE_HD inline V from_order_key(key_t<V> k) {
  using I = key_t<V>;
  if (k == least<I>) return not_a_number<V>;
  return math::as<V>(k < 0 ? I(k ^ largest<I>) : k);
}

// A candidate. The default one loses to everybody.
template <class Key>
struct ranked {
  Key key = least<Key>;
  index_t id = largest<index_t>;
};
template <class Key>
MOEROUTE_HD constexpr bool beats(ranked<Key> a, ranked<Key> b) {
  return a.key > b.key || (a.key == b.key && a.id < b.id);
}

}  // namespace moeroute::inline MOEROUTE_ABI
