#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/simd/philox.hpp>

using namespace moeroute;

TEST_CASE("simd philox: the words of many experts and rows at once are those of one by one, in expert order") {
  for (draws const& d : {draws{1, 2, 3}, draws{0xFFFFFFFF00000001u, 77, 0x47}, draws{0, 0, 0xFFFFFFFFu}})
    for (offset_t const token : {offset_t{0}, offset_t{12345}, offset_t{0xFFFFFFF0}, (offset_t{1} << 40) + 7})
      for (index_t const first : {0, 64, 4096})
        for (int const rows : {1, 3, 8, 11, 16})
          for (bool const complements : {false, true}) {
            offset_t name[16];
            std::uint32_t* to[16];
            std::vector<std::uint32_t> word(static_cast<std::size_t>(128 * rows));
            for (int q = 0; q < rows; ++q) name[q] = token ^ (5 * q % 16), to[q] = word.data() + 128 * q;
            simd::draw_words(simd::philox_words(d), name, rows, first, first + 128, complements, to);
            bool same = true;
            for (int q = 0; q < rows; ++q)
              for (index_t i = 0; i < 128; ++i) {
                auto const want = d.bits(name[q], first + i);
                same = same && word[static_cast<std::size_t>(128 * q + i)] == (complements ? ~want : want);
              }
            CHECK_MESSAGE(same, "token ", token, ", first expert ", first, ", rows ", rows);
          }
}
