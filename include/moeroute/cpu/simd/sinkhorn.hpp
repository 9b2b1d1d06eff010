// Decides how the steps of a Sinkhorn plan run on the CPU: 16 tokens at a time, their row sums folded together in
// registers, for matrices whose width is a multiple of 16. The sums of assign/sinkhorn_rounds.hpp, bit for bit.
#pragma once

#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {
// Lane i of the result is the sum of the lanes of s[i]: halves added to halves, 8, 4, 2, 1.
template <int B = 8>
MOEROUTE_SIMD_INLINE floats fold_lanes(floats (&s)[16]) {
#pragma GCC unroll 8
  for (int i = 0; i < B; ++i)
    s[i] = blend<B>(s[i], swap<B>(s[i + B])) + blend<B>(swap<B>(s[i]), s[i + B]);
  if constexpr (B == 1)
    return s[0];
  else
    return fold_lanes<B / 2>(s);
}
MOEROUTE_SIMD_INLINE floats weighted_row(float const* row, float const* d1, std::int64_t columns) {
  floats a(0.f), b(0.f);  // classes 0-15 and 16-31
  std::int64_t e = 0;
  for (; e + 32 <= columns; e += 32) {
    a = simd_fma(load<floats>(d1 + e), load<floats>(row + e), a);
    b = simd_fma(load<floats>(d1 + e + 16), load<floats>(row + e + 16), b);
  }
  if (e < columns) a = simd_fma(load<floats>(d1 + e), load<floats>(row + e), a);
  return a + b;
}
}  // namespace detail

// Row factors of `rows` tokens (a multiple of 16) and their part of the column sums.
[[gnu::noinline]] inline void sinkhorn_block(float const* c, std::int64_t stride, std::int64_t rows,
                                             std::int64_t columns, float tokens, float epsilon,
                                             float const* d1, float* d0, float* sum) {
  for (std::int64_t e = 0; e < columns; e += 16) store(sum + e, floats(0.f));
  for (std::int64_t t = 0; t < rows; t += 16, c += 16 * stride) {
    floats s[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) s[i] = detail::weighted_row(c + i * stride, d1, columns);
    floats const factor =
        floats(1.f) / (floats(tokens) * (detail::fold_lanes(s) + floats(epsilon)));
    store(d0 + t, factor);
    std::int64_t e = 0;
    for (; e + 64 <= columns; e += 64) {
      floats part[4];
      for (int j = 0; j < 4; ++j) part[j] = load<floats>(sum + e + 16 * j);
      for (int i = 0; i < 16; ++i) {
        floats const f(d0[t + i]);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j)
          part[j] = simd_fma(f, load<floats>(c + i * stride + e + 16 * j), part[j]);
      }
      for (int j = 0; j < 4; ++j) store(sum + e + 16 * j, part[j]);
    }
    for (; e < columns; e += 16) {
      floats part = load<floats>(sum + e);
      for (int i = 0; i < 16; ++i)
        part = simd_fma(floats(d0[t + i]), load<floats>(c + i * stride + e), part);
      store(sum + e, part);
    }
  }
}

// Column factors from the blocks' sums; the sum over the columns of how far they moved.
[[gnu::noinline]] inline float sinkhorn_columns(float const* partial, std::int64_t blocks,
                                                std::int64_t columns, float epsilon, float* d1) {
  floats moved[16];  // two classes of 16, then nothing
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) moved[i] = floats(0.f);
  for (std::int64_t e = 0; e < columns; e += 16) {
    floats sum(0.f);
    for (std::int64_t b = 0; b < blocks; ++b) sum = sum + load<floats>(partial + b * columns + e);
    floats const before = load<floats>(d1 + e);
    floats const now =
        floats(1.f) / (floats(static_cast<float>(columns)) * (sum + floats(epsilon)));
    store(d1 + e, now);
    floats const step = select(before < now, now - before, before - now);
    if (e % 32 == 0)
      moved[0] = moved[0] + step;
    else
      moved[1] = moved[1] + step;
  }
  moved[0] = moved[0] + moved[1];
  moved[1] = floats(0.f);
  alignas(64) float lane[16];
  store(lane, detail::fold_lanes(moved));
  return lane[0];
}

// c = exp(z - largest z), 1 at the largest, 0 where z is closed or NaN.
[[gnu::noinline]] inline void exponentials_of_row(float const* z, std::int64_t columns, float* c) {
  floats top(lowest);
  for (std::int64_t e = 0; e < columns; e += 16) top = max(load<floats>(z + e), top);
  top = segment_max<16>(top);
  for (std::int64_t e = 0; e < columns; e += 16) {
    floats const x = load<floats>(z + e);
    floats const y = select(x == top, floats(1.f), math::exp(x - top));
    store(c + e, select(floats(lowest) < x, y, floats(0.f)));
  }
}
MOEROUTE_SIMD_INLINE void scale_row(float* c, float const* d1, float d0, std::int64_t columns) {
  for (std::int64_t e = 0; e < columns; e += 16)
    store(c + e, simd_mul(simd_mul(load<floats>(d1 + e), load<floats>(c + e)), floats(d0)));
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
