// Decides what is done for 16 rows at once, a row to each lane: a number of every row is found, or 16 numbers of every row
// are put in order, by networks whose steps are plain minima and maxima of registers.
#pragma once

#include <moeroute/cpu/simd/rank.hpp>
#include <moeroute/cpu/simd/transpose.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {
// Batcher's odd-even merge sort of 16 places: the larger number goes to `first`.
struct exchange {
  std::uint8_t first, second;
};
inline constexpr int exchanges = 63;
inline constexpr auto sort_of_16 = [] {
  struct {
    exchange step[std::size_t{exchanges}];
  } table{};
  int n = 0;
  for (int run = 1; run < 16; run *= 2)
    for (int apart = run; apart > 0; apart /= 2)
      for (int from = apart % run; from + apart < 16; from += 2 * apart)
        for (int i = from; i < from + apart && i + apart < 16; ++i)
          if (i / (2 * run) == (i + apart) / (2 * run))
            table.step[n++] = {static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i + apart)};
  return table;
}();
}  // namespace detail

// Each lane's 16 numbers, largest first; no NaN.
template <class V>
MOEROUTE_SIMD_INLINE void sort_columns(V (&column)[16]) {
#pragma GCC unroll 63
  for (int i = 0; i < detail::exchanges; ++i) {
    auto& a = column[detail::sort_of_16.step[i].first];
    auto& b = column[detail::sort_of_16.step[i].second];
    V const larger = max_of_numbers(a, b);
    b = min_of_numbers(a, b);
    a = larger;
  }
}
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE void load_columns(float const* rows, int width, floats (&column)[16]) {
#pragma GCC unroll 16
  for (int q = 0; q < 16; ++q) column[q] = load<floats>(rows + width * q);
  transpose(column);
}

// Behind the first of 16 rows of `width` numbers the last one of them again and again.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE void repeat_last(float* row, int width, int rows) {
  for (float* to = row + width * rows; to < row + 16 * width; to += 16) store(to, load<floats>(to - width));
}

// The largest of each of 16 rows of 16 numbers, one after the other.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE floats largest_of_rows(float const* row) {
  floats c[16];
  load_columns(row, 16, c);
#pragma GCC unroll 4
  for (int apart = 8; apart > 0; apart /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < apart; ++i) c[i] = max(c[i], c[i + apart]);
  return c[0];
}

// Of each of 16 rows of `width` numbers (16 or 32), one after the other: the k-th largest, k <= 16, and the largest.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void kth_of_rows(float const* row, int width, int k, float* kth, float* largest) {
  alignas(64) float sorted[2][16 * 16];
  for (int h = 0; h < width; h += 16) {
    floats c[16];
    load_columns(row + h, width, c);
    sort_columns(c);
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) store(sorted[h / 16] + 16 * j, c[j]);
  }
  auto const at = [&](int h, int j) MOEROUTE_SIMD_LAMBDA { return load<floats>(sorted[h] + 16 * j); };
  if (width == 16) {
    store(kth, at(0, k - 1));
    store(largest, at(0, 0));
    return;
  }
  floats best = max(at(0, k - 1), at(1, k - 1));  // i of the one half and k - i of the other
  for (int i = 1; i < k; ++i) best = max(best, min(at(0, i - 1), at(1, k - i - 1)));
  store(kth, best);
  store(largest, max(at(0, 0), at(1, 0)));
}

// The lanes of each of 16 rows of 16 numbers, no NaN, in the order of their keys, the largest first. key_of(numbers) makes
// integers whose last four bits are for the lane. The result: a bit for each row in which close(key, the next smaller one)
// holds among the first k and the one behind them.
template <class Key, class Close>
MOEROUTE_SIMD_INLINE unsigned order_by_keys(float const* row, int k, std::int32_t* order, Key key_of, Close close) {
  ints key[16], doubt(0);
  floats c[16];
  load_columns(row, 16, c);
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) key[j] = key_of(c[j]) | ints(15 - j);
  sort_columns(key);
#pragma GCC unroll 15
  for (int j = 0; j < 15; ++j)
    if (j < k) doubt = doubt | close(key[j], key[j + 1]);
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) c[j] = bits_as<float>(~key[j] & ints(15));
  transpose(c);
#pragma GCC unroll 16
  for (int q = 0; q < 16; ++q) store(order + 16 * q, bits_as<std::int32_t>(c[q]));
  return lane_bits(doubt);
}

// The same in the order (larger number, lower lane), which is right for the first k. A key is a number's bits but the last
// four. Of the first `rows` rows those in which that may hide an order are ranked by all bits.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void order_16_rows(float const* row, int rows, int k, std::int32_t* order) {
  ints last(0);
  unsigned doubtful = order_by_keys(
      row, k, order,
      [&](floats x) MOEROUTE_SIMD_LAMBDA {
        ints const all = order_keys(x);
        last = last | all;
        return all & ints(~15);
      },
      [](ints a, ints b) MOEROUTE_SIMD_LAMBDA { return ((a ^ b) & ints(~15)) == ints(0); });
  doubtful &= ~lane_bits((last & ints(15)) == ints(0)) & ((1u << rows) - 1);
  for (; doubtful != 0; doubtful &= doubtful - 1) {
    int const q = std::countr_zero(doubtful);
    order_rows(row + 16 * q, 1, order + 16 * q);
  }
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
