// Decides how a token is routed with its row in registers: several tokens a warp, and the k best by a sorting network.
// The same policies, the same ids and the same weights as route_row, bit for bit; what it does not serve runs there.
//
//   keys (cuda/register_keys.hpp) that are exact: the winners stand.
//   keys that filter: the winners' exact keys are computed. They are right if no other key reaches the floor of the
//     last one, and their order if each beats the next; else the row is in doubt, and register_repair.hpp takes the
//     plain rule.
// k above 8: again, over the keys below the last winner. Groups (group_limited_top_k): one or several lanes own an
// expert group, the heads of their sorted lists rank it, and the lists of closed groups are emptied.
//
// Rows of a warp march together; `live` is false for one that only marches along.
#pragma once

#include <moeroute/core/key_network.hpp>
#include <moeroute/cuda/register_keys.hpp>
#include <moeroute/cuda/register_repair.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// A summary up to a common factor (score.hpp), which any part of the row with its largest logit gives.
template <class Score>
concept sums_ratios = requires(Score const& s, serial_group g, memory_row<float> z) { s.summarize_ratios(g, z); };

template <class R, class T, class H, class Id, class W, index_t Lanes, index_t Experts = 0, index_t Groups = 8>
struct route_in_registers {
  using S = std::remove_cvref_t<decltype(R::select)>;
  using Score = std::remove_cvref_t<decltype(R::score)>;
  using V = compute_t<T>;
  using key = network::key;
  static constexpr bool grouped = detail::is_group_limited<S>;
  static constexpr index_t lanes = Lanes, tile = 8;
  static constexpr index_t vec = detail::vector_of<T>(grouped ? Experts / Lanes : 0);
  using layout = register_layout<Lanes, vec, grouped, Experts, Groups>;

  // Policies it can serve at all; `serves` asks for the numbers.
  static constexpr bool possible = std::same_as<V, float> && is_none<decltype(R::prior)> &&
                                   (detail::is_top_k<S> || (grouped && Experts % Groups == 0 && Lanes % Groups == 0));
  static constexpr half_format format = half_format_of<T>;
  static constexpr bool exact_keys = ranks_logits<R> && format != half_format::unknown;
  static constexpr bool in_fixed_point =
      !ranks_logits<R> && rough_on_device<Score>::known && adds_parameter<std::remove_cvref_t<decltype(R::bias)>>;

  // Where a common factor of the scores cancels, the winners tell as much as the row.
  static constexpr bool may_wait = !grouped && ranks_logits<R> && sums_ratios<Score>;

  route_row<R, T, H, Id, W> plain;
  layout place;
  // The bits of a key that are not code, and how a number gets above the code. Known at compile time more often than
  // not, but an instruction takes one immediate, and that is the code of the place.
  key number_bits = 0, shift = 0;
  bool wait = false;  // for the winners, with the summary
  fixed_point scale = fixed_point::of(1);

  static route_in_registers of(route_row<R, T, H, Id, W> const& row) {
    route_in_registers b{row, layout::of(static_cast<index_t>(row.in.logits.cols), detail::groups_of(row.r.select))};
    if (!b.in_vectors()) b.place.without_vectors();
    b.number_bits = exact_keys ? 0xffff0000u : ~b.place.mask();
    b.shift = exact_keys ? 1u << 16 : b.place.mask() + 1;
    b.wait = may_wait && row.ratios_suffice();
    b.scale = fixed_point::of(b.place.bits());
    return b;
  }
  bool serves() const {
    index_t const k = plain.r.select.experts_per_token();
    offset_t const experts = plain.in.logits.cols;
    bool good = possible && (in_vectors() || !layout::known) && k >= 1 && k <= 4 * tile && k <= experts;
    good = good && (layout::known ? experts == Experts : experts <= (exact_keys ? 1 << 15 : 1 << 10));
    if constexpr (grouped) {
      auto const& s = plain.r.select;
      good = good && (layout::known ? s.groups == Groups : s.groups <= Lanes && (s.groups & (s.groups - 1)) == 0);
      index_t const n = good ? s.group_score.count(k, s.top_groups) : 3;
      good = good && s.closed == closed_groups::minus_infinity && n <= 2 && n * s.groups <= experts;
    }
    return good;
  }
  offset_t scratch_bytes() const { return aligned_bytes<V>(plain.out.ids.cols); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s, bool live) const {
    static_assert(G::static_lanes == Lanes);
    auto const& in = plain.in;
    bool known = live && knows_row(plain.r, in, t), bad = false;
    if (in.nan != nan_rule::rank_last) {
      bad = repair().has_nan(g, t);  // seldom
      known = known && !(bad && in.nan == nan_rule::drop_row);
    }
    row_view<V> const chosen{s.take<V>(plain.out.ids.cols), plain.out.ids.cols};
    V mine = 0;
    if (g.any_near(choose(g, t, known, chosen, mine))) {
      repair().choose(g, t, known, chosen);                                        // seldom
      mine = chosen[g.rank() < static_cast<index_t>(chosen.size) ? g.rank() : 0];  // seldom
    }
    row_view<W> const weights = plain.out.weights[t];
    if (chosen.size == tile) {
      V w[std::size_t{tile}];
      MOEROUTE_UNROLL
      for (index_t j = 0; j < tile; ++j) w[j] = g.from_lane(mine, j);
      plain.r.weigh(row_view<V>{w, tile});
      if (known && g.rank() < tile)
        weights[g.rank()] = static_cast<W>(bad ? not_a_number<V> : network::at(w, g.rank()));
    } else {
      repair().weigh(g, chosen);                                                              // seldom: k is another
      for (index_t j = g.rank(); known && j < static_cast<index_t>(chosen.size); j += Lanes)  // seldom
        weights[j] = static_cast<W>(bad ? not_a_number<V> : chosen[j]);                       // seldom
    }
    if (live && !known) {
      repair().nobody(g, t);  // seldom
    }
    if (!plain.out.scores.empty()) {
      repair().scores(g, t, known);  // seldom
    }
    g.sync();
  }

 private:
  // Whether every lane's pieces of logits and biases may be read as vectors.
  bool in_vectors() const {
    auto const& z = plain.in.logits;
    bool good = place.on_vectors(z.data) && z.stride % vec == 0;
    if constexpr (in_fixed_point)
      good = good && detail::rows_on_vectors(plain.r.bias, vec) && place.on_vectors(plain.r.bias.parameters({}).data);
    return good;
  }
  using help = register_repair<route_row<R, T, H, Id, W>, layout>;
  MOEROUTE_HD help repair() const { return {&plain, &place}; }
  MOEROUTE_HD vector_row<T, layout> logits(offset_t t) const { return {plain.in.logits[t].data, place}; }

  // Ids of the winners and their scores (the first ones also in their lanes); true if the filter cannot vouch for them.
  template <class G>
  MOEROUTE_HD bool choose(G const& g, offset_t t, bool known, row_view<V> chosen, V& mine_score) const {
    row_context const c = detail::context_of(plain.in, t, known);
    vector_row<T, layout> const row = logits(t);
    using summary = decltype(plain.summary(g, mapped_row{row, detail::nan_to_closed{}}));
    summary m{};
    if (!may_wait || !wait) {
      m = plain.summary(g, mapped_row{row, detail::nan_to_closed{}});  // seldom if renormalized
    }

    index_t const k = static_cast<index_t>(chosen.size);
    key own[std::size_t{tile}];  // this lane's list
    standing n;
    pass(g, t, c, m, row, known, chosen, 0, own, n);
    mine_score = n.score;
    MOEROUTE_UNROLL_BY(1)
    for (index_t base = tile; base < k; base += tile) pass(g, t, c, m, row, known, chosen, base, own, n);  // seldom
    if constexpr (exact_keys) {
      return false;
    } else {
      key const bar = floor_of(~g.max(~n.least_won)), last = g.from_lane(n.mine, (k - 1) % tile);
      bool doubt = n.doubt || bar == 0 || (place.chunks() > 1 && own[tile - 1] >= bar);
      MOEROUTE_UNROLL
      for (index_t i = 0; i < tile; ++i) doubt = doubt || (own[i] < last && own[i] >= bar);
      return doubt;
    }
  }

  // What a pass leaves to the next one and to the check.
  struct standing {
    key mine = 0, ceiling = 0;  // this lane's winner, the last one
    V score = 0;                // of this lane's winner
    bool open = true, doubt = false;
    std::int32_t least_won = largest<std::int32_t>;
    ranked<std::int32_t> exact{};  // this lane's winner
  };
  // Winners base, ..., base + 7; in later passes, of the keys below the last winner's.
  template <class G, class M>
  MOEROUTE_HD MOEROUTE_INLINE void pass(G const& g, offset_t t, row_context const& c, M& m,
                                        vector_row<T, layout> const& row, bool known, row_view<V> chosen, index_t base,
                                        key (&own)[std::size_t{tile}], standing& n) const {
    index_t const k = static_cast<index_t>(chosen.size), me = g.rank();
    bool const again = base > 0;
    best_of_lane(g, c, m, row, again, n.ceiling, own);
    if constexpr (grouped) {
      if (!again) n.open = is_open(g, c, m, row, own, n.doubt);
      MOEROUTE_UNROLL
      for (index_t i = 0; i < tile; ++i) own[i] = n.open ? own[i] : 0u;
    }
    key top[std::size_t{tile}];
    MOEROUTE_UNROLL
    for (index_t i = 0; i < tile; ++i) top[i] = own[i];
    network::best_of_lanes(g, top);
    n.ceiling = top[tile - 1];
    n.mine = network::at(top, me);
    bool const won = (Lanes == tile || me < tile) && base + me < k;
    index_t const id = place.expert(n.mine);
    V const z = load(row.data[id]);
    if constexpr (may_wait)
      if (wait && !again) m = plain.r.score.summarize_ratios(g, winners{won, detail::closed_if_nan(z)});
    n.score = score_of(plain.r.score, m, detail::closed_if_nan(z));
    if (won) {
      if (known) plain.out.ids[t][base + me] = static_cast<Id>(id);
      chosen[base + me] = n.score;
    }
    if constexpr (!exact_keys) {
      ranked<std::int32_t> before{largest<std::int32_t>, -1};
      if (again) before = {g.from_lane(n.exact.key, tile - 1), g.from_lane(n.exact.id, tile - 1)};
      n.exact = {order_key<V>(key_of(c, id, z, n.score)), id};
      n.least_won = won && n.exact.key < n.least_won ? n.exact.key : n.least_won;
      index_t const left = (me + Lanes - 1) % Lanes;
      ranked<std::int32_t> above{g.from_lane(n.exact.key, left), g.from_lane(id, left)};
      if (me == 0) above = before;
      n.doubt = n.doubt || (won && !beats(above, n.exact));
    }
  }

  // The winners' logits as a row: each lane has one, or none.
  struct winners {
    using value_type = V;
    bool has;
    V z;
    MOEROUTE_HD static index_t size() { return tile; }
    MOEROUTE_HD V at(index_t) const { return z; }
    template <class G, class F>
    MOEROUTE_HD void each(G const&, F&& f) const {
      if (has) f(index_t{0}, z);
    }
  };

  // The best keys of this lane's places; below `ceiling`, in later passes.
  template <class G, class M>
  MOEROUTE_HD MOEROUTE_INLINE void best_of_lane(G const& g, row_context const& c, M const& m,
                                                vector_row<T, layout> const& row, bool again, key ceiling,
                                                key (&own)[std::size_t{tile}]) const {
    key const lane = place.lane_code(g.rank()), below = ceiling > lane ? ceiling - lane : 0u;
    lane_walk at{row.data + place.id(g.rank(), 0), biases(c), place.place_code(0) + (exact_keys ? real_half : 0u)};
    if constexpr (in_fixed_point) at.bias += place.id(g.rank(), 0);
    auto const read = [&](auto whole, index_t n, key(&part)[std::size_t{tile}]) {
      MOEROUTE_UNROLL
      for (index_t i = 0; i < tile; i += vec) keys_of<decltype(whole)::value>(g, c, m, n * tile, i, at, &part[i]);
      at.next();
      if (again) {
        MOEROUTE_UNROLL
        for (index_t i = 0; i < tile; ++i) part[i] = part[i] < below ? part[i] : 0u;  // seldom
      }
    };
    auto const take = [&](auto whole, index_t n) {
      key part[std::size_t{tile}];
      read(whole, n, part);
      network::take_in(own, part);
    };
    index_t const filled = place.whole_chunks();
    if (filled > 0) {
      read(std::true_type{}, 0, own);
    } else {
      read(std::false_type{}, 0, own);  // seldom
    }
    network::sort(own);
    MOEROUTE_UNROLL_BY(layout::known ? 64 : 1)
    for (index_t n = 1; n < filled; ++n) take(std::true_type{}, n);
    MOEROUTE_UNROLL_BY(layout::known ? 64 : 1)
    for (index_t n = filled > 1 ? filled : 1; n < place.chunks(); ++n) take(std::false_type{}, n);  // seldom
    if (filled == place.chunks()) {
      MOEROUTE_UNROLL
      for (index_t i = 0; i < tile; ++i) own[i] += lane;
    } else {
      MOEROUTE_UNROLL
      for (index_t i = 0; i < tile; ++i) own[i] += own[i] != 0 ? lane : 0u;  // seldom
    }
  }
  struct words {
    std::uint32_t w[std::size_t{vec / 2}];
  };
  MOEROUTE_HD static auto biases_of(R const& r, row_context const& c) {
    if constexpr (in_fixed_point) return r.bias.parameters(c).data;
    else return static_cast<V const*>(nullptr);
  }
  MOEROUTE_HD auto biases(row_context const& c) const { return biases_of(plain.r, c); }
  // Where a lane stands: the logit and the bias of its first place in a chunk, and the code of that place.
  using parameter = std::remove_cvref_t<decltype(*biases_of(std::declval<R const&>(), row_context{}))>;
  struct lane_walk {
    T const* logit;
    parameter const* bias;
    key code;
    MOEROUTE_HD void next() {
      logit += layout::step, code -= static_cast<key>(layout::step);
      if constexpr (in_fixed_point) bias += layout::step;
    }
  };
  // Keys of places first + i, ..., the lane's part of the code left out; 0 where no expert is. Whole: none is missing.
  template <bool Whole, class G, class M>
  MOEROUTE_HD MOEROUTE_INLINE void keys_of(G const& g, row_context const& c, M const& m, index_t first, index_t i,
                                           lane_walk const& at, key* keys) const {
    neighbours<T, vec> p;
    if constexpr (Whole) p = vector_at<layout>(at.logit + layout::within(i));
    else p = piece_at(place, at.logit + layout::within(i), place.id(g.rank(), first + i));
    auto const code = [&](index_t j) { return at.code - static_cast<key>(layout::within(i + j)); };
    if constexpr (exact_keys) {
      auto const w = __builtin_bit_cast(words, p);
      MOEROUTE_UNROLL
      for (index_t j = 0; j < vec; j += 2) {
        std::uint32_t const two = ordered_halves<format>(w.w[j / 2]);
        keys[j] = two * shift + code(j);
        keys[j + 1] = (two & number_bits) | code(j + 1);
      }
    } else if constexpr (in_fixed_point) {
      neighbours<parameter, vec> b;
      if constexpr (Whole) b = vector_at<layout>(at.bias + layout::within(i));
      else b = piece_at(place, at.bias + layout::within(i), place.id(g.rank(), first + i));
      MOEROUTE_UNROLL
      for (index_t j = 0; j < vec; ++j) {
        float const rough = rough_on_device<Score>::of(plain.r.score, load(p.x[j]));
        keys[j] = fixed()(plain.r.bias(rough, static_cast<V>(b.x[j]))) * shift + code(j);
      }
    } else {
      MOEROUTE_UNROLL
      for (index_t j = 0; j < vec; ++j) {
        V x = load(p.x[j]);
        if constexpr (!ranks_logits<R>) {
          index_t const e = place.id(g.rank(), first + i + j);
          x = Whole || place.holds(g.rank(), first + i + j)
                  ? key_of(c, e, x, score_of(plain.r.score, m, detail::closed_if_nan(x)))
                  : x;
        }
        keys[j] = (ordered_number(x) & number_bits) | code(j);
      }
    }
    if constexpr (!Whole) {
      MOEROUTE_UNROLL
      for (index_t j = 0; j < vec; ++j) keys[j] = place.holds(g.rank(), first + i + j) ? keys[j] : 0u;
    }
  }
  MOEROUTE_HD V key_of(row_context const& c, index_t e, V z, V score) const {
    return detail::key_of(plain.r, c, e, z, score);
  }
  MOEROUTE_HD fixed_point fixed() const {
    if constexpr (layout::known) return fixed_point::of(place.bits());
    else return scale;
  }
  // No filter key of a number at least as large lies below.
  MOEROUTE_HD key floor_of(std::int32_t exact) const {
    if constexpr (in_fixed_point)
      return fixed()(from_order_key<V>(exact) - fixed_point::margin(rough_on_device<Score>::error)) * shift;
    else return floor_of_ordered(exact) & number_bits;
  }

  // Whether this lane's group is among the best, by the exact keys of the heads of its list.
  template <class G, class M>
  MOEROUTE_HD bool is_open(G const& g, row_context const& c, M const& m, vector_row<T, layout> const& row,
                           key const (&own)[std::size_t{tile}], bool& doubt) const {
    auto const& select = plain.r.select;
    key head[4] = {own[0], own[1], own[2], own[3]};
    for (index_t d = 1; d < place.per_group(); d *= 2) {
      key other[4];
      MOEROUTE_UNROLL
      for (index_t i = 0; i < 4; ++i) other[i] = g.exchange(head[i], d);
      network::merge(head, other);
    }
    bool const two = select.group_score.count(select.k, select.top_groups) == 2;
    V x[2];
    MOEROUTE_UNROLL
    for (index_t i = 0; i < 2; ++i) {
      index_t const e = place.expert(head[i]);
      V const z = load(row.data[e]);
      x[i] = detail::closed_if_nan(key_of(c, e, z, score_of(plain.r.score, m, detail::closed_if_nan(z))));
    }
    if constexpr (!exact_keys) {
      V const least_head = two ? math::min(x[0], x[1]) : x[0];
      doubt = doubt || (two ? head[2] : head[1]) >= floor_of(order_key<V>(least_head));
    }
    std::int32_t const mine = order_key<V>(two ? x[0] + x[1] : x[0]);
    index_t const group = g.rank() >> place.per_group_bits();
    index_t better = 0;
    MOEROUTE_UNROLL
    for (index_t q = 0; q < (layout::known ? Groups : select.groups); ++q) {
      std::int32_t const other = g.from_lane(mine, q * place.per_group());
      better += other > mine || (other == mine && q < group);
    }
    return better < select.top_groups;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
