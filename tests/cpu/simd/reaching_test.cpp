#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/simd/reaching.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

TEST_CASE("simd reaching: bits and the first 16 places of the keys at or above a bound, in order; NaN reaches none") {
  int full = 0;
  for (std::size_t const size : {64u, 128u, 512u}) {
    auto all = inputs::adversarial(size);
    for (unsigned seed = 0; seed < 30; ++seed) all.push_back(inputs::normal(size, seed));
    for (auto const& row : all)
      for (float const bound : {simd::lowest, -1.f, 0.f, 1.f, 1.5f, row[size / 2], infinity<float>}) {
        if (is_nan(bound)) continue;
        std::vector<std::int32_t> want;
        for (std::size_t i = 0; i < size; ++i) {
          bool const reaches = row[i] >= bound;
          if (reaches) want.push_back(static_cast<std::int32_t>(i));
          auto const word = simd::detail::reaching(row.data() + i / 64 * 64, simd::floats(bound));
          CHECK((word >> i % 64 & 1) == static_cast<unsigned>(reaches));
        }
        simd::ints places;
        int const n = simd::detail::places_reaching(row.data(), static_cast<int>(size), simd::floats(bound), places);
        std::int32_t place[16];
        simd::store(place, places);
        if (want.size() > 16) CHECK(n > 16);
        else CHECK(n == static_cast<int>(want.size()));
        full += want.size() > 16;
        for (std::size_t i = 0; i < 16; ++i) {
          if (i < want.size()) CHECK(place[i] == want[i]);
          CHECK(static_cast<std::size_t>(place[i]) < size);
        }
      }
  }
  CHECK(full > 100);
}

TEST_CASE("simd reaching: lanes whose bits are set move together, in order, before those of another vector") {
  std::int32_t from[16], rest[16], got[16];
  float numbers[16];
  for (int i = 0; i < 16; ++i) from[i] = 100 + i, rest[i] = 200 + i;
  auto const x = simd::load<simd::ints>(from), behind = simd::load<simd::ints>(rest);
  for (unsigned bits = 0; bits < 1u << 16; bits += 7) {
    simd::store(got, simd::together(x, bits, behind));
    simd::store(numbers, simd::together(simd::convert<float>(x), bits, simd::convert<float>(behind)));
    int n = 0;
    for (int i = 0; i < 16; ++i)
      if ((bits >> i & 1) != 0) CHECK(got[n++] == 100 + i);
    for (; n < 16; ++n) CHECK(got[n] == 200 + n);
    for (n = 0; n < 16; ++n) CHECK(numbers[n] == static_cast<float>(got[n]));
  }
}
