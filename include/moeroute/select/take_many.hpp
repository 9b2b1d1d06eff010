// Decides how many of a long row are taken at once: a threshold by bisection of the order keys, then the members
// in order. Same result as take_best (key descending, then lower id), for hundreds of winners among thousands.
#pragma once

#include <initializer_list>

#include <moeroute/core/row.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// How the winners are written: best first, or by position.
enum class pick_order : std::uint8_t { best_first, position };

namespace detail {

// The largest cut with at least `wanted` elements of [low, high] at or above it. `count(cut)` counts them.
template <class I, class Count>
MOEROUTE_HD I bisect_cut(I low, I high, offset_t wanted, Count const& count) {
  while (low < high) {
    // middle of (low, high], without overflow: the keys may span the whole integer range
    using U = std::make_unsigned_t<I>;
    U const span = static_cast<U>(high) - static_cast<U>(low);
    I const cut = static_cast<I>(static_cast<U>(low) + span / 2 + span % 2);
    offset_t const n = count(cut);
    if (n >= wanted) low = cut;
    else high = static_cast<I>(cut - 1);
    if (n == wanted) break;
  }
  return low;
}

// The same for the keys of numbers, guessing between the ends first; `reached` comes in as the count at `low` and
// leaves as the count at the cut.
template <class V, class Count>
MOEROUTE_HD key_t<V> search_cut(key_t<V> low, key_t<V> high, offset_t wanted, offset_t& reached, Count const& count) {
  using I = key_t<V>;
  offset_t beyond = 0;  // count above high
  for (int guess = 0; low < high && reached != wanted && guess < 12; ++guess) {
    V const a = from_order_key<V>(low), b = from_order_key<V>(high);
    V const share = guess % 2 == 1
                        ? V(.5)
                        : V(.05) + V(.9) * static_cast<V>(reached - wanted) / static_cast<V>(reached - beyond + 1);
    V const between = math::multiply_add(b - a, share, a);
    if (!(between > a && between <= b)) break;  // infinite, or nothing between
    I const cut = order_key(between);
    if (cut <= low || cut > high) break;
    offset_t const n = count(cut);
    if (n >= wanted) low = cut, reached = n;
    else high = static_cast<I>(cut - 1), beyond = n;
  }
  if (low == high || reached == wanted) return low;
  auto const counted = [&](I cut) {
    offset_t const n = count(cut);
    if (n >= wanted) reached = n;
    return n;
  };
  return bisect_cut(low, high, wanted, counted);
}

// Sorts places [0, n) so that earlier(a, b) holds along them: a network with one direction, so that any n works.
template <class G, class T, class Earlier>
MOEROUTE_HD void sort_in_place(G const& g, T* x, offset_t n, Earlier const& earlier) {
  if constexpr (is_serial<G>) {
    for (offset_t gap : {701, 301, 132, 57, 23, 10, 4, 1})  // Shell sort
      for (offset_t i = gap; i < n; ++i) {
        T const mine = x[i];
        offset_t j = i;
        for (; j >= gap && earlier(mine, x[j - gap]); j -= gap) x[j] = x[j - gap];
        x[j] = mine;
      }
  } else {
    auto const order = [&](offset_t i, offset_t j) {
      if (j < n && earlier(x[j], x[i])) {
        T const t = x[i];
        x[i] = x[j];
        x[j] = t;
      }
    };
    for (offset_t size = 2; size / 2 < n; size *= 2) {
      for (offset_t i = g.rank(); i < n; i += g.size())
        if (offset_t const j = i ^ (size - 1); j > i) order(i, j);
      g.sync();
      for (offset_t half = size / 4; half > 0; half /= 2) {
        for (offset_t i = g.rank(); i < n; i += g.size())
          if (offset_t const j = i ^ half; j > i) order(i, j);
        g.sync();
      }
    }
  }
}

}  // namespace detail

#if defined(MOEROUTE_SIMD)
namespace simd {  // cpu/simd/take_many.hpp, included below
inline offset_t take_many(float const* keys, index_t count, row_view<offset_t> out, pick_order order);
}
#endif

// Writes the ids of the best elements (those above -inf) and returns how many there were; places left over get
// -1. Every lane receives the count and sees `out` written.
MOEROUTE_EXEC_CHECK_DISABLE
template <lane_group G, class Row>
MOEROUTE_HD offset_t take_many(G const& g, Row const& keys, row_view<offset_t> out,
                               pick_order order = pick_order::best_first) {
  using V = typename Row::value_type;
  using I = key_t<V>;
#if defined(MOEROUTE_SIMD)
  if constexpr (is_serial<G> && std::same_as<Row, memory_row<float const>>)
    if (offset_t const taken = simd::take_many(keys.data, keys.count, out, order); taken >= 0) return taken;
#endif
  // Bounds of the open keys, by integers alone so that the pass vectorizes: a key past +inf or not past -inf is NaN
  // or closed; -0 falls just below +0, where a bound may lie.
  I const closed = order_key(-infinity<V>), past = order_key(infinity<V>);
  I low = largest<I>, high = closed;
  index_t opened = 0;
  keys.each(g, [&](index_t, V const& x) {
    I const bits = math::as<I>(x), k = bits ^ ((bits >> (8 * sizeof(I) - 1)) & largest<I>);
    I const upper = k > past ? closed : k, lower = upper > closed ? upper : largest<I>;
    high = upper > high ? upper : high;
    low = lower < low ? lower : low;
    opened += upper > closed ? 1 : 0;
  });
  std::int64_t open = opened;
  if constexpr (!is_serial<G>) {
    open = g.sum(open);
    high = g.best(ranked<I>{high, g.rank()}).key;
    low = static_cast<I>(~g.best(ranked<I>{static_cast<I>(~low), g.rank()}).key);
  }
  offset_t const n = open < out.size ? open : out.size;
  if (n > 0) {
    auto const count = [&](I cut) {  // as numbers: the same order but for NaN, which is below every cut
      V const least_value = from_order_key<V>(cut);
      index_t c = 0;
      keys.each(g, [&](index_t, V const& x) { c += x >= least_value ? 1 : 0; });
      return static_cast<offset_t>(g.sum(std::int64_t{c}));
    };
    offset_t at_least = open;
    I const cut = n == open ? low : detail::search_cut<V>(low, high, n, at_least, count);
    V const cut_value = from_order_key<V>(cut);
    index_t last_equal = keys.size() - 1;
    if (at_least > n) {  // of the equal ones the lower ids: the last id that is still in
      index_t above_cut = 0;
      keys.each(g, [&](index_t, V const& x) { above_cut += x > cut_value ? 1 : 0; });
      auto const better = g.sum(std::int64_t{above_cut});
      auto const equal_up_to = [&](index_t negative) {
        index_t c = 0;
        keys.each(g, [&](index_t i, V const& x) { c += x == cut_value && -i >= negative ? 1 : 0; });
        return static_cast<offset_t>(g.sum(std::int64_t{c}));
      };
      last_equal = -detail::bisect_cut(static_cast<index_t>(-last_equal), index_t{0}, n - better, equal_up_to);
    }
    auto const chosen = [&](index_t i, V const& x) { return (x > cut_value) | ((x == cut_value) & (i <= last_equal)); };
    offset_t next = 0;
    if constexpr (!is_serial<G>) {  // lanes write one behind the other
      std::int64_t mine = 0;
      keys.each(g, [&](index_t i, V const& x) { mine += chosen(i, x); });
      for (index_t lane = 0; lane < g.size(); ++lane) {
        auto const theirs = g.sum(lane == g.rank() ? mine : std::int64_t{0});
        if (lane < g.rank()) next += theirs;
      }
    }
    if constexpr (is_serial<G>) {
      for (index_t i = 0; next < n; ++i) {  // without branches: a place is written until its winner stays
        out[next] = i;
        next += chosen(i, keys.at(i));
      }
    } else {
      keys.each(g, [&](index_t i, V const& x) {
        if (chosen(i, x)) out[next++] = i;
      });
    }
    g.sync();
    if (order == pick_order::position) {
      if constexpr (!is_serial<G>) detail::sort_in_place(g, out.data, n, [](offset_t a, offset_t b) { return a < b; });
    } else {
      detail::sort_in_place(g, out.data, n, [&](offset_t a, offset_t b) {
        I const ka = order_key<V>(keys.at(static_cast<index_t>(a))),
                kb = order_key<V>(keys.at(static_cast<index_t>(b)));
        return ka > kb || (ka == kb && a < b);
      });
    }
  }
  for (offset_t j = n + g.rank(); j < out.size; j += g.size()) out[j] = -1;
  g.sync();
  return n;
}

}  // namespace moeroute::inline MOEROUTE_ABI

#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/take_many.hpp>
#endif
