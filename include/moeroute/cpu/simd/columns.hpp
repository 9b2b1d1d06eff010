// Decides how 16 tokens lie side by side: rows of few numbers become columns with a lane to each token, and columns
// become rows again.
#pragma once

#include <moeroute/cpu/simd/rows.hpp>
#include <moeroute/cpu/simd/transpose.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr index_t few_experts = 16;

// Each step moves the lowest bit of a place to the top: log2(P) steps make P columns of 16 of 16 rows of P. `zip` is the
// way back.
template <int Steps, class V>
MOEROUTE_SIMD_INLINE V unzip(V v) {
  if constexpr (Steps == 0) return v;
  else return unzip<Steps - 1>(join(even<0>(v), even<1>(v)));
}
template <int Steps, class V>
MOEROUTE_SIMD_INLINE V zip(V v) {
  if constexpr (Steps == 0) return v;
  else return zip<Steps - 1>(weave(low(v), high(v)));
}

// 16 rows of 8 or 16 numbers, one after the other, to as many columns; NaN becomes -inf.
[[gnu::noinline]] inline void columns_of_rows(float const* rows, index_t width, float* column) {
  if (width == 8) {
    store(column, closed_if_nan(unzip<3>(load<vec<float, 16 * 8>>(rows))));
  } else {
    floats r[16];
#pragma GCC unroll 16
    for (int q = 0; q < 16; ++q) r[q] = load<floats>(rows + 16 * q);
    transpose(r);
#pragma GCC unroll 16
    for (int e = 0; e < 16; ++e) store(column + 16 * e, closed_if_nan(r[e]));
  }
}

// n <= 16 columns to 16 rows of a power of two, which is returned and not below n. `rows` holds that many.
template <class T>
[[gnu::noinline]] int rows_of_columns(T const* column, int n, T* rows) {
  if (n <= 1) return store(rows, load<vec<T, 16>>(column)), 1;
  if (n <= 2) return store(rows, zip<1>(load<vec<T, 16 * 2>>(column))), 2;
  if (n <= 4) return store(rows, zip<2>(load<vec<T, 16 * 4>>(column))), 4;
  if (n <= 8) return store(rows, zip<3>(load<vec<T, 16 * 8>>(column))), 8;
  floats r[16];
#pragma GCC unroll 16
  for (int j = 0; j < 16; ++j) r[j] = bits_as<float>(load<vec<T, 16>>(column + 16 * j));
  transpose(r);
#pragma GCC unroll 16
  for (int q = 0; q < 16; ++q) store(rows + 16 * q, bits_as<T>(r[q]));
  return 16;
}

// Rows first .. first + tokens of a matrix from 16 rows of `width` numbers.
template <class U, class T>
void write_rows(T const* rows, int width, matrix_view<U> out, offset_t first, int tokens) {
  int const n = static_cast<int>(out.cols);
  for (int q = 0; q < tokens; ++q)
    for (int j = 0; j < n; ++j) out[first + q][j] = static_cast<U>(rows[width * q + j]);
}
// The same from columns.
template <class U, class T>
void write_columns(T const* column, matrix_view<U> out, offset_t first, int tokens) {
  int const n = static_cast<int>(out.cols);
  if constexpr (std::same_as<U, T>)
    if (tokens == 16 && out.stride == n && std::has_single_bit(static_cast<unsigned>(n))) {
      rows_of_columns(column, n, out[first].data);
      return;
    }
  alignas(64) T rows[16 * few_experts];
  write_rows(rows, rows_of_columns(column, n, rows), out, first, tokens);
}

// The logits of tokens first .. first + tokens as columns, after the prior; lanes without a token hold 0.
template <class Body>
MOEROUTE_SIMD_INLINE void read_columns(Body const& b, offset_t first, int tokens, float* column) {
  using T = std::remove_cvref_t<decltype(b.in.logits.data[0])>;
  index_t const experts = static_cast<index_t>(b.in.logits.cols), width = experts <= 8 ? 8 : 16;
  alignas(64) float rows[16 * few_experts];
  if constexpr (is_none<decltype(b.r.prior)>)
    if (tokens == 16 && experts == width && b.in.logits.stride == width) {
      T const* const from = b.in.logits[first].data;
      if constexpr (std::same_as<T, float>) {
        return columns_of_rows(from, width, column);
      } else {
        half_format const format = format_of<T>();
        for (int i = 0; i < 16 * width; i += 16) store(rows + i, load_halves(from + i, format));
        return columns_of_rows(rows, width, column);
      }
    }
  for (int q = 0; q < 16; ++q) {
    float* const row = rows + width * q;
    for (index_t e = 0; e < width; ++e) row[e] = 0;
    if (q >= tokens) continue;
    for (index_t e = 0; e < experts; ++e) row[e] = moeroute::load(b.in.logits[first + q].data[e]);
    if constexpr (!is_none<decltype(b.r.prior)>)
      b.r.prior(serial_group{}, b.in.context(first + q), memory_row<float>{row, experts});
  }
  columns_of_rows(rows, width, column);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
