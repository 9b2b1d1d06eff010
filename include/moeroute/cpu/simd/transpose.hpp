// Decides how rows of tokens become columns of experts on the CPU: tiles of 16 by 16 turned in registers.
#pragma once

#include <moeroute/cpu/simd/vec.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// Blocks of B lanes of a and b: those without bit B of both, a first; those with it.
template <int B>
MOEROUTE_SIMD_INLINE floats even_blocks(floats a, floats b) {
  if constexpr (one_register<float, 16>) return shuffle<16>(a, b, [](int i) { return (i & B) != 0 ? 16 + i - B : i; });
#if defined(__aarch64__)
  else if constexpr (B < 4)
    return each(
        [](auto x, auto y)
            MOEROUTE_SIMD_LAMBDA { return shuffle<4>(x, y, [](int i) { return (i & B) != 0 ? 4 + i - B : i; }); },
        a, b);
#endif
  else return blend<B>(a, swap<B>(b));
}
template <int B>
MOEROUTE_SIMD_INLINE floats odd_blocks(floats a, floats b) {
  if constexpr (one_register<float, 16>) return shuffle<16>(a, b, [](int i) { return (i & B) != 0 ? 16 + i : i + B; });
#if defined(__aarch64__)
  else if constexpr (B < 4)
    return each(
        [](auto x, auto y)
            MOEROUTE_SIMD_LAMBDA { return shuffle<4>(x, y, [](int i) { return (i & B) != 0 ? 4 + i : i + B; }); },
        a, b);
#endif
  else return blend<B>(swap<B>(a), b);
}

namespace detail {
// Exchanges the off-diagonal blocks of side B: 16 registers hold 16 rows.
template <int B>
MOEROUTE_SIMD_INLINE void exchange_blocks(floats (&r)[16]) {
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i)
    if ((i & B) == 0) {
      floats const a = r[i], b = r[i + B];
      r[i] = even_blocks<B>(a, b);
      r[i + B] = odd_blocks<B>(a, b);
    }
}
}  // namespace detail

MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE void transpose(floats (&r)[16]) {
  detail::exchange_blocks<8>(r);
  detail::exchange_blocks<4>(r);
  detail::exchange_blocks<2>(r);
  detail::exchange_blocks<1>(r);
}

// to[e * to_stride + i] = map(row[i][e]) for i < rows <= 16, e < columns; `map` takes 16 numbers at a time.
template <class Map>
inline void rows_to_columns(float const* const* row, int rows, std::int64_t columns, float* to, std::int64_t to_stride,
                            Map const& map) {
  std::int64_t e = 0;
  if (rows == 16)
    for (; e + 16 <= columns; e += 16) {
      floats r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) r[i] = load<floats>(row[i] + e);
      transpose(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) store(to + (e + i) * to_stride, map(r[i]));
    }
  for (; e < columns; ++e) {
    alignas(64) float lane[16] = {};
    for (int i = 0; i < rows; ++i) lane[i] = row[i][e];
    store(lane, map(load<floats>(lane)));
    for (int i = 0; i < rows; ++i) to[e * to_stride + i] = lane[i];
  }
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
