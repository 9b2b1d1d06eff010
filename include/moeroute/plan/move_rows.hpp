// Decides how rows are copied, weighed, summed and multiplied when they travel: lanes stripe the width, sums
// run in the order of their terms, in float (double if anything is double), and have the same bits for every
// lane group.
#pragma once

#include <moeroute/core/tree_sum.hpp>
#include <moeroute/plan/move_pieces.hpp>
#include <moeroute/plan/stream.hpp>
#include <moeroute/plan/view.hpp>
#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/math.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// sum_i a[i] b[i], the same bits for every lane group.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, lane_group G, class A, class B>
MOEROUTE_HD V dot(G const& g, A const* a, B const* b, offset_t width) {
  return tree_fold<V>(g, width, [&](V sum, offset_t i) { return math::fma(widen<V>(a[i]), widen<V>(b[i]), sum); });
}

inline constexpr index_t tile_width = 64;  // columns of a sum that stay in registers, one lane
// One tile of one lane, from column d on: in registers, whatever the compiler's level.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class O, class Terms>
MOEROUTE_HD MOEROUTE_INLINE void sum_tile(O* to, offset_t d, Terms const& terms) {
#if defined(MOEROUTE_SIMD)
  if constexpr (std::same_as<V, float>) {
    using simd::floats;
    floats part[4] = {floats(0.f), floats(0.f), floats(0.f), floats(0.f)};
    terms([&](auto const* row, V w) {
      floats const f(w);
      if constexpr (std::same_as<std::remove_cvref_t<decltype(*row)>, float>) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) part[j] = simd::simd_fma(f, simd::load<floats>(row + d + 16 * j), part[j]);
      } else {
        alignas(64) float wide[tile_width];
        for (index_t i = 0; i < tile_width; ++i) wide[i] = widen<V>(row[d + i]);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) part[j] = simd::simd_fma(f, simd::load<floats>(wide + 16 * j), part[j]);
      }
    });
    if constexpr (std::same_as<O, float>) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) simd::store(to + 16 * j, part[j]);
    } else {
      alignas(64) float wide[tile_width];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) simd::store(wide + 16 * j, part[j]);
      for (index_t i = 0; i < tile_width; ++i) to[i] = store<O>(wide[i]);
    }
    return;
  }
#endif
  V sum[tile_width];
  for (index_t i = 0; i < tile_width; ++i) sum[i] = 0;
  terms([&](auto const* row, V w) {
    for (index_t i = 0; i < tile_width; ++i) sum[i] = math::fma(w, widen<V>(row[d + i]), sum[i]);
  });
  for (index_t i = 0; i < tile_width; ++i) to[i] = store<O>(sum[i]);
}
// The terms of one sum, written down once for all its tiles.
template <class V, class T>
struct term_list {
  static constexpr index_t most = 16;
  T const* row[std::size_t{most}];
  V weight[std::size_t{most}];
  index_t n = 0;  // more than `most`: not all are here

  MOEROUTE_HD void operator()(T const* r, V w) {
    if (n < most) row[n] = r, weight[n] = w;
    ++n;
  }
  MOEROUTE_HD bool complete() const { return n <= most; }
};
// What one lane reads soon: each row a little ahead, and past its end the row that takes its place in the
// next sum. Distance: enough lines for the latency of memory, few enough for the second cache.
template <class V, class T>
struct rows_ahead {
  term_list<V, T> const& next;
  offset_t width;
  offset_t lead = width * static_cast<offset_t>(sizeof(T)) < 2048 ? width : 2048 / static_cast<offset_t>(sizeof(T));

  MOEROUTE_HD void operator()(index_t i, T const* row, offset_t d) const {
    T const* const soon = d + lead < width                          ? row + d + lead
                          : i < next.n && i < term_list<V, T>::most ? next.row[i] + (d + lead - width)
                                                                    : row;
    fetch_ahead(soon, tile_width * static_cast<offset_t>(sizeof(T)));
  }
};
struct nothing_ahead {
  MOEROUTE_HD void operator()(index_t, void const*, offset_t) const {}
};
// The tiles of a listed sum; returns the first column that is left. `stream`: `to` goes past the caches.
template <class V, class T, class O, class Ahead>
MOEROUTE_HD offset_t sum_tiles(O* to, offset_t width, term_list<V, T> const& terms, Ahead const& ahead, bool stream) {
  offset_t d = 0;
  for (; d + tile_width <= width; d += tile_width) {
    alignas(64) O out[tile_width];
    sum_tile<V>(stream ? out : to + d, d, [&](auto&& visit) {
      for (index_t i = 0; i < terms.n; ++i) ahead(i, terms.row[i], d), visit(terms.row[i], terms.weight[i]);
    });
    if (stream) stream_copy(out, to + d, tile_width * static_cast<offset_t>(sizeof(O)));
  }
  return d;
}
// Columns first, first + g.size(), ..., one by one.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class T, class O, class G, class Terms>
MOEROUTE_HD void sum_each(G const& g, O* to, offset_t first, offset_t width, Terms const& terms) {
  for (offset_t d = first; d < width; d += g.size()) {
    V sum = 0;
    terms([&](T const* row, V w) { sum = math::fma(w, widen<V>(row[d]), sum); });
    to[d] = store<O>(sum);
  }
}
// to[d] = sum over the terms of w * row[d]; terms(visit) calls visit(row of T, w) for each, in order. `aligned`:
// `to` and all rows lie on 16 bytes.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class T, class O, class G, class Terms, class Ahead = nothing_ahead>
MOEROUTE_HD void sum_rows(G const& g, O* to, offset_t width, bool aligned, Terms const& terms, Ahead const& ahead = {},
                          bool stream = false) {
  offset_t d = g.rank();
  if constexpr (is_serial<G>) {
    term_list<V, T> list;
    terms(list);
    if (list.complete()) d = sum_tiles(to, width, list, ahead, stream);
    else
      for (; d + tile_width <= width; d += tile_width) sum_tile<V>(to + d, d, terms);
  } else if (aligned) {
    d += sum_pieces<V, T>(g, to, width, terms);
  }
  if (d < width) {
    sum_each<V, T>(g, to, d, width, terms);  // seldom
  }
}

}  // namespace detail

// ---- checks that permute and combine share ---------------------------------------------------------------

namespace detail {

// Grouped rows: as many as the plan uses (known on the host), and of the tokens' width.
template <executor X, std::signed_integral Slot, class O>
void check_rows(X const&, checks& c, char const* rows, char const* columns, plan_view<Slot> const& plan,
                matrix_view<O> const& m, offset_t width) {
  c.strided(columns, m).must_be(columns, m.cols, width);
  if constexpr (runs_on_host<X>)
    if (c.result().ok()) c.at_least(rows, m.rows, plan.offsets[plan.experts()], errc::too_small);
}
template <class T, std::signed_integral Slot>
void check_tokens(checks& c, char const* rows, char const* columns, plan_view<Slot> const& plan,
                  matrix_view<T> const& m, offset_t width) {
  c.must_be(rows, m.rows, plan.choices.tokens).must_be(columns, m.cols, width).strided(columns, m);
}
template <executor X, std::signed_integral Slot>
void check_plan_in_use(X const&, checks& c, plan_view<Slot> const& plan) {
  c.at_least("plan.offsets size", plan.offsets.size, 1, errc::missing);
  if constexpr (runs_on_host<X>) c.must_be("plan.slot_of_choice size", plan.slot_of_choice.size, plan.choices.size());
}
template <executor X, class W, std::signed_integral Slot>
void check_weights(X const&, checks& c, char const* rows, char const* columns, plan_view<Slot> const& plan,
                   matrix_view<W> const& m) {
  if (m.data == nullptr) return;
  if constexpr (runs_on_host<X>) fits_choices(c, rows, columns, m, plan.choices);
}

}  // namespace detail

// ---- padding rows ----------------------------------------------------------------------------------------------

// A chunk of slots: zeros in its padding rows.
template <element O, std::signed_integral Slot>
struct zero_padding_rows {
  plan_view<Slot> plan;
  matrix_view<O> grouped;

  static constexpr offset_t slots = 32;  // of a chunk
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t chunk, scratch) const {
    offset_t const first = chunk * slots, used = plan.offsets[plan.experts()];
    for (offset_t slot = first; slot < first + slots && slot < used; ++slot)
      if (plan.token_of_slot[slot] < 0)
        for (offset_t d = g.rank(); d < grouped.cols; d += g.size()) grouped[slot][d] = store<O>(0.f);
    g.sync();
  }
};

// Zeros in the padding rows of every expert; needs plan.token_of_slot. permute does it by itself, but for
// row_range, whose caller does it once.
template <executor X, element O, std::signed_integral Slot>
status try_zero_padding(X const& x, plan_view<Slot> const& plan, matrix_view<O> grouped) noexcept {
  checks c;
  detail::check_plan_in_use(x, c, plan);
  detail::check_rows(x, c, "grouped rows", "grouped columns", plan, grouped, grouped.cols);
  if (!c.result().ok() || plan.token_of_slot.empty()) return c.result();
  offset_t const chunks = (plan.token_of_slot.size + 31) / zero_padding_rows<O, Slot>::slots;
  return x.run(chunks, zero_padding_rows<O, Slot>{plan, grouped}, {});
}

}  // namespace moeroute::inline MOEROUTE_ABI
