#include <doctest/doctest.h>

#include <moeroute/cpu/simd/philox.hpp>

using namespace moeroute;

TEST_CASE("simd philox: the words of many experts at once are those of one by one, in expert order") {
  for (draws const& d : {draws{1, 2, 3}, draws{0xFFFFFFFF00000001u, 77, 0x47}, draws{0, 0, 0xFFFFFFFFu}}) {
    simd::philox_words const from(d);
    for (offset_t const token : {offset_t{0}, offset_t{12345}, offset_t{0xFFFFFFFF}, (offset_t{1} << 40) + 7})
      for (index_t const first : {0, 64, 4096}) {
        auto const t = static_cast<std::uint64_t>(token);
        std::uint32_t word[4 * simd::words_at_once];  // of one token, of two together, complements
        auto const expert = from.expert(first, static_cast<std::uint32_t>(t >> 32));
        auto const other = token ^ 0x35;
        simd::philox_words::of_token const own[2] = {from.token(static_cast<std::uint32_t>(t)),
                                                     from.token(static_cast<std::uint32_t>(t) ^ 0x35)};
        simd::store(word, from.words<1>(expert, own));
        simd::store(word + simd::words_at_once, from.words<2>(expert, own));
        simd::store(word + 3 * simd::words_at_once, from.words<1, true>(expert, own));
        for (index_t i = 0; i < simd::words_at_once; ++i) {
          CHECK(word[i] == d.bits(token, first + i));
          CHECK(word[simd::words_at_once + i] == d.bits(token, first + i));
          CHECK(word[2 * simd::words_at_once + i] == d.bits(other, first + i));
          CHECK(word[3 * simd::words_at_once + i] == ~word[i]);
        }
      }
  }
}

TEST_CASE("simd philox: products of lower halves do not see the upper halves") {
  using W = simd::vec<std::uint64_t, 8>;
  std::uint64_t out[8];
  simd::store(out, simd::low_product(W(0xABCD0000FFFFFFFFu), W(0x1234567880000001u)));
  for (auto const x : out) CHECK(x == std::uint64_t{0xFFFFFFFFu} * 0x80000001u);
}
