// Decides whether ids, byte maps, bit maps and ragged choices say the same, back and forth.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/plan/conversions.hpp>
#include <moeroute/plan/routing_map.hpp>

#include "support/plan_arrays.hpp"

using namespace moeroute;

namespace {
// Row t has t % 5 distinct experts, unsorted.
std::vector<int> some_ids(offset_t tokens, index_t experts) {
  std::vector<int> ids(static_cast<std::size_t>(tokens * 4), -1);
  for (offset_t t = 0; t < tokens; ++t)
    for (offset_t j = 0; j < t % 5 && j < experts; ++j)
      ids[static_cast<std::size_t>(4 * t + j)] = static_cast<int>((7 * t + (experts - 1) * j + experts) % experts);
  return ids;
}
}  // namespace

TEST_CASE("conversions: ids to bytes to bits to ids: the same sets, for sizes around a byte, any executor") {
  for (index_t const experts : {5, 7, 8, 9, 31, 64, 65, 257}) {
    offset_t const tokens = 23, bytes = bit_map_bytes(experts);
    auto const ids = some_ids(tokens, experts);
    choices_view<> const in{.ids = {ids.data(), tokens, 4}};
    auto const check = [&](auto const& x) {
      auto w = poisoned<std::byte>(conversion_workspace_bytes(x, tokens));
      auto byte_map = poisoned<std::uint8_t>(tokens * experts), bit_map = poisoned<std::uint8_t>(tokens * bytes);
      auto bit_map2 = bit_map, byte_map2 = byte_map;
      matrix_view<std::uint8_t> const B{byte_map.data(), tokens, experts}, b{bit_map.data(), tokens, bytes};
      matrix_view<std::uint8_t> const B2{byte_map2.data(), tokens, experts}, b2{bit_map2.data(), tokens, bytes};
      byte_map_of_choices(x, in, experts, B, w);
      bit_map_of_choices(x, in, experts, b, w);
      for (offset_t t = 0; t < tokens; ++t)
        for (offset_t e = 0; e < experts; ++e) {
          bool const has = std::count(ids.begin() + 4 * t, ids.begin() + 4 * t + 4, static_cast<int>(e)) != 0;
          REQUIRE(B[t][e] == has);
          REQUIRE((b[t][e / 8] >> (e % 8) & 1) == has);  // least significant bit first
        }
      for (offset_t t = 0; t < tokens; ++t) CHECK((b[t][bytes - 1] >> ((experts - 1) % 8)) <= 1);  // unused bits are 0
      bits_of_bytes(x, matrix_view<std::uint8_t const>(B), b2);
      CHECK(bit_map2 == bit_map);
      bytes_of_bits(x, matrix_view<std::uint8_t const>(b), B2);
      CHECK(byte_map2 == byte_map);
      std::vector<int> from_bytes(ids.size(), 77), from_bits(ids.size(), 77);
      ids_of_byte_map(x, matrix_view<std::uint8_t const>(B), experts, matrix_view<int>(from_bytes.data(), tokens, 4),
                      w);
      ids_of_bit_map(x, matrix_view<std::uint8_t const>(b), experts, matrix_view<int>(from_bits.data(), tokens, 4), w);
      auto sorted = ids;
      for (offset_t t = 0; t < tokens; ++t)
        std::sort(sorted.begin() + 4 * t, sorted.begin() + 4 * t + 4,
                  [](int p, int q) { return static_cast<unsigned>(p) < static_cast<unsigned>(q); });
      CHECK(from_bytes == sorted);
      CHECK(from_bits == sorted);
      // Ragged, and from ragged back to bytes.
      std::vector<offset_t> offsets(static_cast<std::size_t>(tokens) + 1);
      std::vector<int> list(static_cast<std::size_t>(choices_in(matrix_view<std::uint8_t const>(B))));
      choices_of_map(x, matrix_view<std::uint8_t const>(B), row_view<offset_t>(offsets), row_view<int>(list));
      std::fill(byte_map2.begin(), byte_map2.end(), std::uint8_t{255});
      byte_map_of_choices(x, choices_view<>{.ids = {list.data(), 1, std::ssize(list)}, .offsets = offsets}, experts, B2,
                          w);
      CHECK(byte_map2 == byte_map);
    };
    check(serial{}), check(threads{3}), check(lockstep{4});
  }
}

TEST_CASE("promise P17: what a map cannot hold is an error, and padding tokens have empty rows") {
  std::vector<int> ids{0, 1, 2, 2};
  std::vector<std::uint8_t> map(6);
  auto w = poisoned<std::byte>(conversion_workspace_bytes(serial{}, 2));
  matrix_view<std::uint8_t> const m{map.data(), 2, 3};
  choices_view<> const in{.ids = {ids.data(), 2, 2}};
  auto const says = [&] { return std::string(message(try_byte_map_of_choices(serial{}, in, 3, m, w)).c_str()); };
  CHECK(says().find("twice in a row): the first such row = 1") != std::string::npos);
  ids[3] = 3;
  CHECK(says().find("the first such row = 1") != std::string::npos);
  ids[3] = -5;
  CHECK(says().find("the first such row = 1") != std::string::npos);
  std::vector<std::uint8_t> const valid{1, 0};
  byte_map_of_choices(serial{}, choices_view<>{.ids = in.ids, .valid = valid}, 3, m, w);
  CHECK(map == std::vector<std::uint8_t>{1, 1, 0, 0, 0, 0});
  std::vector<int> one(2);
  CHECK(std::string(message(try_ids_of_byte_map(serial{}, matrix_view<std::uint8_t const>(m), 3,
                                                matrix_view<int>(one.data(), 2, 1), w))
                        .c_str())
            .find("more experts in a row than ids have columns): the first such row = 0") != std::string::npos);
  std::vector<std::uint8_t> narrow(2 * 2);
  std::vector<std::uint8_t> wide(600);
  CHECK(try_ids_of_byte_map(serial{}, matrix_view<std::uint8_t const>(wide.data(), 2, 300), 300,
                            matrix_view<std::uint8_t>(narrow.data(), 2, 2), w)
            .code == errc::bad_shape);
  CHECK(try_bits_of_bytes(serial{}, matrix_view<std::uint8_t const>(m), matrix_view<std::uint8_t>(narrow.data(), 2, 2))
            .code == errc::bad_shape);
}
