// Decides how tokens lie side by side where their rows are short: rows become columns with a lane to each token, and
// columns become rows again.
#pragma once

#include <moeroute/cpu/simd/rows.hpp>
#include <moeroute/cpu/simd/transpose.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr index_t few_experts = 16;
// A column fills two registers at least, and a value that a policy works on four: the steps of one wait for each other.
inline constexpr int tokens_at_once = register_bytes == 64 ? 32 : 16, experts_at_once = register_bytes >= 32 ? 2 : 1;
inline constexpr std::size_t column_numbers = std::size_t{tokens_at_once} * few_experts;
using lane_floats = vec<float, tokens_at_once>;
using lane_ints = vec<std::int32_t, tokens_at_once>;
using several_columns = vec<float, tokens_at_once * experts_at_once>;

// The parts of a value, a column each, work on the same rows.
struct column_group : serial_group {
  using serial_group::max;
  using serial_group::sum;
  template <class T, int N>
  static MOEROUTE_SIMD_INLINE vec<T, N> max(vec<T, N> x) {
    if constexpr (experts_at_once == 1) return x;
    else return twice(simd::max(low(x), high(x)));
  }
  template <class T, int N>
  static MOEROUTE_SIMD_INLINE vec<T, N> sum(vec<T, N> x) {
    if constexpr (experts_at_once == 1) return x;
    else return twice(low(x) + high(x));
  }

 private:
  template <class V>
  static MOEROUTE_SIMD_INLINE auto twice(V x) {
    return join(x, x);
  }
};

// Columns of few experts, a lane to each row; element e is experts e, e + 1 ... of all of them. No NaN.
struct lane_row {
  using value_type = several_columns;
  float const* column{};  // experts x tokens_at_once, then -inf up to a multiple of experts_at_once
  index_t count{};

  index_t size() const { return count; }
  MOEROUTE_SIMD_INLINE value_type at(index_t e) const { return load<value_type>(column + tokens_at_once * e); }
  template <class G, class F>
  MOEROUTE_SIMD_INLINE void each(G const&, F&& f) const {
    for (index_t e = 0; e < count; e += experts_at_once) f(e, at(e));
  }
};
// At most 16 terms: floats hold both parts exactly.
template <int N>
MOEROUTE_SIMD_INLINE vec<float, N> total_of_parts(column_group const& g, vec<std::int32_t, N> coarse,
                                                  vec<std::int32_t, N> fine) {
  using V = vec<float, N>;
  return simd_fma(convert<float>(g.sum(fine)), V(0x1p-40f), convert<float>(g.sum(coarse)) * V(0x1p-20f));
}

// Each step moves the lowest bit of a place to the top: log2(P) steps make P columns of rows of P. `zip` is the way back.
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

// Rows of 8 or 16 numbers, one after the other, to as many columns; NaN becomes -inf.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void columns_of_rows(float const* rows, index_t width, float* column) {
  if (width == 8) return store(column, closed_if_nan(unzip<3>(load<vec<float, 8 * tokens_at_once>>(rows))));
  for (int t = 0; t < tokens_at_once; t += 16) {
    floats r[16];
#pragma GCC unroll 16
    for (int q = 0; q < 16; ++q) r[q] = load<floats>(rows + 16 * (t + q));
    transpose(r);
#pragma GCC unroll 16
    for (int e = 0; e < 16; ++e) store(column + tokens_at_once * e + t, closed_if_nan(r[e]));
  }
}

// n <= 16 columns to rows of a power of two, which is returned and not below n. `rows` holds that many.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline int rows_of_columns(float const* column, int n, float* rows) {
  constexpr int N = tokens_at_once;
  if (n <= 1) return store(rows, load<lane_floats>(column)), 1;
  if (n <= 2) return store(rows, zip<1>(load<vec<float, N * 2>>(column))), 2;
  if (n <= 4) return store(rows, zip<2>(load<vec<float, N * 4>>(column))), 4;
  if (n <= 8) return store(rows, zip<3>(load<vec<float, N * 8>>(column))), 8;
  for (int t = 0; t < N; t += 16) {
    floats r[16];
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) r[j] = load<floats>(column + N * j + t);
    transpose(r);
#pragma GCC unroll 16
    for (int q = 0; q < 16; ++q) store(rows + 16 * (t + q), r[q]);
  }
  return 16;
}

// The first n of rows of `width` numbers, each by two blocks that may overlap.
MOEROUTE_SIMD_INLINE void copy_rows(float const* rows, int width, float* to, offset_t stride, int n, int tokens) {
  auto const by_blocks_of = [&](auto size) MOEROUTE_SIMD_LAMBDA {
    for (int q = 0; q < tokens; ++q, rows += width, to += stride) {
      __builtin_memcpy(to, rows, 4 * size);
      __builtin_memcpy(to + n - size, rows + n - size, 4 * size);
    }
  };
  if (n >= 16) by_blocks_of(constant<16>);
  else if (n >= 8) by_blocks_of(constant<8>);
  else if (n >= 4) by_blocks_of(constant<4>);
  else if (n >= 2) by_blocks_of(constant<2>);
  else by_blocks_of(constant<1>);
}

// Columns of 32 bits, whatever they stand for, as rows of n numbers.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void copy_columns(float const* column, float* to, offset_t stride, int n, int tokens) {
  if (tokens == tokens_at_once && stride == n && std::has_single_bit(static_cast<unsigned>(n))) {
    rows_of_columns(column, n, to);
  } else {
    alignas(64) float rows[column_numbers];
    copy_rows(rows, rows_of_columns(column, n, rows), to, stride, n, tokens);
  }
}

// Rows first .. first + tokens of a matrix from rows of `width` numbers.
template <class U, class T>
MOEROUTE_SIMD_INLINE void write_rows(T const* rows, int width, matrix_view<U> out, offset_t first, int tokens) {
  int const n = static_cast<int>(out.cols);
  U* const to = out[first].data;
  if constexpr (std::same_as<U, float>) {
    copy_rows(rows, width, to, out.stride, n, tokens);
  } else {
    for (int q = 0; q < tokens; ++q)
      for (int j = 0; j < n; ++j) to[q * out.stride + j] = static_cast<U>(rows[width * q + j]);
  }
}
// The same from columns.
template <class U, class T>
MOEROUTE_SIMD_INLINE void write_columns(T const* column, matrix_view<U> out, offset_t first, int tokens) {
  auto const* const from = reinterpret_cast<float const*>(column);
  int const n = static_cast<int>(out.cols);
  if constexpr (std::same_as<U, T>) {
    copy_columns(from, reinterpret_cast<float*>(out[first].data), out.stride, n, tokens);
  } else {
    alignas(64) T rows[column_numbers];
    int const width = rows_of_columns(from, n, reinterpret_cast<float*>(rows));
    write_rows(rows, width, out, first, tokens);
  }
}

// The logits of tokens first .. first + tokens as columns, after the prior; lanes without a token hold 0.
template <class Body>
MOEROUTE_SIMD_INLINE void read_columns(Body const& b, offset_t first, int tokens, float* column) {
  using T = std::remove_cvref_t<decltype(b.in.logits.data[0])>;
  index_t const experts = static_cast<index_t>(b.in.logits.cols), width = experts <= 8 ? 8 : 16;
  alignas(64) float rows[column_numbers];
  if constexpr (is_none<decltype(b.r.prior)>)
    if (tokens == tokens_at_once && experts == width && b.in.logits.stride == width) {
      T const* const from = b.in.logits[first].data;
      if constexpr (std::same_as<T, float>) {
        return columns_of_rows(from, width, column);
      } else {
        half_format const format = format_of<T>();
        for (int i = 0; i < tokens_at_once * width; i += 16) store(rows + i, load_halves(from + i, format));
        return columns_of_rows(rows, width, column);
      }
    }
  for (int q = 0; q < tokens; ++q) {
    float* const row = rows + width * q;
    if constexpr (std::same_as<T, float>) store(row, load_first(b.in.logits[first + q].data, experts, 0.f));
    else
      for (index_t e = 0; e < experts; ++e) row[e] = moeroute::load(b.in.logits[first + q].data[e]);
    if constexpr (!is_none<decltype(b.r.prior)>)
      b.r.prior(serial_group{}, b.in.context(first + q), memory_row<float>{row, experts});
  }
  for (int i = width * tokens; i < width * tokens_at_once; i += 8) store(rows + i, vec<float, 8>(0.f));
  columns_of_rows(rows, width, column);
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
