// Decides which random words are made together on the CPU: those of 64 experts for many tokens, at the pace of the form at
// hand (philox_lanes.hpp, philox_neon.hpp).
//
// Counters of a row differ in word 2 (expert / 4), those of a batch in words 0 and 1 (token). So half of rounds one and
// two depends on the expert alone and half on the token alone; rows that run together share the former. Registers of eight
// rows, or of 64 experts of one, run at once: a round waits long for its products.
#pragma once

#if defined(__aarch64__)
#include <moeroute/cpu/simd/philox_neon.hpp>
#else
#include <moeroute/cpu/simd/philox_lanes.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {
namespace simd {

#if defined(__aarch64__)
using philox_words = philox_neon;
#else
using philox_words = philox_lanes;
#endif

// The words of experts first .. last - 1, multiples of 64, or their complements, for `rows` <= 16 tokens that have the same
// upper half: those of token q to to[q].
MOEROUTE_ON_DEMAND
[[gnu::noinline]] inline void draw_words(philox_words const& from, offset_t const* token, int rows, index_t first,
                                         index_t last, bool complements, std::uint32_t* const* to) {
  constexpr int at_once = philox_words::at_once, parts = 64 / at_once;
  philox_words::of_token own[16];
  for (int q = 0; q < rows; ++q) own[q] = from.token(static_cast<std::uint32_t>(token[q]));
  detail::leave_in_memory(own);
  auto const high = static_cast<std::uint32_t>(static_cast<std::uint64_t>(token[0]) >> 32);
  for (index_t i = first; i < last; i += 64) {
    philox_words::of_expert e[std::size_t{parts}];
    for (int p = 0; p < parts; ++p) e[p] = from.expert(i + p * at_once, high);
    int q = 0;
    auto const side_by_side = [&]<int R>(std::integral_constant<int, R>) MOEROUTE_SIMD_LAMBDA {
      for (; q + R <= rows; q += R)
        for (int p = 0; p < parts; ++p)
          from.words<R>(e + p, 0, own + q, 1, complements,
                        [&](int j, auto w) MOEROUTE_SIMD_LAMBDA { store(to[q + j] + (i - first + p * at_once), w); });
    };
    side_by_side(constant<8>);
    side_by_side(constant<4>);
    for (; q < rows; ++q)
      from.words<parts>(e, 1, own + q, 0, complements,
                        [&](int p, auto w) MOEROUTE_SIMD_LAMBDA { store(to[q] + (i - first + p * at_once), w); });
  }
}

}  // namespace simd
}  // namespace moeroute::inline MOEROUTE_ABI
