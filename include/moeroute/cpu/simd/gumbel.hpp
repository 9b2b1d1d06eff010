// Decides how Gumbel noise is drawn for 64 experts of a token at once on the CPU: 16 Philox counters side by side, and
// both logarithms on vectors; the same bits as draws::gumbel one by one.
#pragma once

#include <moeroute/core/philox.hpp>
#include <moeroute/cpu/simd/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

using words = vec<std::uint32_t, 16>;

struct wide_product {
  words high, low;
};
// The product of the lower halves of 64-bit lanes: one instruction where there is one.
template <int N>
MOEROUTE_SIMD_INLINE vec<std::uint64_t, N> low_product(vec<std::uint64_t, N> a, vec<std::uint64_t, N> b) {
  return each([](auto x, auto y) MOEROUTE_SIMD_LAMBDA {
#if defined(__AVX512F__)
    if constexpr (sizeof(x.v) == 64) {
      typedef int half __attribute__((vector_size(64)));
      typedef long long whole __attribute__((vector_size(64)));
#if defined(__clang__)
      return decltype(x)(__builtin_bit_cast(decltype(x.v), __builtin_ia32_pmuludq512(__builtin_bit_cast(half, x.v), __builtin_bit_cast(half, y.v))), 0);
#else
      return decltype(x)(__builtin_bit_cast(decltype(x.v), __builtin_ia32_pmuludq512_mask(__builtin_bit_cast(half, x.v), __builtin_bit_cast(half, y.v), whole{}, all_eight)), 0);
#endif
    }
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(x.v) == 32) {
      typedef int half __attribute__((vector_size(32)));
      return decltype(x)(__builtin_bit_cast(decltype(x.v), __builtin_ia32_pmuludq256(__builtin_bit_cast(half, x.v), __builtin_bit_cast(half, y.v))), 0);
    }
#endif
    using L = decltype(x);
    return (x & L(std::uint64_t{0xFFFFFFFFu})) * y;
  }, a, b);
}
// 32 x 32 -> 64 bits in every lane: even and odd lanes apart.
MOEROUTE_SIMD_INLINE wide_product multiply(words x, std::uint32_t by) {
  using W = vec<std::uint64_t, 8>;
  W const half(std::uint64_t{0xFFFFFFFFu}), m(std::uint64_t{by}), pairs = bits_as<std::uint64_t>(x);
  W const even = low_product(pairs, m), odd = low_product(pairs >> 32, m);
  return {bits_as<std::uint32_t>((even >> 32) | (odd & ~half)), bits_as<std::uint32_t>((even & half) | (odd << 32))};
}
// Experts first .. first + 63, first a multiple of 4. Word w of counter b belongs to expert first + 4 b + w.
inline void gumbel_of_64(draws const& d, offset_t token, index_t first, float (&out)[64]) {
  auto const t = static_cast<std::uint64_t>(token);
  words c0(static_cast<std::uint32_t>(t)), c1(static_cast<std::uint32_t>(t >> 32)), c3(d.purpose);
  words c2 = bits_as<std::uint32_t>(lane_id()) + words(static_cast<std::uint32_t>(first / 4));
  auto key0 = static_cast<std::uint32_t>(d.seed);
  std::uint32_t key1 = static_cast<std::uint32_t>(d.seed >> 32) ^ (d.step * 0x9E3779B1u);
  for (int round = 0; round < 10; ++round) {
    auto const x = multiply(c0, 0xD2511F53u), y = multiply(c2, 0xCD9E8D57u);
    c0 = y.high ^ c1 ^ words(key0);
    c1 = y.low;
    c2 = x.high ^ c3 ^ words(key1);
    c3 = x.low;
    key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
  }
  auto const noise = [](words b) MOEROUTE_SIMD_LAMBDA {
    floats const u = (convert<float>(bits_as<std::int32_t>(b >> 9)) + floats(.5f)) * floats(0x1p-23f);
    return -math::log(-math::log(u));
  };
  float part[4][16];
  store(part[0], noise(c0)), store(part[1], noise(c1)), store(part[2], noise(c2)), store(part[3], noise(c3));
  for (int b = 0; b < 16; ++b)
    for (int w = 0; w < 4; ++w) out[4 * b + w] = part[w][b];
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
