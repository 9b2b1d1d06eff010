// Decides how up to 16 numbers are put in order without a network: every lane counts, one number after the other, those
// that come before its own. Few steps wait for each other, and the loop is short to compile.
#pragma once

#include <moeroute/cpu/simd/memory.hpp>
#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE ints one_more_where(ints m, ints n) {
#if defined(__AVX512F__)
  return select(m, n + 1, n);  // one masked addition
#else
  return n - m;
#endif
}
}  // namespace detail

// The k-th largest of n numbers, in all lanes; no NaN. Up to a multiple of 16 there are smaller or equal ones.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline floats kth_largest(float const* x, int n, int k) {
  floats kth(infinity<float>);
  for (int i = 0; i < n; i += 16) {
    floats const part = load<floats>(x + i);
    ints larger(0);
#pragma GCC unroll unrolled
    for (int j = 0; j < n; ++j) larger = detail::one_more_where(part < floats(x[j]), larger);
    if (n == 16)  // the lane is known, sooner than a minimum, where no other before it is as large
      if (unsigned const there = bits_equal(larger, ints(k - 1)); there != 0) return floats(x[std::countr_zero(there)]);
    kth = min(select(larger < ints(k), part, floats(infinity<float>)), kth);
  }
  return segment_min<16>(kth);
}

// Integers that order as the numbers do; -0 equals 0, no NaN.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE ints order_keys(floats x) {
  ints const b = bits_as<std::int32_t>(x + floats(0.f));
  return b ^ (b >> 31 & ints(largest<std::int32_t>));
}
// How many of the first n numbers come before that of a lane: larger ones, and equal ones of lower lanes.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE ints ranks(ints key, int n) {
  static constexpr std::int32_t later[32] = {0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
                                             -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  alignas(64) std::int32_t lane[16];
  store(lane, key);
  ints before(0);
#pragma GCC unroll unrolled
  for (int j = 0; j < n; ++j)  // a lane behind j: j >= it, as j > it - 1
    before = detail::one_more_where(key + load<ints>(later + 15 - j) < ints(lane[j]), before);
  return before;
}
// Lane r is the lane of rank r: nibble r of a word names it. Even and odd lanes are the halves of 64-bit lanes.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE ints lanes_of(ints rank) {
#if MOEROUTE_SIMD_BYTES == 16 && defined(__x86_64__)  // has no shifts by lanes
  alignas(16) std::int32_t of[16], lane[16];
  store(of, rank);
  for (int i = 0; i < 16; ++i) lane[of[i]] = i;
  return load<ints>(lane);
#else
  using W = vec<std::uint64_t, 8>;
  static constexpr std::uint64_t even[8] = {0, 2, 4, 6, 8, 10, 12, 14}, odd[8] = {1, 3, 5, 7, 9, 11, 13, 15};
  W const shift = bits_as<std::uint64_t>(rank << 2), even_lane = load<W>(even), odd_lane = load<W>(odd);
  ints word = bits_as<std::int32_t>((even_lane << (shift & W(0xffffffffu))) | (odd_lane << (shift >> 32)));
  word = word | swap<8>(word);
  word = word | swap<4>(word);
  W const all = bits_as<std::uint64_t>(word | swap<2>(word));
  auto const nibble = [&](W n) MOEROUTE_SIMD_LAMBDA { return (all >> (n << 2)) & W(std::uint64_t{15}); };
  return bits_as<std::int32_t>(nibble(even_lane) | (nibble(odd_lane) << 32));
#endif
}
// A guess of the order of 16 numbers: right but where some differ in their last four bits alone, or are equal.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE ints guessed_order(floats x) {
  alignas(64) std::int32_t lane[16];
  ints const key = (order_keys(x) & ints(~15)) | (ints(15) - lane_id());  // no two alike
  store(lane, key);
  ints before(0);
#pragma GCC unroll unrolled
  for (int j = 0; j < 16; ++j) before = detail::one_more_where(key < ints(lane[j]), before);
  return lanes_of(before);
}
// The lanes in the order (larger number, lower lane), of each 16 numbers of a few rows; no NaN.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void order_rows(float const* x, int rows, std::int32_t* order) {
  for (int i = 0; i < 16 * rows; i += 16) store(order + i, ranks(order_keys(load<floats>(x + i)), 16));
  for (int i = 0; i < 16 * rows; i += 16) store(order + i, lanes_of(load<ints>(order + i)));
}

// Whether that is their order.
MOEROUTE_SIMD_INLINE bool in_order(floats x, ints order) {
  ints const behind = min(lane_id() + 1, ints(15));
  floats const one = permute(x, order), next = permute(one, behind);
  return lane_bits((next < one) | ((next == one) & (order <= permute(order, behind)))) == 0xffff;
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
