// Decides every random draw: Philox4x32-10 (Salmon et al., SC 2011), keyed by (seed, step) and counted by
// (token, expert), so a draw depends on nothing else: not the batch, the launch shape or the machine.
#pragma once

#include <moeroute/core/math.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct philox_block {
  std::uint32_t word[4];
};

MOEROUTE_HD inline philox_block philox4x32(philox_block counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    std::uint64_t const a = std::uint64_t{0xD2511F53u} * counter.word[0];
    std::uint64_t const b = std::uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<std::uint32_t>(b >> 32) ^ counter.word[1] ^ key0, static_cast<std::uint32_t>(b),
                static_cast<std::uint32_t>(a >> 32) ^ counter.word[3] ^ key1, static_cast<std::uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

namespace detail {
// cos(2 pi u) for 0 < u < 1, with the same bits on every machine.
template <class V>
MOEROUTE_HD V cosine_of_turn(V u) {
  V const v = u < V(.5) ? V(.5) - u : u - V(.5);  // in [0, 1/2]; cos(2 pi u) = -cos(2 pi v)
  bool const far = v > V(.25);
  V const x = math::mul(V(3.14159265358979323846), far ? V(.5) - v : v), z = math::mul(x, x);
  V const s = math::fma(math::mul(x, z),
                        math::polynomial(z, V(-7.6471637318198165e-13), V(1.6059043836821614e-10),
                                         V(-2.5052108385441719e-8), V(2.7557319223985891e-6), V(-1.9841269841269841e-4),
                                         V(8.3333333333333333e-3), V(-1.6666666666666666e-1)),
                        x);
  V const c = math::fma(V(-2) * s, s, V(1));
  return far ? c : -c;
}
}  // namespace detail

// A family of draws. `purpose` keeps the draws of different policies apart under one seed.
struct draws {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::uint32_t purpose = 0;

  MOEROUTE_HD std::uint32_t first_key() const { return static_cast<std::uint32_t>(seed); }
  MOEROUTE_HD std::uint32_t second_key() const { return static_cast<std::uint32_t>(seed >> 32) ^ (step * 0x9E3779B1u); }
  // 32 random bits for a (token, expert) pair. Counter words: token low and high, expert / 4, purpose;
  // key: seed low, seed high xor step hashed by an odd constant.
  MOEROUTE_HD std::uint32_t bits(offset_t token, index_t expert) const {
    auto const t = static_cast<std::uint64_t>(token);
    auto const e = static_cast<std::uint32_t>(expert);
    philox_block const block =
        philox4x32({{static_cast<std::uint32_t>(t), static_cast<std::uint32_t>(t >> 32), e / 4, purpose}}, first_key(),
                   second_key());
    std::uint32_t const* const w = block.word;  // chosen without an index: words stay in registers
    return e % 4 < 2 ? (e % 4 == 0 ? w[0] : w[1]) : (e % 4 == 2 ? w[2] : w[3]);
  }
  // In (0, 1): the centre of one of 2^23 (float) or 2^32 (double) cells, so logarithms are finite.
  template <class V = float>
  MOEROUTE_HD V uniform(offset_t token, index_t expert) const {
    return unit<V>(bits(token, expert));
  }
  template <class V>
  MOEROUTE_HD static V unit(std::uint32_t b) {
    if constexpr (sizeof(V) == 4) return (static_cast<V>(static_cast<std::int32_t>(b >> 9)) + V(.5)) * V(0x1p-23);
    else return (static_cast<V>(b) + V(.5)) * V(0x1p-32);
  }
  // Standard Gumbel: -log(-log(u)).
  template <class V = float>
  MOEROUTE_HD V gumbel(offset_t token, index_t expert) const {
    return -math::log_of_normal(-math::log_of_normal(uniform<V>(token, expert)));
  }
  // Standard normal (Box-Muller on the pair of draws 2 e and 2 e + 1).
  template <class V = float>
  MOEROUTE_HD V normal(offset_t token, index_t expert) const {
    V const radius = math::sqrt(V(-2) * math::log_of_normal(uniform<V>(token, 2 * expert)));
    return math::mul(radius, detail::cosine_of_turn(uniform<V>(token, 2 * expert + 1)));
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
