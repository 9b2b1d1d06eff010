// Decides how a token is routed with its row in registers: a number of experts known at compile time, several
// tokens a warp, and the k best by a sorting network. The same policies, the same ids and the same weights as
// route_row, bit for bit; what it does not serve runs there.
//
//   key = ordered logit or score, the low bits replaced by the inverted id
//     16-bit logits that are ranked themselves: those bits were 0, the key is exact
//     else a filter: the k winners are exact if no other key reaches the bits of the last one, and their
//     order if each beats the next; a row in doubt takes the plain rule of core/best.hpp
// Groups (group_limited_top_k): a lane owns an expert group; closed lanes offer nothing.
#pragma once

#include <moeroute/core/key_network.hpp>
#include <moeroute/route.hpp>
#include <moeroute/select/group_limited_top_k.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class S>
inline constexpr bool is_top_k = false;
template <class K>
inline constexpr bool is_top_k<top_k<K>> = true;
template <class S>
inline constexpr bool is_group_limited = false;
template <class Score>
inline constexpr bool is_group_limited<group_limited_top_k<Score>> = true;

// How many keys a network keeps: k, if the type knows it, rounded up to a power of two; else 8.
template <class S>
inline constexpr index_t network_size = 8;
template <index_t K>
inline constexpr index_t network_size<top_k<fixed_index<K>>> = K <= 1   ? 1
                                                               : K <= 2 ? 2
                                                               : K <= 4 ? 4
                                                               : K <= 8 ? 8
                                                                        : 16;

// Where expert e lies: in runs, neighbours are in one lane; else lanes take turns with vectors of `Vec`.
template <index_t Lanes, index_t Experts, index_t Vec, bool Runs>
struct register_layout {
  static constexpr index_t lanes = Lanes, experts = Experts, vec = Vec;
  static constexpr index_t per_lane = (Experts + Lanes * Vec - 1) / (Lanes * Vec) * Vec;
  static constexpr bool full = Lanes * per_lane == Experts;
  MOEROUTE_HD static constexpr index_t id(index_t rank, index_t i) {
    return Runs ? rank * per_lane + i : (i / Vec * Lanes + rank) * Vec + i % Vec;
  }
};

template <class V, class Layout>
struct register_row {
  using value_type = V;
  using layout = Layout;
  V v[std::size_t{Layout::per_lane}];

  MOEROUTE_HD static constexpr index_t size() { return Layout::experts; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G, class F>
  MOEROUTE_HD void each(G const& g, F&& f) const {
    MOEROUTE_UNROLL
    for (index_t i = 0; i < Layout::per_lane; ++i)
      if (index_t const e = Layout::id(g.rank(), i); Layout::full || e < Layout::experts) f(e, v[i]);
  }
  // Every place of this lane, padding too: f(expert, value).
  template <class G, class F>
  MOEROUTE_HD void fill(G const& g, F&& f) {
    MOEROUTE_UNROLL
    for (index_t i = 0; i < Layout::per_lane; ++i) f(Layout::id(g.rank(), i), v[i]);
  }
};

template <class T, index_t N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) register_piece {
  T x[std::size_t{N}];
};

}  // namespace detail

template <class R, class T, class H, class Id, class W, index_t Experts>
struct route_in_registers {
  using S = std::remove_cvref_t<decltype(R::select)>;
  using V = compute_t<T>;
  static constexpr bool grouped = detail::is_group_limited<S>;
  static constexpr index_t lanes = Experts > 256 ? 16 : 8, best = detail::network_size<S>;
  static constexpr index_t slots = (best + lanes - 1) / lanes;  // choices a lane holds: j = slot * lanes + rank
  static constexpr index_t vector = 16 / static_cast<index_t>(sizeof(T));
  static constexpr index_t vec = Experts % (lanes * vector) == 0 ? vector : 1;
  using layout = detail::register_layout<lanes, Experts, vec, grouped>;
  using row = detail::register_row<V, layout>;
  // Policies it can serve at all; `serves` asks for the numbers.
  static constexpr bool possible = std::same_as<V, float> && is_none<decltype(R::prior)> &&
                                   (detail::is_top_k<S> || (grouped && Experts % lanes == 0)) && Experts <= 512;
  static constexpr bool exact_keys = ranks_logits<R> && half_like<T>;  // 13 low bits of such a float are 0

  route_row<R, T, H, Id, W> plain;

  bool serves() const {
    index_t const k = plain.r.select.experts_per_token();
    bool good = possible && plain.in.logits.cols == Experts && k <= best && k <= Experts;
    if constexpr (grouped) {
      auto const& s = plain.r.select;
      good = good && s.groups == lanes && s.closed == closed_groups::minus_infinity &&
             s.group_score.count(k, s.top_groups) <= 2 && s.group_score.count(k, s.top_groups) <= layout::per_lane;
    }
    return good;
  }
  offset_t scratch_bytes() const { return aligned_bytes<V>(plain.out.ids.cols); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    static_assert(G::static_lanes == lanes);
    auto const& in = plain.in;
    if (!knows_row(plain.r, in, t)) return plain.nobody(g, t);
    T const* const from = in.logits[t].data;
    row const x = read(g, from);
    bool bad = false;
    if (in.nan != nan_rule::rank_last) {
      x.each(g, [&](index_t, V z) { bad = bad || is_nan(z); });
      bad = g.any(bad);
      if (bad && in.nan == nan_rule::drop_row) return plain.nobody(g, t);
    }
    auto const m = plain.summary(g, mapped_row{x, detail::nan_to_closed{}});
    row const y = keys_of(g, t, m, x);
    bool const open = is_open(g, y);

    row_view<Id> const ids = plain.out.ids[t];
    index_t const k = static_cast<index_t>(ids.size);
    index_t id[std::size_t{slots}];
    bool const doubt = choose(g, t, m, y, open, k, id);
    if (!exact_keys && doubt) {  // the plain rule; ids come back through memory. Rows read again cost no registers here
      take_best(g, keys_of(g, t, m, read(g, from)), ids, [&](index_t) { return open; });
      MOEROUTE_UNROLL
      for (index_t i = 0; i < slots; ++i)
        if (index_t const j = i * lanes + g.rank(); j < k) id[i] = static_cast<index_t>(ids[j]);
    }
    row_view<V> const chosen{s.take<V>(k), k};
    MOEROUTE_UNROLL
    for (index_t i = 0; i < slots; ++i)
      if (index_t const j = i * lanes + g.rank(); j < k) {
        ids[j] = static_cast<Id>(id[i]);
        chosen[j] = score_of(plain.r.score, m, detail::closed_if_nan(load(from[id[i]])));
      }
    g.sync();
    if (g.rank() == 0) plain.r.weigh(chosen);
    g.sync();
    for (index_t j = g.rank(); j < k; j += lanes)
      plain.out.weights[t][j] = static_cast<W>(bad ? not_a_number<V> : chosen[j]);
    if (!plain.out.scores.empty()) {
      row const again = read(g, from);
      auto const all = summarize(plain.r.score, g, mapped_row{again, detail::nan_to_closed{}});
      again.each(g, [&](index_t e, V z) {
        plain.out.scores[t][e] = static_cast<W>(score_of(plain.r.score, all, detail::closed_if_nan(z)));
      });
    }
    g.sync();
  }

 private:
  // The row, by vectors where it lies on 16 bytes.
  template <class G>
  MOEROUTE_HD row read(G const& g, T const* from) const {
    constexpr index_t n = grouped ? (layout::per_lane % vector == 0 ? vector : 1) : vec;
    row x;
    if (n > 1 && reinterpret_cast<std::uintptr_t>(from) % 16 == 0) {
      MOEROUTE_UNROLL
      for (index_t i = 0; i < layout::per_lane; i += n) {
        auto const p = *reinterpret_cast<detail::register_piece<T, n> const*>(from + layout::id(g.rank(), i));
        MOEROUTE_UNROLL
        for (index_t j = 0; j < n; ++j) x.v[i + j] = load(p.x[j]);
      }
    } else {
      x.fill(g, [&](index_t e, V& z) { z = layout::full || e < Experts ? load(from[e]) : -infinity<V>; });
    }
    return x;
  }
  // What route_row ranks: the logit, or the (biased) score of an open expert.
  template <class G, class M>
  MOEROUTE_HD row keys_of(G const& g, offset_t t, M const& m, row const& x) const {
    row y = x;
    if constexpr (!ranks_logits<R>) {
      auto const b = plain.r.bias.parameters(plain.in.context(t));
      y.fill(g, [&](index_t e, V& z) {
        if (layout::full || e < Experts) z = key_of(m, b, e, z);
      });
    }
    return y;
  }
  template <class M, class B>
  MOEROUTE_HD V key_of(M const& m, B const& b, index_t e, V z) const {
    if (ranks_logits<R> || is_nan(z) || z == -infinity<V>) return z;
    V key = score_of(plain.r.score, m, z);
    if constexpr (!is_none<decltype(R::bias)>) key = plain.r.bias(key, static_cast<V>(b[e]));
    return key;
  }
  // Whether this lane's group is among the best; a group ranks by the sum of its one or two largest keys.
  template <class G>
  MOEROUTE_HD bool is_open(G const& g, row const& y) const {
    if constexpr (!grouped) {
      return true;
    } else {
      auto const& select = plain.r.select;
      V first = -infinity<V>, second = -infinity<V>;
      y.each(g, [&](index_t, V z0) {
        V const z = detail::closed_if_nan(z0);
        second = math::max(second, math::min(first, z));
        first = math::max(first, z);
      });
      bool const two = select.group_score.count(select.k, select.top_groups) == 2;
      std::int32_t const mine = order_key<V>(two ? first + second : first);
      index_t better = 0;
      MOEROUTE_UNROLL
      for (index_t q = 0; q < lanes; ++q) {
        std::int32_t const other = g.from_lane(mine, q);
        better += other > mine || (other == mine && q < g.rank());
      }
      return better < select.top_groups;
    }
  }
  // The ids of the choices this lane holds; true if the filter cannot vouch for them.
  template <class G, class M>
  MOEROUTE_HD bool choose(G const& g, offset_t t, M const& m, row const& y, bool open, index_t k,
                          index_t (&id)[std::size_t{slots}]) const {
    constexpr std::uint32_t mask = id_mask();
    std::uint32_t key[std::size_t{layout::per_lane}], top[std::size_t{best}];
    MOEROUTE_UNROLL
    for (index_t i = 0; i < layout::per_lane; ++i) {
      index_t const e = layout::id(g.rank(), i);
      bool const here = open && (layout::full || e < Experts);
      key[i] = here ? (ordered(order_key<V>(y.v[i])) & ~mask) | (mask - static_cast<std::uint32_t>(e)) : 0u;
    }
    network::best(g, key, top);
    MOEROUTE_UNROLL
    for (index_t i = 0; i < slots; ++i) id[i] = 0;
    MOEROUTE_UNROLL
    for (index_t j = 0; j < best; ++j)
      if (j % lanes == g.rank()) id[j / lanes] = static_cast<index_t>(mask - (top[j] & mask));
    if constexpr (exact_keys) {
      return false;
    } else {
      // Exact keys of the winners; -1 - key orders the other way round, for a minimum by max().
      auto const b = plain.r.bias.parameters(plain.in.context(t));
      std::int32_t won[std::size_t{slots}], reversed = least<std::int32_t>;
      MOEROUTE_UNROLL
      for (index_t i = 0; i < slots; ++i) {
        won[i] = largest<std::int32_t>;
        if (i * lanes + g.rank() < k) won[i] = order_key<V>(key_of(m, b, id[i], load(plain.in.logits[t][id[i]])));
        reversed = ~won[i] > reversed ? ~won[i] : reversed;
      }
      std::uint32_t const bar = ordered(~g.max(reversed)) & ~mask;
      std::int32_t reach = 0;
      MOEROUTE_UNROLL
      for (index_t i = 0; i < layout::per_lane; ++i) {
        bool const here = open && (layout::full || layout::id(g.rank(), i) < Experts);
        reach += here && key[i] >= bar;
      }
      bool wrong = g.sum(reach) != k;
      ranked<std::int32_t> above{largest<std::int32_t>, -1};  // the last lane's choice, one slot before
      index_t const left = (g.rank() + lanes - 1) % lanes;
      MOEROUTE_UNROLL
      for (index_t i = 0; i < slots; ++i) {
        ranked<std::int32_t> const mine{won[i], id[i]}, other{g.from_lane(won[i], left), g.from_lane(id[i], left)};
        wrong = wrong || (i * lanes + g.rank() < k && !beats(g.rank() == 0 ? above : other, mine));
        above = other;
      }
      return g.any(wrong);
    }
  }
  MOEROUTE_HD static std::uint32_t ordered(std::int32_t key) { return static_cast<std::uint32_t>(key) ^ 0x80000000u; }
  MOEROUTE_HD static constexpr std::uint32_t id_mask() {
    std::uint32_t m = static_cast<std::uint32_t>(Experts - 1);
    m |= m >> 1, m |= m >> 2, m |= m >> 4, m |= m >> 8;
    return m;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
