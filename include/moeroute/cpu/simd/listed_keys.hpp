// Decides how the keys of a row's open groups are looked through without the others: their registers are listed, and a row
// of registers is bounded, filtered and read by that list.
#pragma once

#include <moeroute/cpu/simd/keys.hpp>
#include <moeroute/cpu/simd/rank.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

// The groups that registers of the layout are in, by their numbers: a division by the registers of a group.
struct group_of_register {
  ints factor;
  MOEROUTE_SIMD_INLINE explicit group_of_register(key_layout const& l) : factor((1 << 24) / l.vectors + 1) {}
  MOEROUTE_SIMD_INLINE ints operator()(ints i) const { return i * factor >> 24; }
};
// Where the keys of the open groups are, 16 to a register, filled up with the -inf behind the keys to a multiple of 4
// registers; returns how many.
MOEROUTE_SIMD_INLINE int list_slots(key_layout const& l, unsigned open, group_of_register const& group,
                                    std::int32_t* place) {
  int const n = std::popcount(open) * l.vectors;
  if constexpr (register_bytes == 16) {  // vectors would be four registers, and products of lanes several steps
    int i = 0;
    for (; open != 0; open &= open - 1)
      for (int v = 0; v < l.vectors; ++v) place[i++] = 16 * (std::countr_zero(open) * l.vectors + v);
    for (; i % 16 != 0; ++i) place[i] = l.size;
  } else {
    ints const first = together(lane_id() * ints(l.vectors), open, ints(0));
    for (int i = 0; i < n; i += 16) {
      ints const slot = lane_id() + i, g = group(slot), rest = slot - g * ints(l.vectors);
      store(place + i, select(slot < ints(n), (permute(first, g & ints(15)) + rest) << 4, ints(l.size)));
    }
  }
  return (n + 3) / 4 * 4;
}

// The registers that `place` lists, as a row.
struct listed_registers {
  float const* key;
  std::int32_t const* place;
  MOEROUTE_SIMD_INLINE float const* operator()(int i) const { return key + place[i / 16]; }
};

// A number that at least k keys of such a row reach: the k-th best of its lanes' maxima.
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline floats bound_of_listed(listed_registers const& row, int slots, int k) {
  alignas(64) float maxima[32];
  floats even(lowest), odd(lowest);
  for (int i = 0; i < 16 * slots; i += 32) {
    even = max(load<floats>(row(i)), even);
    odd = max(load<floats>(row(i + 16)), odd);
  }
  bool const wide = k > 8 || slots >= 32;  // fewer keys reach the bound
  store(maxima, wide ? even : max(even, odd));
  store(maxima + 16, odd);
  return kth_largest(maxima, wide ? 32 : 16, k);
}

// Numbers of A arrays at places of such a row, the arrays' last register being at `last`.
template <std::size_t A>
MOEROUTE_SIMD_INLINE void fetch(float const* const (&from)[A], [[maybe_unused]] int last, std::int32_t const* place,
                                int slots, ints at, floats (&x)[A]) {
#if defined(__AVX512F__)  // sooner than a gather
  ints const block = at >> 6, upper = at & ints(32);
  for (int b = 0; b < slots; b += 4) {
    index_t slot[4];
    for (int i = 0; i < 4; ++i) slot[i] = place[b + i] < last ? place[b + i] : last;
    for (std::size_t i = 0; i < A; ++i) {
      auto const in = [&](int j) MOEROUTE_SIMD_LAMBDA { return load<floats>(from[i] + slot[j]); };
      floats const some = select(upper == ints(0), lookup(in(0), in(1), at), lookup(in(2), in(3), at));
      x[i] = select(block == ints(b >> 2), some, x[i]);
    }
  }
#else
  ints const where = lookup(place, slots, at >> 4) + (at & ints(15));
  for (std::size_t i = 0; i < A; ++i) x[i] = gather(from[i], where);
#endif
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
