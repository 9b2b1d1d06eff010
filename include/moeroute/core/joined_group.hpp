// Decides how several lane groups that share memory work on one long row: each reduces among its own
// lanes, one word a part goes through shared memory, and every lane folds the parts in their order.
#pragma once

#include <moeroute/core/group.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct joint_slot {
  std::int64_t word;
  index_t id;
};

// `barrier()` waits for all lanes of all parts and makes what they wrote visible. Two rows of slots in
// turn, so that one barrier a collective is enough.
template <class Part, class Barrier>
struct joined_group {
  Part part{};
  [[no_unique_address]] Barrier barrier{};
  joint_slot* slots{};  // 2 x parts
  index_t index = 0;    // of this lane's part
  index_t parts = 1;
  mutable index_t turn = 0;

  MOEROUTE_HD index_t rank() const { return index * part.size() + part.rank(); }
  MOEROUTE_HD index_t size() const { return parts * part.size(); }
  MOEROUTE_HD void sync() const { barrier(); }

  template <class T>
  MOEROUTE_HD T sum(T x) const {
    return fold(part.sum(x), [](T a, T b) { return a + b; });
  }
  template <class T>
  MOEROUTE_HD T max(T x) const {
    return fold(part.max(x), [](T a, T b) { return b > a ? b : a; });
  }
  MOEROUTE_HD bool any(bool x) const {
    return fold(std::int64_t{part.any(x)}, [](std::int64_t a, std::int64_t b) { return a | b; }) != 0;
  }
  template <class Key>
  MOEROUTE_HD ranked<Key> best(ranked<Key> c) const {
    c = part.best(c);
    joint_slot const* const all = post(c.key, c.id);
    ranked<Key> winner{static_cast<Key>(all[0].word), all[0].id};
    for (index_t i = 1; i < parts; ++i)
      if (ranked<Key> const o{static_cast<Key>(all[i].word), all[i].id}; beats(o, winner)) winner = o;
    return winner;
  }
  // What the first part holds, for everybody.
  template <class T>
  MOEROUTE_HD T of_first_part(T x) const {
    return from_word<T>(post(to_word(x), 0)[0].word);
  }

 private:
  template <class T>
  MOEROUTE_HD static std::int64_t to_word(T x) {
    if constexpr (sizeof(T) == 4) return math::as<std::int32_t>(x);
    else return math::as<std::int64_t>(x);
  }
  template <class T>
  MOEROUTE_HD static T from_word(std::int64_t w) {
    if constexpr (sizeof(T) == 4) return math::as<T>(static_cast<std::int32_t>(w));
    else return math::as<T>(w);
  }
  // The slots of all parts, once all have written.
  MOEROUTE_HD joint_slot const* post(std::int64_t word, index_t id) const {
    joint_slot* const now = slots + turn * parts;
    turn ^= 1;
    if (part.rank() == 0) now[index] = {word, id};
    barrier();
    return now;
  }
  template <class T, class F>
  MOEROUTE_HD T fold(T x, F const& f) const {
    joint_slot const* const all = post(to_word(x), 0);
    T total = from_word<T>(all[0].word);
    for (index_t i = 1; i < parts; ++i) total = f(total, from_word<T>(all[i].word));
    return total;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
