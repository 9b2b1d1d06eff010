// Decides how the steps of a Sinkhorn plan run on the CPU: 16 tokens at a time, their row sums folded together in
// registers, for matrices whose width is a multiple of 16. The sums of assign/sinkhorn_rounds.hpp, bit for bit.
#pragma once

#include <moeroute/cpu/simd/sort.hpp>
#include <moeroute/cpu/simd/transpose.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {
// Lane i of the result is the sum of the lanes of s[i]: halves added to halves, 8, 4, 2, 1.
template <int B = 8>
MOEROUTE_SIMD_INLINE floats fold_lanes(floats (&s)[16]) {
#pragma GCC unroll 8
  for (int i = 0; i < B; ++i) s[i] = even_blocks<B>(s[i], s[i + B]) + odd_blocks<B>(s[i], s[i + B]);
  if constexpr (B == 1) return s[0];
  else return fold_lanes<B / 2>(s);
}
// sum over e of d1_e row_e by class: 0-15 into a, 16-31 into b, over columns [0, Columns).
template <int Columns>
MOEROUTE_SIMD_INLINE void add_weighted(float const* row, float const* d1, floats& a, floats& b) {
#pragma GCC unroll 8
  for (int e = 0; e < Columns; e += 16) {
    floats& sum = e % 32 == 0 ? a : b;
    sum = simd_fma(load<floats>(d1 + e), load<floats>(row + e), sum);
  }
}
// sum_e += d0_i c_ie over 16 tokens, columns [0, Columns).
template <int Columns>
MOEROUTE_SIMD_INLINE void add_rows(float const* c, std::int64_t stride, float const* d0, float* sum) {
  floats part[std::size_t{Columns / 16}];
#pragma GCC unroll 4
  for (int j = 0; j < Columns / 16; ++j) part[j] = load<floats>(sum + 16 * j);
#pragma GCC unroll 4
  for (int i = 0; i < 16; ++i, c += stride) {
    floats const f(d0[i]);
#pragma GCC unroll 4
    for (int j = 0; j < Columns / 16; ++j) part[j] = simd_fma(f, load<floats>(c + 16 * j), part[j]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < Columns / 16; ++j) store(sum + 16 * j, part[j]);
}
// Row sums of 16 tokens, width known (64, rows without gaps) or not.
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE floats sums_of_64(float const* c, float const* d1) {
  floats s[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    floats a(0.f), b(0.f);
    add_weighted<64>(c + 64 * i, d1, a, b);
    s[i] = a + b;
  }
  return fold_lanes(s);
}
MOEROUTE_ON_DEMAND
inline floats sums_of_rows(float const* c, std::int64_t stride, std::int64_t columns, float const* d1) {
  floats s[16];
  for (int i = 0; i < 16; ++i, c += stride) {
    floats a(0.f), b(0.f);
    std::int64_t e = 0;
    for (; e + 64 <= columns; e += 64) add_weighted<64>(c + e, d1 + e, a, b);
    for (; e + 32 <= columns; e += 32) add_weighted<32>(c + e, d1 + e, a, b);
    if (e < columns) add_weighted<16>(c + e, d1 + e, a, b);
    s[i] = a + b;
  }
  return fold_lanes(s);
}
}  // namespace detail

// Row factors of `rows` tokens (a multiple of 16) and their part of the column sums. The sums of 16 tokens are added
// while the factors of the next 16 are under way: their division would keep everything behind it waiting.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void sinkhorn_block(float const* c, std::int64_t stride, std::int64_t rows,
                                             std::int64_t columns, float tokens, float epsilon, float const* d1,
                                             float* d0, float* sum) {
  bool const dense_64 = columns == 64 && stride == 64;
  for (std::int64_t e = 0; e < columns; e += 16) store(sum + e, floats(0.f));
  for (std::int64_t t = 0; t <= rows; t += 16) {
    if (t < rows) {
      float const* const here = c + t * stride;
      floats const mass = dense_64 ? detail::sums_of_64(here, d1) : detail::sums_of_rows(here, stride, columns, d1);
      store(d0 + t, floats(1.f) / (floats(tokens) * (mass + floats(epsilon))));
    }
    if (t == 0) continue;
    float const* const before = c + (t - 16) * stride;
    if (dense_64) {
      detail::add_rows<64>(before, 64, d0 + t - 16, sum);
      continue;
    }
    std::int64_t e = 0;
    for (; e + 64 <= columns; e += 64) detail::add_rows<64>(before + e, stride, d0 + t - 16, sum + e);
    for (; e < columns; e += 16) detail::add_rows<16>(before + e, stride, d0 + t - 16, sum + e);
  }
}

// Column factors from the blocks' sums; the sum over the columns of how far they moved.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline float sinkhorn_columns(float const* partial, std::int64_t blocks, std::int64_t columns,
                                                float epsilon, float* d1) {
  floats moved[16];  // two classes of 16, then nothing
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) moved[i] = floats(0.f);
  for (std::int64_t e = 0; e < columns; e += 16) {
    floats sum(0.f);
    for (std::int64_t b = 0; b < blocks; ++b) sum = sum + load<floats>(partial + b * columns + e);
    floats const before = load<floats>(d1 + e);
    floats const now = floats(1.f) / (floats(static_cast<float>(columns)) * (sum + floats(epsilon)));
    store(d1 + e, now);
    floats const step = select(before < now, now - before, before - now);
    if (e % 32 == 0) moved[0] = moved[0] + step;
    else moved[1] = moved[1] + step;
  }
  moved[0] = moved[0] + moved[1];
  moved[1] = floats(0.f);
  alignas(64) float lane[16];
  store(lane, detail::fold_lanes(moved));
  return lane[0];
}

// c = exp(z - largest z), 1 at the largest, 0 where z is closed or NaN.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void exponentials_of_row(float const* z, std::int64_t columns, float* c) {
  floats top(lowest);
  for (std::int64_t e = 0; e < columns; e += 16) top = max(load<floats>(z + e), top);
  top = segment_max<16>(top);
  alignas(64) float ends[16];
  store(ends, top);
  if (ends[0] > lowest && ends[0] < infinity<float>) {  // exp(0) is 1, exp(-inf) is 0
    for (std::int64_t e = 0; e < columns; e += 16) store(c + e, math::exp(closed_if_nan(load<floats>(z + e)) - top));
    return;
  }
  for (std::int64_t e = 0; e < columns; e += 16)
    store(c + e, select((load<floats>(z + e) == top) & (floats(lowest) < top), floats(1.f), floats(0.f)));
}
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE void scale_row(float* c, float const* d1, float d0, std::int64_t columns) {
  for (std::int64_t e = 0; e < columns; e += 16)
    store(c + e, simd_mul(simd_mul(load<floats>(d1 + e), load<floats>(c + e)), floats(d0)));
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
