#include <doctest/doctest.h>

#include <moeroute/cpu/simd/gumbel.hpp>

using namespace moeroute;

TEST_CASE("simd gumbel: 64 draws at once have the bits of one by one") {
  for (draws const& d : {draws{1, 2, 3}, draws{0xFFFFFFFF00000001u, 77, 0x47}})
    for (offset_t const token : {offset_t{0}, offset_t{12345}, (offset_t{1} << 40) + 7})
      for (index_t const first : {0, 64, 1024}) {
        float out[64];
        simd::gumbel_of_64(d, token, first, out);
        for (index_t i = 0; i < 64; ++i) CHECK(math::as<std::int32_t>(out[i]) == math::as<std::int32_t>(d.gumbel<float>(token, first + i)));
      }
}
