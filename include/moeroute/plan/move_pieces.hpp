// Decides how lanes that share a row move it: by pieces of 16 bytes, full lines of a GPU. A lane holds a few pieces in
// registers and walks with them over the terms of a sum, or over the places that a row goes to: what belongs to a term
// or a place (slot, weight, address) is found once for all of them.
#pragma once

#include <moeroute/core/group.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

template <class... T>
using widest_t = std::conditional_t<(std::same_as<std::remove_const_t<T>, double> || ...), double, float>;

// A number of type T, widened to the type sums are made in.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, element T>
MOEROUTE_HD constexpr V widen(T x) {
  return static_cast<V>(load(x));
}

// Neighbours of a row that one lane moves at once, where rows lie on 16 bytes.
template <class T, index_t N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) piece {
  T x[std::size_t{N}];
};
MOEROUTE_HD inline bool on_16_bytes(void const* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }
template <offset_t N, class T>
MOEROUTE_HD bool rows_on_bytes(matrix_view<T> const& m) {
  return reinterpret_cast<std::uintptr_t>(m.data) % N == 0 && m.stride * static_cast<offset_t>(sizeof(T)) % N == 0;
}

// Pieces of a row of `width` numbers, N numbers each, that a lane walks with at a time: `Together`, then one by one.
// work(fixed<pieces>, first piece); the lane's next piece is g.size() further. Returns the
// numbers that lie in pieces.
template <index_t N, index_t Together, class G, class Work>
MOEROUTE_HD offset_t each_piece(G const& g, offset_t width, Work const& work) {
  offset_t const step = g.size(), pieces = width / N;
  offset_t p = g.rank();
  MOEROUTE_UNROLL_BY(1)
  for (; p + (Together - 1) * step < pieces; p += Together * step) work(fixed<Together>, p);
  MOEROUTE_UNROLL_BY(1)
  for (; p < pieces; p += step) work(fixed<1>, p);  // seldom: the end of a row
  return pieces * N;
}
// As many pieces as 32 registers hold, at most 4.
template <class T, index_t N>
inline constexpr index_t pieces_together = N * sizeof(T) <= 32 ? 4 : 128 / (N * sizeof(T));

template <index_t Pieces, class Piece, class T>
MOEROUTE_HD MOEROUTE_INLINE void read_pieces(Piece (&to)[std::size_t{Pieces}], T const* row, offset_t p,
                                             offset_t step) {
  auto const* const from = reinterpret_cast<Piece const*>(row) + p;
  MOEROUTE_UNROLL
  for (index_t u = 0; u < Pieces; ++u) to[u] = from[u * step];
}

// to[d] = sum over the terms of w * row[d], for the numbers that lie in pieces; returns how many. All rows on 16 bytes;
// terms(visit) calls visit(row of T, w) for each term, in order.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class T, class O, class G, class Terms>
MOEROUTE_HD offset_t sum_pieces(G const& g, O* to, offset_t width, Terms const& terms) {
  constexpr index_t n = 16 / static_cast<index_t>(sizeof(O));
  offset_t const step = g.size();
  return each_piece<n, pieces_together<V, n>>(g, width, [&](auto together, offset_t p) {
    constexpr index_t pieces = together;
    V sum[std::size_t{pieces}][std::size_t{n}] = {};
    terms([&](T const* row, V w) {
      piece<T, n> a[std::size_t{pieces}];
      read_pieces<pieces>(a, row, p, step);
      MOEROUTE_UNROLL
      for (index_t u = 0; u < pieces; ++u) MOEROUTE_UNROLL
      for (index_t i = 0; i < n; ++i) sum[u][i] = math::fma(w, widen<V>(a[u].x[i]), sum[u][i]);
    });
    auto* const out = reinterpret_cast<piece<O, n>*>(to) + p;
    MOEROUTE_UNROLL
    for (index_t u = 0; u < pieces; ++u) {
      piece<O, n> y;
      MOEROUTE_UNROLL
      for (index_t i = 0; i < n; ++i) y.x[i] = store<O>(sum[u][i]);
      out[u * step] = y;
    }
  });
}

// to[d] = f(from[d], w) for every place of a row, which is read once; places(visit) calls visit(row of O, w) for each.
// `aligned`: all rows lie on 16 bytes.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class O, class T, class G, class Places, class F>
MOEROUTE_HD void spread_row(G const& g, T const* from, offset_t width, bool aligned, Places const& places, F const& f) {
  offset_t done = 0;
  if constexpr (!is_serial<G>)
    if (aligned) {
      constexpr index_t n = 16 / static_cast<index_t>(sizeof(T) > sizeof(O) ? sizeof(T) : sizeof(O));
      offset_t const step = g.size();
      done = each_piece<n, pieces_together<T, n>>(g, width, [&](auto together, offset_t p) {
        constexpr index_t pieces = together;
        piece<T, n> a[std::size_t{pieces}];
        read_pieces<pieces>(a, from, p, step);
        places([&](O* to, V w) {
          auto* const out = reinterpret_cast<piece<O, n>*>(to) + p;
          MOEROUTE_UNROLL
          for (index_t u = 0; u < pieces; ++u) {
            piece<O, n> b;
            MOEROUTE_UNROLL
            for (index_t i = 0; i < n; ++i) b.x[i] = f(a[u].x[i], w);
            out[u * step] = b;
          }
        });
      });
    }
  auto const one_by_one = [&](O* to, V w) {
    for (offset_t d = done + g.rank(); d < width; d += g.size()) to[d] = f(from[d], w);
  };
  if (done < width) {
    places(one_by_one);  // seldom
  }
}
// to[d] = w * from[d], rounded once.
template <class V, class O>
struct scaled_into {
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class T>
  MOEROUTE_HD O operator()(T x, V w) const {
    return store<O>(w * widen<V>(x));
  }
};
// to[d] = from[d], converted where the types differ.
template <class V, class O>
struct copied_into {
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class T>
  MOEROUTE_HD O operator()(T x, V) const {
    if constexpr (std::same_as<T, O>) return x;
    else return store<O>(widen<V>(x));
  }
};

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
