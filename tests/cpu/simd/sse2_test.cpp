// Decides whether masks of 16 lanes become the bits they stand for, by the instructions of any user's default.
#include <doctest/doctest.h>

#include <cstdint>

#include <moeroute/cpu/simd/sort.hpp>
#include <moeroute/cpu/simd/sse2.hpp>

using namespace moeroute;

TEST_CASE("simd sse2: masks as bits") {
  for (unsigned word = 0; word < 65536; word += 7) {
    std::int32_t lane[16];
    for (int i = 0; i < 16; ++i) lane[i] = (word >> i & 1) != 0 ? -1 : 0;
    CHECK(simd::lane_bits(simd::load<simd::ints>(lane)) == word);
  }
}
