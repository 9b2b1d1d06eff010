// Decides how the k best of a row are found: the next best is the best that the last winner beats.
//
// Nothing is written to the keys, so ids are distinct and in range by construction, also among NaN and
// -inf, and the same for every lane group.
#pragma once

#include <moeroute/core/row.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct everyone {
  MOEROUTE_HD constexpr bool operator()(index_t) const { return true; }
};

namespace detail {

// One lane: one pass that keeps the winners so far in order. `out` holds ids; their keys are read again.
template <class Row, class Id, class Allowed>
MOEROUTE_HD index_t insert_best(Row const& keys, row_view<Id> out, Allowed const& allowed) {
  using V = typename Row::value_type;
  index_t const k = static_cast<index_t>(out.size);
  index_t filled = 0;
  key_t<V> worst = least<key_t<V>>;
  keys.each(serial_group{}, [&](index_t e, auto const& x) {
    if (k == 0 || !allowed(e)) return;
    key_t<V> const key = order_key<V>(x);
    if (filled == k && key <= worst) return;  // equal: the lower id stays
    index_t j = filled < k ? filled++ : k - 1;
    for (; j > 0; --j) {
      Id const before = out[j - 1];
      if (key <= order_key<V>(keys.at(static_cast<index_t>(before)))) break;
      out[j] = before;
    }
    out[j] = static_cast<Id>(e);
    worst = order_key<V>(keys.at(static_cast<index_t>(out[filled - 1])));
  });
  return filled;
}

}  // namespace detail

// Writes the ids of the best allowed experts, best first, and returns how many there were; places left
// over get the sentinel. Every lane receives the count, and sees `out` written.
MOEROUTE_EXEC_CHECK_DISABLE
template <lane_group G, class Row, class Id, class Allowed = everyone>
MOEROUTE_HD index_t take_best(G const& g, Row const& keys, row_view<Id> out, Allowed allowed = {}) {
  using V = typename Row::value_type;
  index_t const k = static_cast<index_t>(out.size);
  index_t filled = 0;
  if constexpr (is_serial<G>) {
    filled = detail::insert_best(keys, out, allowed);
  } else {
    ranked<key_t<V>> last{largest<key_t<V>>, -1};
    for (; filled < k; ++filled) {
      ranked<key_t<V>> mine;
      keys.each(g, [&](index_t e, auto const& x) {
        ranked<key_t<V>> const c{order_key<V>(x), e};
        if (beats(last, c) && beats(c, mine) && allowed(e)) mine = c;
      });
      last = g.best(mine);
      if (last.id == ranked<key_t<V>>{}.id) break;
      if (g.rank() == 0) out[filled] = static_cast<Id>(last.id);
    }
  }
  if (g.rank() == 0)
    for (index_t j = filled; j < k; ++j) out[j] = no_expert_of<Id>;
  g.sync();
  return filled;
}

}  // namespace moeroute::inline MOEROUTE_ABI
