// Decides whether the keys held for ten rounds are those that each round adds up to.
#include <doctest/doctest.h>

#include <moeroute/cpu/simd/round_keys.hpp>

using namespace moeroute;

TEST_CASE_TEMPLATE("simd philox: keys of ten rounds", Word, std::uint32_t, std::uint64_t) {
  for (draws const& d : {draws{1, 2, 3}, draws{0xFFFFFFFF00000001u, 77, 0x47}}) {
    simd::round_keys<Word> const key(d);
    philox_block by_keys{{5, 6, 7, 8}};
    for (int r = 0; r < 10; ++r) {  // one round at a time, its words put together by hand
      std::uint64_t const a = std::uint64_t{0xD2511F53u} * by_keys.word[0],
                          b = std::uint64_t{0xCD9E8D57u} * by_keys.word[2];
      CHECK(key.first[r] <= 0xFFFFFFFFu);
      CHECK(key.second[r] <= 0xFFFFFFFFu);
      by_keys = {{static_cast<std::uint32_t>((b >> 32) ^ by_keys.word[1] ^ key.first[r]), static_cast<std::uint32_t>(b),
                  static_cast<std::uint32_t>((a >> 32) ^ by_keys.word[3] ^ key.second[r]),
                  static_cast<std::uint32_t>(a)}};
    }
    auto const want = philox4x32({{5, 6, 7, 8}}, d.first_key(), d.second_key());
    for (int i = 0; i < 4; ++i) CHECK(by_keys.word[i] == want.word[i]);
  }
}
