// Decides how Philox4x32-10 runs on Arm: the words of four counters are four registers, since the product there reads
// neighbors and parts its halves in one instruction. The bits are those of core/philox.hpp.
#pragma once

#if defined(__aarch64__)

#include <moeroute/cpu/simd/neon.hpp>
#include <moeroute/cpu/simd/round_keys.hpp>
#include <moeroute/cpu/simd/vec.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// What the words of experts first .. first + at_once - 1 are made of for any token whose upper half is `token_high`.
class philox_neon {
  static constexpr std::uint32_t m0 = 0xD2511F53u, m1 = 0xCD9E8D57u;
  round_keys<std::uint32_t> key;
  std::uint32_t purpose;

 public:
  static constexpr int at_once = 16;
  struct of_expert {
    uint32x4_t low;        // of the expert's product in round one
    neon::halves product;  // in round two
  };
  struct of_token {
    std::uint32_t part[3];  // of rounds one to three
  };
  explicit philox_neon(draws const& d) : key(d), purpose(d.purpose) {}
  MOEROUTE_ON_DEMAND
  MOEROUTE_SIMD_INLINE of_expert expert(index_t first, std::uint32_t token_high) const {
    static constexpr std::uint32_t counter[4] = {0, 1, 2, 3};
    auto const b = neon::product(vaddq_u32(vld1q_u32(counter), vdupq_n_u32(static_cast<std::uint32_t>(first / 4))), m1);
    return {b.low, neon::product(veorq_u32(b.high, vdupq_n_u32(token_high ^ key.first[0])), m0)};
  }
  of_token token(std::uint32_t token_low) const {
    std::uint64_t const a = std::uint64_t{m0} * token_low;
    std::uint64_t const b = std::uint64_t{m1} * (static_cast<std::uint32_t>(a >> 32) ^ purpose ^ key.second[0]);
    return {{static_cast<std::uint32_t>(b >> 32) ^ key.first[1], static_cast<std::uint32_t>(a) ^ key.second[1],
             static_cast<std::uint32_t>(b)}};
  }
  // take(i, words of experts e[e_step i] and token t[t_step i], or their complements) for i < N.
  template <int N, class Take>
  MOEROUTE_SIMD_INLINE void words(of_expert const* e, int e_step, of_token const* t, int t_step, bool complements,
                                  Take take) const {
    vec<std::uint32_t, at_once> const flip(complements ? ~0u : 0u);
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) take(i, words_of(e[e_step * i], t[t_step * i]) ^ flip);
  }

 private:
  MOEROUTE_ON_DEMAND
  MOEROUTE_SIMD_INLINE vec<std::uint32_t, at_once> words_of(of_expert const& e, of_token const& t) const {
    uint32x4_t c0 = veorq_u32(e.low, vdupq_n_u32(t.part[0])), c1 = vdupq_n_u32(t.part[2]);
    uint32x4_t c2 = veorq_u32(e.product.high, vdupq_n_u32(t.part[1])), c3 = e.product.low;
#pragma GCC unroll 8
    for (int r = 2; r < 10; ++r) {
      auto const a = neon::product(c0, m0), b = neon::product(c2, m1);
      c0 = veorq_u32(veorq_u32(b.high, c1), vdupq_n_u32(key.first[r])), c1 = b.low;
      c2 = veorq_u32(veorq_u32(a.high, c3), vdupq_n_u32(key.second[r])), c3 = a.low;
    }
    uint32x4_t const even_low = vzip1q_u32(c0, c2), even_high = vzip2q_u32(c0, c2);
    uint32x4_t const odd_low = vzip1q_u32(c1, c3), odd_high = vzip2q_u32(c1, c3);
    auto const words = [](uint32x4_t x) {
      using R = vec<std::uint32_t, 4>;
      return R(__builtin_bit_cast(R::raw, x), 0);
    };
    return join(join(words(vzip1q_u32(even_low, odd_low)), words(vzip2q_u32(even_low, odd_low))),
                join(words(vzip1q_u32(even_high, odd_high)), words(vzip2q_u32(even_high, odd_high))));
  }
};

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI

#endif
