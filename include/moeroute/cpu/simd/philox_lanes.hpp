// Decides how Philox4x32-10 runs on vectors: one counter in each 64-bit lane, its four words in the lower halves of four
// vectors. Upper halves are left dirty, since a 32 x 32 bit product reads the lower halves alone; so a round is two
// products, two shifts and two exclusive ors. The bits are those of core/philox.hpp.
#pragma once

#include <moeroute/cpu/simd/math.hpp>
#include <moeroute/cpu/simd/round_keys.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

inline constexpr int counters_at_once = register_bytes / 8;
using counters = vec<std::uint64_t, counters_at_once>;

// The product of the lower halves of 64-bit lanes: one instruction where there is one.
template <int N>
MOEROUTE_SIMD_INLINE vec<std::uint64_t, N> low_product(vec<std::uint64_t, N> a, vec<std::uint64_t, N> b) {
  return each(
      [](auto x, auto y) MOEROUTE_SIMD_LAMBDA {
        using L = decltype(x);
#if defined(__AVX512F__)
        if constexpr (sizeof(x.v) == 64) {
          typedef int half __attribute__((vector_size(64)));
          half const u = __builtin_bit_cast(half, x.v), v = __builtin_bit_cast(half, y.v);
#if defined(__clang__)
          return L(__builtin_bit_cast(decltype(x.v), __builtin_ia32_pmuludq512(u, v)), 0);
#else
          typedef long long whole __attribute__((vector_size(64)));
          return L(__builtin_bit_cast(decltype(x.v), __builtin_ia32_pmuludq512_mask(
                                                         u, v, whole{}, static_cast<unsigned char>(all_eight))),
                   0);
#endif
        }
#endif
#if defined(__AVX2__)
        if constexpr (sizeof(x.v) == 32) {
          typedef int half __attribute__((vector_size(32)));
          return L(__builtin_bit_cast(decltype(x.v), __builtin_ia32_pmuludq256(__builtin_bit_cast(half, x.v),
                                                                               __builtin_bit_cast(half, y.v))),
                   0);
        }
#endif
#if defined(__SSE2__)
        if constexpr (sizeof(x.v) == 16) {
          typedef int half __attribute__((vector_size(16)));
          return L(__builtin_bit_cast(decltype(x.v), __builtin_ia32_pmuludq128(__builtin_bit_cast(half, x.v),
                                                                               __builtin_bit_cast(half, y.v))),
                   0);
        }
#endif
        L const lower(std::uint64_t{0xFFFFFFFFu});
        return (x & lower) * (y & lower);
      },
      a, b);
}
template <int N>
MOEROUTE_SIMD_INLINE vec<std::uint64_t, N> xor_of(vec<std::uint64_t, N> a, vec<std::uint64_t, N> b,
                                                  vec<std::uint64_t, N> c) {
#if defined(__AVX512F__) && !defined(__clang__)
  return each(
      [](auto x, auto y, auto z) MOEROUTE_SIMD_LAMBDA {
        if constexpr (sizeof(x.v) == 64) {
          typedef long long whole __attribute__((vector_size(64)));
          return decltype(x)(
              __builtin_bit_cast(decltype(x.v),
                                 __builtin_ia32_pternlogq512_mask(
                                     __builtin_bit_cast(whole, x.v), __builtin_bit_cast(whole, y.v),
                                     __builtin_bit_cast(whole, z.v), 0x96, static_cast<unsigned char>(all_eight))),
              0);
        } else {
          return x ^ y ^ z;
        }
      },
      a, b, c);
#else
  return a ^ b ^ c;
#endif
}
// Words of each counter, w1 w0 in a lane of `first` and w3 w2 in one of `last`, in expert order if the lanes hold the
// counters in `lane_counter` order.
template <int N>
MOEROUTE_SIMD_INLINE vec<std::uint32_t, 4 * N> in_expert_order(vec<std::uint64_t, N> first,
                                                               vec<std::uint64_t, N> last) {
  auto const pick = [&](auto from) MOEROUTE_SIMD_LAMBDA {
    return shuffle<2 * N>(bits_as<std::uint32_t>(first), bits_as<std::uint32_t>(last), from);
  };
  return join(pick([](int i) { return i / 4 * 4 + 1 - i % 2 + (i % 4 < 2 ? 0 : 2 * N); }),
              pick([](int i) { return i / 4 * 4 + 3 - i % 2 + (i % 4 < 2 ? 0 : 2 * N); }));
}
inline constexpr auto lane_counter = [] {
  struct {
    std::uint64_t of[counters_at_once];
  } order{};
  for (int i = 0; i < counters_at_once; ++i)
    order.of[i] = static_cast<std::uint64_t>(i / 2 + (i % 2 == 0 ? 0 : counters_at_once / 2));
  return order;
}();

namespace detail {
// A shifted product would become a product of 64 bits, which takes clang three instructions' time.
template <int N>
MOEROUTE_SIMD_INLINE vec<std::uint64_t, N> no_factor(vec<std::uint64_t, N> x) {
#if defined(__clang__) && defined(__AVX512F__)
  return each(
      [](auto y) MOEROUTE_SIMD_LAMBDA {
        __asm__("" : "+v"(y.v));
        return y;
      },
      x);
#else
  return x;
#endif
}
// The upper half of each lane in its lower one; through memory where many registers wait for the shuffles' port: a load
// brings odd words to even places by itself.
template <int N>
MOEROUTE_SIMD_INLINE vec<std::uint64_t, N> high_words(vec<std::uint64_t, N> x) {
  return bits_as<std::uint64_t>(swap<1>(bits_as<std::uint32_t>(x)));
}
template <int N>
MOEROUTE_SIMD_INLINE vec<std::uint64_t, N> high_words_by_memory(vec<std::uint64_t, N> x) {
#if defined(__AVX512F__)
  alignas(64) decltype(x.v) slot;
  decltype(x.v) out;
  __asm__("vmovdqa64 %2, %1\n\tvmovshdup %1, %0" : "=v"(out), "=m"(slot) : "v"(x.v));
  return vec<std::uint64_t, N>(out, 0);
#else
  return high_words(x);
#endif
}
}  // namespace detail

// What the words of experts first .. first + at_once - 1 are made of for any token whose upper half is `token_high`.
class philox_lanes {
  static constexpr std::uint64_t m0 = 0xD2511F53u, m1 = 0xCD9E8D57u;
  round_keys<std::uint64_t> key;
  std::uint32_t purpose;

 public:
  static constexpr int at_once = 4 * counters_at_once;
  struct of_expert {
    counters low, product;  // of the expert's half of rounds one and two
  };
  struct of_token {
    std::uint64_t part[3];  // of rounds one to three
  };
  explicit philox_lanes(draws const& d) : key(d), purpose(d.purpose) {}
  MOEROUTE_ON_DEMAND
  MOEROUTE_SIMD_INLINE of_expert expert(index_t first, std::uint32_t token_high) const {
    counters const low =
        low_product(load<counters>(lane_counter.of) + counters(static_cast<std::uint64_t>(first / 4)), counters(m1));
    return {low, low_product((low >> 32) ^ counters(token_high ^ key.first[0]), counters(m0))};
  }
  of_token token(std::uint32_t token_low) const {
    std::uint64_t const a = m0 * token_low, b = m1 * ((a >> 32) ^ purpose ^ key.second[0]), lower = 0xFFFFFFFFu;
    return {{(b >> 32) ^ key.first[1], (a & lower) ^ key.second[1], (b & lower) ^ key.first[2]}};
  }
  // take(i, words of experts e[e_step i] and token t[t_step i], or their complements) for i < N.
  template <int N, class Take>
  MOEROUTE_SIMD_INLINE void words(of_expert const* e, int e_step, of_token const* t, int t_step, bool complements,
                                  Take take) const {
    using C = counters;
    C c0[std::size_t{N}], c1[std::size_t{N}], c2[std::size_t{N}], c3[std::size_t{N}];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      c0[i] = e[e_step * i].low ^ C(t[t_step * i].part[0]);
      c2[i] = (e[e_step * i].product >> 32) ^ C(t[t_step * i].part[1]);
      c3[i] = e[e_step * i].product;
    }
#pragma GCC unroll 8
    for (int r = 2; r < 9; ++r)
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        C const a = low_product(c0[i], C(m0)), b = low_product(c2[i], C(m1));
        c0[i] = r == 2 ? (b >> 32) ^ C(t[t_step * i].part[2]) : xor_of(detail::high_words(b), c1[i], C(key.first[r]));
        c1[i] = b;
        c2[i] = xor_of(N < 8 ? detail::high_words(a) : detail::high_words_by_memory(a), c3[i], C(key.second[r]));
        c3[i] = a;
      }
    std::uint64_t const flip = complements ? ~std::uint64_t{0} : 0;
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      C const a = low_product(c0[i], C(m0)), b = low_product(c2[i], C(m1));
      take(i, in_expert_order(xor_of(b, detail::no_factor(c1[i]) << 32, C(key.first[9] << 32 ^ flip)),
                              xor_of(a, detail::no_factor(c3[i]) << 32, C(key.second[9] << 32 ^ flip))));
    }
  }
};

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
