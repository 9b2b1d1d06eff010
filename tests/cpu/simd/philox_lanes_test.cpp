// Decides whether one counter in each 64-bit lane makes the words of core/philox.hpp.
#include <moeroute/cpu/simd/philox_lanes.hpp>

#include "support/philox_words.hpp"

using namespace moeroute;

TEST_CASE("simd philox: lanes of counters make the words of one by one") {
  philox_test::words_of<simd::philox_lanes>();
}

TEST_CASE("simd philox: products of lower halves do not see the upper halves") {
  using W = simd::vec<std::uint64_t, 8>;
  std::uint64_t out[8];
  simd::store(out, simd::low_product(W(0xABCD0000FFFFFFFFu), W(0x1234567880000001u)));
  for (auto const x : out) CHECK(x == std::uint64_t{0xFFFFFFFFu} * 0x80000001u);
}
