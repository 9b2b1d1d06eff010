// Decides where the keys of Philox's ten rounds are while many words are made: in memory, read with each use, since
// registers hold the counters.
#pragma once

#include <moeroute/core/philox.hpp>
#include <moeroute/cpu/simd/vec_type.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

namespace detail {
// Compilers would take x apart and copy its numbers before a loop that reads them from memory as well.
template <class T>
MOEROUTE_SIMD_INLINE void leave_in_memory(T& x) {
  __asm__("" : "+m"(x));
}
}  // namespace detail

template <class Word>
struct round_keys {
  Word first[10], second[10];
  explicit round_keys(draws const& d) {
    std::uint32_t a = d.first_key(), b = d.second_key();
    for (int r = 0; r < 10; ++r, a += 0x9E3779B9u, b += 0xBB67AE85u) first[r] = a, second[r] = b;
    detail::leave_in_memory(first), detail::leave_in_memory(second);
  }
};

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
