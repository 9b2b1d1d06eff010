// Decides the order of a few keys in each of a few rows, side by side: like rank.hpp, with less work for a row. Each key
// counts those above it; the lane of the r-th best, r < 8, is put in the r-th nibble of a word, which is the inverse of the
// permutation the counts are. Equal keys have the same count, and none has the next: such rows can be told apart, and
// are not put in order.
#pragma once

#include <moeroute/cpu/simd/memory.hpp>
#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {
// Keeps memory out of the compiler's sight: it would make shuffles of reads, and three instructions of a masked sum.
template <class T>
MOEROUTE_SIMD_INLINE void hide(T& x) {
  __asm__("" : "+m"(x));
}
}  // namespace detail

// How many of the first `count` keys of the same segment of 16 lanes are larger. count: a multiple of 4.
template <int R>
MOEROUTE_SIMD_INLINE vec<std::int32_t, 16 * R> keys_above(vec<float, 16 * R> key, int count) {
  using I = vec<std::int32_t, 16 * R>;
  alignas(64) float lane[std::size_t{16} * R];
  store(lane, key);
  detail::hide(lane);
  std::int32_t one = 1;
  detail::hide(one);
  I above(0), next(one);
  for (int j = 0; j < count; j += 4)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      auto const beaten =
          key < side_by_side<R>([&](int q) MOEROUTE_SIMD_LAMBDA { return floats(lane[16 * q + j + i]); });
#if defined(__AVX512F__)
      above = select(beaten, above + next, above);
#else
      above = above - beaten;
#endif
    }
  return above;
}

// The lanes of the 8 best keys of each segment of 16, best first, from the counts of `keys_above`; twice.
template <int R>
MOEROUTE_SIMD_INLINE vec<std::int32_t, 16 * R> lanes_in_order(vec<std::int32_t, 16 * R> above) {
  using U = vec<std::uint32_t, 16 * R>;
  auto const in_each = [](auto x) MOEROUTE_SIMD_LAMBDA {
    return side_by_side<R>([&](int) MOEROUTE_SIMD_LAMBDA { return x; });
  };
  U const lane = bits_as<std::uint32_t>(in_each(lane_id())), bits = U(4u) * lane & U(31u);
  U const shift = bits_as<std::uint32_t>(above << 2) & U(31u);
  U const nibble = select(above < vec<std::int32_t, 16 * R>(8), lane << shift, U(0u));
  return bits_as<std::int32_t>((segment_sum<16>(nibble) >> bits) & U(15u));
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
