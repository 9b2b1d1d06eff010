#include <doctest/doctest.h>

#include <moeroute/cpu/simd/gumbel.hpp>

using namespace moeroute;

TEST_CASE("simd gumbel: 64 draws at once have the bits of one by one") {
  for (draws const& d : {draws{1, 2, 3}, draws{0xFFFFFFFF00000001u, 77, 0x47}})
    for (offset_t const token : {offset_t{0}, offset_t{12345}, (offset_t{1} << 40) + 7})
      for (index_t const first : {0, 64, 1024}) {
        float out[64];
        simd::gumbel_of_64(simd::philox_words(d), token, first, out);
        for (index_t i = 0; i < 64; ++i) CHECK(math::as<std::int32_t>(out[i]) == math::as<std::int32_t>(d.gumbel<float>(token, first + i)));
      }
}

TEST_CASE("simd gumbel: the bound holds for each of the 2^23 random values") {
  using W = simd::vec<std::uint32_t, 16>;
  float most_gap = 0, least_room = 1;
  for (std::uint32_t x = 0; x < 1u << 23; x += 16) {
    W const word = (simd::bits_as<std::uint32_t>(simd::lane_id()) + W(x)) << 9;
    simd::floats const exact = simd::gumbel_of(word), v = simd::gumbel_bound::complement(word), bound = simd::gumbel_bound::above(v);
    float e[16], b[16], c[16];
    simd::store(e, exact), simd::store(b, bound), simd::store(c, v);
    for (int i = 0; i < 16; ++i) {
      least_room = std::min(least_room, b[i] - e[i]);
      if (c[i] <= simd::gumbel_bound::near) most_gap = std::max(most_gap, b[i] - e[i]);
    }
  }
  CHECK(least_room > 2e-5f);  // far above the rounding of either side, which is at most 16 units of 2^-20
  CHECK(most_gap < simd::gumbel_bound::gap - 1e-5f);
  MESSAGE("room " << least_room << ", gap " << most_gap);
}
