// Decides how lanes that only exchange words form a lane group: every collective is a butterfly over
// lane distances lanes/2, ..., 2, 1, so all lanes hold the same bits, and a sum adds in the order of
// core/tree_sum.hpp.
#pragma once

#include <moeroute/core/group.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// What the machine (or a test) provides: `lanes` threads, a power of two, at most 32.
template <class P>
concept word_exchange =
    (P::lanes & (P::lanes - 1)) == 0 && P::lanes <= 32 && requires(P const& p, std::uint32_t x, index_t i, bool b) {
      { p.rank() } -> std::same_as<index_t>;
      { p.shuffle_xor(x, i) } -> std::same_as<std::uint32_t>;  // x of lane rank() ^ i
      { p.shuffle(x, i) } -> std::same_as<std::uint32_t>;      // x of lane i
      { p.ballot(b) } -> std::same_as<std::uint32_t>;          // bit l: what lane l says
      p.sync();                                                // and memory written before is seen
    };
// A machine that also reduces integers by itself (sm_80 and later: redux.sync).
template <class P>
concept integer_reduction = requires(P const& p, std::int32_t i, std::uint32_t u) {
  { p.max_of(i) } -> std::same_as<std::int32_t>;
  { p.max_of(u) } -> std::same_as<std::uint32_t>;
};

template <class P>
struct butterfly_group {
  static constexpr index_t static_lanes = P::lanes;
  [[no_unique_address]] P p{};

  MOEROUTE_HD index_t rank() const { return p.rank(); }
  MOEROUTE_HD static constexpr index_t size() { return static_lanes; }
  MOEROUTE_HD void sync() const { p.sync(); }
  MOEROUTE_HD bool any(bool x) const { return p.ballot(x) != 0; }
  // Whether a lane of this row says so, or of a row that marches with it: they take a branch with collectives together.
  MOEROUTE_HD bool any_near(bool x) const {
    if constexpr (requires { p.any_near(x); }) return p.any_near(x);
    else return any(x);
  }
  // Bit l: what lane l says.
  MOEROUTE_HD std::uint32_t ballot(bool x) const { return p.ballot(x); }

  // x of the lane at distance d (exchange), of one lane for all (from_lane); 4 or 8 bytes.
  template <class T>
  MOEROUTE_HD T exchange(T x, index_t d) const {
    return by_words(x, [&](std::uint32_t w) { return p.shuffle_xor(w, d); });
  }
  template <class T>
  MOEROUTE_HD T from_lane(T x, index_t lane) const {
    return by_words(x, [&](std::uint32_t w) { return p.shuffle(w, lane); });
  }

  template <class T, class F>
  MOEROUTE_HD T reduce(T x, F const& f) const {
    for (index_t d = static_lanes / 2; d > 0; d /= 2) x = f(x, exchange(x, d));
    return x;
  }
  template <class T>
  MOEROUTE_HD T sum(T x) const {
    return reduce(x, [](T a, T b) { return a + b; });
  }
  template <class T>
  MOEROUTE_HD T max(T x) const {
    return reduce(x, [](T a, T b) { return b > a ? b : a; });
  }
  template <class Key>
  MOEROUTE_HD ranked<Key> best(ranked<Key> c) const {
    if constexpr (integer_reduction<P>) {
      return best_by_reduction(c);
    } else {
      for (index_t d = static_lanes / 2; d > 0; d /= 2)
        if (ranked<Key> const o{exchange(c.key, d), exchange(c.id, d)}; beats(o, c)) c = o;
      return c;
    }
  }
  // The sum over the lanes below this one.
  template <class T>
  MOEROUTE_HD T sum_before(T x) const {
    T upto = x;
    for (index_t d = 1; d < static_lanes; d *= 2) {
      T const left = from_lane(upto, rank() >= d ? rank() - d : 0);
      if (rank() >= d) upto += left;
    }
    return upto - x;
  }
  // Bit l: lane l holds the same x as this lane, for numbers below 2^bits. Bits are compared by fours.
  MOEROUTE_HD std::uint32_t match(std::uint32_t x, index_t bits) const {
    std::uint32_t same = ~std::uint32_t{0} >> (32 - static_lanes);
    MOEROUTE_UNROLL_BY(1)
    for (; bits > 0; bits -= 4, x >>= 4) {
      MOEROUTE_UNROLL
      for (index_t i = 0; i < 4; ++i) {
        bool const one = (x >> i & 1u) != 0;
        std::uint32_t const ones = p.ballot(one);
        same &= one ? ones : ~ones;
      }
    }
    return same;
  }

 private:
  template <class T, class F>
  MOEROUTE_HD static T by_words(T x, F const& f) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    if constexpr (sizeof(T) == 4) {
      return math::as<T>(f(math::as<std::uint32_t>(x)));
    } else {
      auto const whole = math::as<std::uint64_t>(x);
      std::uint64_t const low = f(static_cast<std::uint32_t>(whole));
      std::uint64_t const high = f(static_cast<std::uint32_t>(whole >> 32));
      return math::as<T>(high << 32 | low);
    }
  }
  // Largest key, then lowest id (the largest of ~id): two or three reductions instead of ten shuffles.
  MOEROUTE_HD ranked<std::int32_t> best_by_reduction(ranked<std::int32_t> c) const {
    std::int32_t const key = p.max_of(c.key);
    std::uint32_t const id = p.max_of(c.key == key ? ~static_cast<std::uint32_t>(c.id) : 0u);
    return {key, static_cast<index_t>(~id)};
  }
  MOEROUTE_HD ranked<std::int64_t> best_by_reduction(ranked<std::int64_t> c) const {
    auto const high = static_cast<std::int32_t>(c.key >> 32);
    auto const low = static_cast<std::uint32_t>(c.key);
    std::int32_t const h = p.max_of(high);
    std::uint32_t const l = p.max_of(high == h ? low : 0u);
    bool const first = high == h && low == l;
    std::uint32_t const id = p.max_of(first ? ~static_cast<std::uint32_t>(c.id) : 0u);
    return {static_cast<std::int64_t>(static_cast<std::uint64_t>(static_cast<std::uint32_t>(h)) << 32 | l),
            static_cast<index_t>(~id)};
  }
};

// The lanes of a machine in parts of `Lanes`, each a group of its own; they march together.
template <class P, index_t Lanes>
struct part_words {
  static constexpr index_t lanes = Lanes;
  P p{};
  MOEROUTE_HD index_t rank() const { return p.rank() % Lanes; }
  MOEROUTE_HD std::uint32_t shuffle_xor(std::uint32_t x, index_t d) const { return p.shuffle_xor(x, d); }
  MOEROUTE_HD std::uint32_t shuffle(std::uint32_t x, index_t lane) const { return p.shuffle(x, first() + lane); }
  MOEROUTE_HD std::uint32_t ballot(bool b) const {
    return p.ballot(b) >> first() & (~std::uint32_t{0} >> (32 - Lanes));
  }
  MOEROUTE_HD bool any_near(bool b) const { return p.ballot(b) != 0; }
  MOEROUTE_HD void sync() const { p.sync(); }

 private:
  MOEROUTE_HD index_t first() const { return p.rank() / Lanes * Lanes; }
};
// A group of `Lanes` lanes out of a larger one.
template <index_t Lanes, class P>
MOEROUTE_HD auto part_of(butterfly_group<P> const& g) {
  if constexpr (P::lanes == Lanes) return g;
  else return butterfly_group<part_words<P, Lanes>>{{g.p}};
}

}  // namespace moeroute::inline MOEROUTE_ABI
