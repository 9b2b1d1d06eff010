// Decides who works on one row: a lane group, whose lanes own the row in stripes.
#pragma once

#include <moeroute/core/order.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// size() lanes work on one row; a policy asks for the rest through collectives, which every lane calls
// and every lane receives. Lane r owns the elements r, r + size(), ...; to read what another lane wrote,
// sync() first.
template <class G>
concept lane_group =
    requires(G const& g, float f, double d, std::int64_t n, ranked<std::int32_t> a, ranked<std::int64_t> b, bool yes) {
      { g.rank() } -> std::same_as<index_t>;
      { g.size() } -> std::same_as<index_t>;
      { g.sum(f) } -> std::same_as<float>;
      { g.sum(d) } -> std::same_as<double>;
      { g.sum(n) } -> std::same_as<std::int64_t>;
      { g.max(f) } -> std::same_as<float>;
      { g.max(d) } -> std::same_as<double>;
      { g.best(a) } -> std::same_as<ranked<std::int32_t>>;
      { g.best(b) } -> std::same_as<ranked<std::int64_t>>;
      { g.any(yes) } -> std::same_as<bool>;
      g.sync();
    };

// One lane, on the CPU: every collective is the identity and every stripe a plain loop.
struct serial_group {
  MOEROUTE_HD static constexpr index_t rank() { return 0; }
  MOEROUTE_HD static constexpr index_t size() { return 1; }
  template <class T>
  MOEROUTE_HD static constexpr T sum(T x) {
    return x;
  }
  template <class T>
  MOEROUTE_HD static constexpr T max(T x) {
    return x;
  }
  template <class Key>
  MOEROUTE_HD static constexpr ranked<Key> best(ranked<Key> c) {
    return c;
  }
  MOEROUTE_HD static constexpr bool any(bool x) { return x; }
  MOEROUTE_HD static constexpr void sync() {}
};
static_assert(lane_group<serial_group>);

// Known at compile time to be alone: loops may run straight through.
template <class G>
inline constexpr bool is_serial = std::same_as<G, serial_group>;

}  // namespace moeroute::inline MOEROUTE_ABI
