#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <moeroute/cpu/simd/gumbel.hpp>

using namespace moeroute;

TEST_CASE("simd gumbel: 64 draws at once have the bits of one by one") {
  for (draws const& d : {draws{1, 2, 3}, draws{0xFFFFFFFF00000001u, 77, 0x47}})
    for (offset_t const token : {offset_t{0}, offset_t{12345}, (offset_t{1} << 40) + 7})
      for (index_t const first : {0, 64, 1024}) {
        float out[64];
        simd::gumbel_of_64(simd::philox_words(d), token, first, out);
        for (index_t i = 0; i < 64; ++i)
          CHECK(math::as<std::int32_t>(out[i]) == math::as<std::int32_t>(d.gumbel<float>(token, first + i)));
      }
}

TEST_CASE("simd gumbel: the bound holds for each of the 2^23 random values") {
  using W = simd::vec<std::uint32_t, 16>;
  using V = simd::vec<float, 16>;
  float least = 1, most = 0;
  for (float const z : {0.f, -3.f, 1000.f, -1e30f}) {
    for (std::uint32_t x = 0; x < 1u << 23; x += 16) {
      W const word = (simd::bits_as<std::uint32_t>(simd::lane_id()) + W(x)) << 9;
      float exact[16], bound[16];
      V const key = V(z) + simd::gumbel_of(word);
      simd::store(exact, key), simd::store(bound, simd::gumbel_bound(V(z), ~word));
      for (int i = 0; i < 16; ++i) {
        if (!(bound[i] >= simd::bound_of_key(exact[i]))) FAIL("key above its bound at z = ", z, ", x = ", x);
        if (z != 0) continue;
        float const over = bound[i] + simd::bound_constant - exact[i];
        least = std::min(least, over);
        if (exact[i] > .5f && exact[i] < 10) most = std::max(most, over);
      }
    }
  }
  CHECK(least > 1e-5f);  // above the rounding of either side
  CHECK(most < .2f);     // and of use
}

TEST_CASE("simd gumbel: the bound holds at any temperature it is asked for") {
  using W = simd::vec<std::uint32_t, 16>;
  using V = simd::vec<float, 16>;
  for (float const t : {.7f, 3.5f, 1e-3f, 1e6f, 0x1p-79f, 0x1p79f})
    for (float const at : {0.f, -3.f, 17.f, 1e4f})
      for (std::uint32_t x = 0; x < 1u << 23; x += 16 * 61) {
        W const word = (simd::bits_as<std::uint32_t>(simd::lane_id()) + W(x)) << 9;
        float exact[16], bound[16], reached[16];
        V const z(at * t), key = z / V(t) + simd::gumbel_of(word);
        simd::store(exact, key), simd::store(bound, simd::gumbel_bound(z, ~word, t));
        simd::store(reached, simd::bound_of_key(key, V(t)));
        for (int i = 0; i < 16; ++i)
          if (!(bound[i] >= reached[i])) FAIL("key ", exact[i], " above its bound at z = ", at * t, ", t = ", t);
      }
}

TEST_CASE("simd gumbel: rough noise keeps its error for each of the 2^23 random values") {
  using W = simd::vec<std::uint32_t, 16>;
  float most = 0;
  for (std::uint32_t x = 0; x < 1u << 23; x += 16) {
    W const word = (simd::bits_as<std::uint32_t>(simd::lane_id()) + W(x)) << 9;
    float exact[16], rough[16];
    simd::store(exact, simd::gumbel_of(word)), simd::store(rough, simd::rough_gumbel(~word));
    for (int i = 0; i < 16; ++i) most = std::max(most, std::abs(exact[i] - rough[i]));
  }
  CHECK(most < simd::rough_gumbel_error);
  CHECK(most > simd::rough_gumbel_error / 2);
}
