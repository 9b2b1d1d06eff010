// Decides what tokens are worth to an expert in an auction: score less price, of scores that stand in columns, finite.
// Float rows go 16 tokens at a time on the CPU, same bits.
#pragma once

#include <moeroute/core/executor.hpp>
#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/sort.hpp>
#include <moeroute/cpu/simd/transpose.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

template <class V>
struct auction_arrays {
  offset_t tokens, stride, places;
  index_t experts;
  V epsilon;
  V* scores{};        // experts x stride, finite
  V* price{};         // tokens
  V* best{};          // tokens: highest bid of the round
  index_t* bidder{};  // tokens
  index_t* owner{};   // tokens
  V* bid{};           // experts x (places + 1)
  offset_t* wish{};   // experts x (places + 1)
  offset_t* held{};   // experts: tokens held
};

// value[t] = score - price of every token, `held` for those of the bidder.
template <class V, class G>
void value_tokens(G const& g, auction_arrays<V> const& a, offset_t e, index_t bidder, V held, V* value) {
  V const* const score = a.scores + e * a.stride;
  offset_t t = g.rank();
#if defined(MOEROUTE_SIMD)
  if constexpr (is_serial<G> && std::same_as<V, float>)
    for (simd::ints const me(bidder); t + 16 <= a.tokens; t += 16) {
      auto const left = simd::load<simd::floats>(score + t) - simd::load<simd::floats>(a.price + t);
      simd::store(value + t, simd::select(simd::load<simd::ints>(a.owner + t) == me, simd::floats(held), left));
    }
#endif
  for (; t < a.tokens; t += g.size()) value[t] = a.owner[t] == bidder ? held : score[t] - a.price[t];
  g.sync();
}

// The smallest and largest finite score; 0 and 0 where there is none.
template <class V>
struct score_range {
  V low, high;
};
template <class V, class T>
score_range<V> finite_range(matrix_view<T const> scores) {
  V low = infinity<V>, high = -infinity<V>;
  offset_t wide = 0;  // columns that were seen 16 at a time
#if defined(MOEROUTE_SIMD)
  if constexpr (std::same_as<T, float>) {
    using simd::floats;
    floats least(low), most(high);
    wide = scores.cols / 16 * 16;
    for (offset_t t = 0; t < scores.rows; ++t)
      for (offset_t e = 0; e < wide; e += 16) {
        auto const z = simd::load<floats>(scores[t].data + e);
        auto const finite = (floats(-infinity<float>) < z) & (z < floats(infinity<float>));
        least = simd::min(simd::select(finite, z, least), least);
        most = simd::max(simd::select(finite, z, most), most);
      }
    alignas(64) float ends[32];
    simd::store(ends, simd::segment_max<16>(-least));
    simd::store(ends + 16, simd::segment_max<16>(most));
    low = -ends[0], high = ends[16];
  }
#endif
  for (offset_t t = 0; t < scores.rows; ++t)
    for (offset_t e = wide; e < scores.cols; ++e)
      if (V const z = load(scores[t][e]); z > -infinity<V> && z < infinity<V>)
        low = z < low ? z : low, high = z > high ? z : high;
  return low <= high ? score_range<V>{low, high} : score_range<V>{0, 0};
}
// columns[e * stride + t] = score, or `instead` where it is not finite.
template <class V, class T>
void finite_columns(matrix_view<T const> scores, V instead, V* columns, offset_t stride) {
  offset_t t = 0;
#if defined(MOEROUTE_SIMD)
  if constexpr (std::same_as<T, float>)
    for (; t < scores.rows; t += 16) {
      float const* row[16];
      offset_t const rows = scores.rows - t < 16 ? scores.rows - t : 16;
      for (offset_t i = 0; i < rows; ++i) row[i] = scores[t + i].data;
      simd::rows_to_columns(row, static_cast<int>(rows), scores.cols, columns + t, stride, [&](simd::floats z) {
        auto const finite = (simd::floats(-infinity<float>) < z) & (z < simd::floats(infinity<float>));
        return simd::select(finite, z, simd::floats(instead));
      });
    }
#endif
  for (; t < scores.rows; ++t)
    for (offset_t e = 0; e < scores.cols; ++e) {
      V const z = load(scores[t][e]);
      columns[e * stride + t] = z > -infinity<V> && z < infinity<V> ? z : instead;
    }
}

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
