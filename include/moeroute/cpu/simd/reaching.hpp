// Decides which of a row's keys reach a bound: as the bits of a word, and as a list of places.
#pragma once

#include <bit>

#include <moeroute/cpu/simd/memory.hpp>
#include <moeroute/cpu/simd/sort.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {
namespace detail {

// Rows are functions of a place, a multiple of 16, that say where its 16 keys are. This one lies in one piece.
struct whole_row {
  float const* key;
  MOEROUTE_SIMD_INLINE float const* operator()(int i) const { return key + i; }
};
template <class R>
concept placed_row = requires(R const& row) {
  { row(0) } -> std::convertible_to<float const*>;
};

// Bit i is set where key i of 64 from a place on reaches the bound; NaN does not.
template <placed_row Row>
MOEROUTE_SIMD_INLINE std::uint64_t reaching(Row const& row, int first, floats bound) {
#if defined(__aarch64__)
  auto const bytes = [&](int i) MOEROUTE_SIMD_LAMBDA {
    ints const m = bound <= load<floats>(row(first + i));
    return neon::as_bytes(m.lo.lo.v, m.lo.hi.v, m.hi.lo.v, m.hi.hi.v);
  };
  return neon::bits_of_64(bytes(0), bytes(16), bytes(32), bytes(48));
#else
  std::uint64_t word = 0;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) word |= std::uint64_t{bits_at_most(bound, load<floats>(row(first + 16 * i)))} << 16 * i;
  return word;
#endif
}
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE std::uint64_t reaching(float const* key, floats bound) {
  return reaching(whole_row{key}, 0, bound);
}

// places_reaching: how many of `size` keys of a row (a multiple of 64) reach the bound, or any number above 16; the
// places of the first 16, in order. Lanes behind the last hold a place or 0.
#if defined(__AVX512VBMI2__) && defined(__AVX512DQ__)
// Branch-free: the positions of the bits of a word are compressed as bytes, and come behind n numbers in a register.
inline constexpr auto behind = [] {
  struct {
    alignas(64) std::int32_t of[17][16];  // n lanes of one register, then those of another
  } table{};
  for (int n = 0; n <= 16; ++n)
    for (int i = 0; i < 16; ++i) table.of[n][i] = i < n ? i : 16 + i - n;
  return table;
}();
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE ints append(ints list, int n, std::uint64_t word, ints first) {
  typedef char bytes __attribute__((vector_size(64)));
  static constexpr bytes position = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                     16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                     32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                     48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
  auto const z = __builtin_bit_cast(vec<std::uint8_t, 64>, __builtin_ia32_compressqi512_mask(position, bytes{}, word));
  ints const at = convert<std::int32_t>(low(low(z))) + first;
  return lookup(list, at, load<ints>(behind.of[n < 16 ? n : 16]));
}
template <placed_row Row>
MOEROUTE_SIMD_INLINE int places_reaching(Row const& row, int size, floats bound, ints& places) {
  ints list(0), first(0);
  int n = 0;
  for (int b = 0; b < size; b += 64, first += ints(64)) {
    std::uint64_t const word = reaching(row, b, bound);
    list = append(list, n, word, first);
    n += std::popcount(word);
  }
  places = list;
  return n;
}
#elif MOEROUTE_SIMD_BYTES >= 32
// The set bits of a byte, in order.
inline constexpr auto set_bits = [] {
  struct {
    alignas(64) std::uint16_t of[256][8];
  } table{};
  for (int word = 0; word < 256; ++word)
    for (int i = 0, n = 0; i < 8; ++i)
      if ((word >> i & 1) != 0) table.of[word][n++] = static_cast<std::uint16_t>(i);
  return table;
}();
// Branch-free: the positions of every 8 keys are looked up and stored behind the last.
template <placed_row Row>
MOEROUTE_SIMD_INLINE int places_reaching(Row const& row, int size, floats bound, ints& places) {
  using V = vec<float, 8>;
  using W = vec<std::uint16_t, 8>;
  alignas(64) std::uint16_t list[16 + 64 + 8];
  store(list, vec<std::uint16_t, 16>(std::uint16_t{0}));
  int n = 0;
  W first(std::uint16_t{0}), step(std::uint16_t{8});
  __asm__("" : "+x"(step.v));  // else g++ makes each multiple anew
  for (int b = 0; b < size && n <= 16; b += 64)
#pragma GCC unroll 8
    for (int i = 0; i < 64; i += 8) {
      auto const bits = static_cast<unsigned>(
          __builtin_ia32_movmskps256(bits_as<float>(low(bound) <= load<V>(row(b + i / 16 * 16) + i % 16)).v));
      store(list + n, load<W>(set_bits.of[bits]) + first);
      first += step;
      n += std::popcount(bits);
    }
  places = join(convert<std::int32_t>(load<W>(list)), convert<std::int32_t>(load<W>(list + 8)));
  return n;
}
#else
template <placed_row Row>
MOEROUTE_SIMD_INLINE int places_reaching(Row const& row, int size, floats bound, ints& places) {
  std::int32_t list[16] = {};
  int n = 0;
  for (int b = 0; b < size; b += 64)
    for (std::uint64_t word = reaching(row, b, bound); word != 0; word &= word - 1, ++n)
      if (n < 16) list[n] = b + std::countr_zero(word);
  places = load<ints>(list);
  return n;
}
#endif
MOEROUTE_ON_DEMAND
MOEROUTE_SIMD_INLINE int places_reaching(float const* key, int size, floats bound, ints& places) {
  return places_reaching(whole_row{key}, size, bound, places);
}

}  // namespace detail

// The lanes of v whose bits are set, moved together; behind them those of `rest`.
template <class T>
MOEROUTE_SIMD_INLINE vec<T, 16> together(vec<T, 16> v, unsigned bits, vec<T, 16> rest) {
  static_assert(sizeof(T) == 4);
#if defined(__AVX512F__)
  auto const raw = [](vec<T, 16> x) MOEROUTE_SIMD_LAMBDA { return bits_as<std::int32_t>(x).v; };
  return bits_as<T>(ints(__builtin_ia32_compresssi512_mask(raw(v), raw(rest), static_cast<unsigned short>(bits)), 0));
#else
#if MOEROUTE_SIMD_BYTES >= 32
  if (bits < 256) {
    auto const at = convert<std::int32_t>(load<vec<std::uint16_t, 8>>(detail::set_bits.of[bits]));
    return select(lane_id() < ints(std::popcount(bits)), permute(v, join(at, at)), rest);
  }
#endif
  alignas(64) T from[16], to[16];
  store(from, v);
  store(to, rest);
  for (int n = 0; bits != 0; bits &= bits - 1, ++n) to[n] = from[std::countr_zero(bits)];
  return load<vec<T, 16>>(to);
#endif
}
}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
