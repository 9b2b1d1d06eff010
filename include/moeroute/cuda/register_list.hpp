// Decides a lane's list: the eight best keys of its experts, best first. Chunk by chunk keys are made, sorted and merged
// into the list; chunks in which every lane has an expert at every place are read without a question.
//
// Which keys a router and a type of logits have (cuda/register_keys.hpp) is decided here too.
#pragma once

#include <moeroute/core/key_network.hpp>
#include <moeroute/cuda/register_keys.hpp>
#include <moeroute/cuda/register_layout.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class R, class T, class Layout>
struct register_list {
  using Score = std::remove_cvref_t<decltype(R::score)>;
  using V = compute_t<T>;
  using key = network::key;
  static constexpr index_t tile = Layout::chunk, vec = Layout::vec;
  using keys = key[std::size_t{tile}];
  static constexpr half_format format = half_format_of<T>;
  static constexpr bool exact_keys = ranks_logits<R> && format != half_format::unknown;
  static constexpr bool in_fixed_point =
      !ranks_logits<R> && rough_on_device<Score>::known && adds_parameter<std::remove_cvref_t<decltype(R::bias)>>;

  Layout place;
  // The bits of a key that are not code, and how a number gets above the code. Known at compile time more often than
  // not, but an instruction takes one immediate, and that is the code of the place.
  key number_bits = 0, shift = 0;
  fixed_point scale = fixed_point::of(1);

  static register_list of(Layout const& place) {
    key const mask = exact_keys ? 0xffffu : place.mask();
    return {place, ~mask, mask + 1, fixed_point::of(place.bits())};
  }
  // Whether every lane's pieces of logits and biases may be read as vectors.
  bool on_vectors(R const& r, matrix_view<T const> z) const {
    bool good = place.on_vectors(z.data) && z.stride % vec == 0;
    if constexpr (in_fixed_point)
      good = good && detail::rows_on_vectors(r.bias, vec) && place.on_vectors(r.bias.parameters({}).data);
    return good;
  }
  // No filter key of a number at least as large lies below; exact keys need no floor.
  MOEROUTE_HD key floor_of(std::int32_t exact) const {
    if constexpr (exact_keys) return largest<key>;
    else if constexpr (in_fixed_point)
      return fixed()(from_order_key<V>(exact) - fixed_point::margin(rough_on_device<Score>::error)) * shift;
    else return floor_of_ordered(exact) & number_bits;
  }

  // The best keys of this lane's places in a row; in later passes those below `ceiling`. M: the score's summary of the
  // row, where the keys are scores.
  template <class G, class M>
  MOEROUTE_HD MOEROUTE_INLINE void best(G const& g, R const& r, row_context const& c, M const& m, T const* row,
                                        bool again, key ceiling, keys& own) const {
    index_t const me = g.rank(), filled = place.whole_chunks();
    walk at{row + place.id(me, 0), parameters(r, c), me};
    if constexpr (in_fixed_point) at.bias += place.id(me, 0);
    key const lane = place.lane_code(me);
    auto const read = [&](auto whole, index_t n, keys& part) {
      MOEROUTE_UNROLL
      for (index_t i = 0; i < tile; i += vec) make<decltype(whole)::value>(r, c, m, at, n, i, &part[i]);
      at.next();
      if (again) {
        key const later = lane + static_cast<key>(place.chunks() - 1 - n) * Layout::rise;  // seldom
        MOEROUTE_UNROLL
        for (index_t i = 0; i < tile; ++i) part[i] = part[i] + later < ceiling ? part[i] : 0u;  // seldom
      }
    };
    auto const take = [&](auto whole, index_t n) {
      keys part;
      read(whole, n, part);
      network::take_in(own, part, Layout::rise);
    };
    if (filled > 0) {
      read(std::true_type{}, 0, own);
      network::sort(own);
    } else {
      MOEROUTE_UNROLL
      for (index_t i = 0; i < tile; ++i) own[i] = 0;  // seldom
    }
    MOEROUTE_UNROLL_BY(Layout::known ? 64 : 1)
    for (index_t n = 1; n < filled; ++n) take(std::true_type{}, n);
    MOEROUTE_UNROLL_BY(Layout::known ? 64 : 1)
    for (index_t n = filled; n < place.chunks(); ++n) take(std::false_type{}, n);  // seldom
    // A place without an expert has a code like any other from here on, and a number below all.
    MOEROUTE_UNROLL
    for (index_t i = 0; i < tile; ++i) own[i] += lane;
  }

 private:
  MOEROUTE_HD static auto parameters(R const& r, row_context const& c) {
    if constexpr (in_fixed_point) return r.bias.parameters(c).data;
    else return static_cast<V const*>(nullptr);
  }
  using parameter = std::remove_cvref_t<decltype(*parameters(std::declval<R const&>(), row_context{}))>;
  // Where a lane stands: the logit and the bias of its first place in a chunk.
  struct walk {
    T const* logit;
    parameter const* bias;
    index_t rank;
    MOEROUTE_HD void next() {
      logit += Layout::step;
      if constexpr (in_fixed_point) bias += Layout::step;
    }
  };
  // Neighbours from place i of chunk n on. Whole: none is missing.
  template <bool Whole, class X>
  MOEROUTE_HD neighbours<X, vec> piece(X const* p, index_t rank, index_t n, index_t i) const {
    if constexpr (Whole) return vector_at<Layout>(p + Layout::within(i));
    else return piece_at(place, p + Layout::within(i), place.id(rank, n * tile + i));
  }
  // Keys of places i, ..., i + vec - 1 of chunk n, the lane's part of the code left out; 0 where no expert is.
  template <bool Whole, class M>
  MOEROUTE_HD MOEROUTE_INLINE void make(R const& r, row_context const& c, M const& m, walk const& at, index_t n,
                                        index_t i, key* k) const {
    auto const p = piece<Whole>(at.logit, at.rank, n, i);
    auto const holds = [&](index_t j) { return Whole || place.holds(at.rank, n * tile + i + j); };
    auto const code = [&](index_t j) { return place.place_code(n, i + j); };
    if constexpr (exact_keys) {
      struct words {
        std::uint32_t w[std::size_t{vec / 2}];
      };
      auto const w = __builtin_bit_cast(words, p);
      MOEROUTE_UNROLL
      for (index_t j = 0; j < vec; j += 2) {
        std::uint32_t const two = ordered_halves<format>(w.w[j / 2]);
        k[j] = two * shift + (code(j) | real_half);
        k[j + 1] = (two & number_bits) | (code(j + 1) | real_half);
      }
    } else if constexpr (in_fixed_point) {
      auto const b = piece<Whole>(at.bias, at.rank, n, i);
      MOEROUTE_UNROLL
      for (index_t j = 0; j < vec; ++j) {
        float const rough = rough_on_device<Score>::of(r.score, load(p.x[j]));
        k[j] = fixed()(r.bias(rough, static_cast<V>(b.x[j]))) * shift + code(j);
      }
    } else {
      MOEROUTE_UNROLL
      for (index_t j = 0; j < vec; ++j) {
        V x = load(p.x[j]);
        if constexpr (!ranks_logits<R>) {
          index_t const e = place.id(at.rank, n * tile + i + j);
          if (holds(j)) x = detail::key_of(r, c, e, x, score_of(r.score, m, detail::closed_if_nan(x)));
        }
        k[j] = (ordered_number(x) & number_bits) | code(j);
      }
    }
    if constexpr (!Whole) {
      MOEROUTE_UNROLL
      for (index_t j = 0; j < vec; ++j) k[j] = holds(j) ? k[j] : 0u;
    }
  }
  MOEROUTE_HD fixed_point fixed() const {
    if constexpr (Layout::known) return fixed_point::of(place.bits());
    else return scale;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
