#include <doctest/doctest.h>

#include <moeroute/cpu/simd/memory.hpp>

using namespace moeroute;

TEST_CASE("memory: the first lanes of a vector, and nothing behind them") {
  float const from[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  for (int n = 0; n <= 16; ++n) {
    float read[16], written[16];
    simd::store(read, simd::load_first(from, n, -1.f));
    simd::store(written, simd::floats(0.f));
    simd::store_first(written, simd::load<simd::floats>(from), n);
    for (int i = 0; i < 16; ++i) {
      CHECK(read[i] == (i < n ? from[i] : -1.f));
      CHECK(written[i] == (i < n ? from[i] : 0.f));
    }
  }
}

TEST_CASE("memory: gathered lanes") {
  std::int32_t from[40], got[16];
  for (int i = 0; i < 40; ++i) from[i] = 100 + i;
  simd::store(got, simd::gather(from, simd::ints(39) - (simd::lane_id() << 1)));
  for (int i = 0; i < 16; ++i) CHECK(got[i] == 139 - 2 * i);
}

TEST_CASE("memory: permuted lanes, and entries of short and long tables") {
  std::int32_t table[40], got[16];
  for (int i = 0; i < 40; ++i) table[i] = 100 + i;
  simd::ints const at = (simd::lane_id() * simd::ints(7)) & simd::ints(15);
  simd::store(got, simd::permute(simd::load<simd::ints>(table), at));
  for (int i = 0; i < 16; ++i) CHECK(got[i] == 100 + 7 * i % 16);
  float moved[16];
  simd::store(moved, simd::permute(simd::convert<float>(simd::lane_id()), at));
  for (int i = 0; i < 16; ++i) CHECK(moved[i] == static_cast<float>(7 * i % 16));
  simd::store(got, simd::lookup(table, 16, at));
  for (int i = 0; i < 16; ++i) CHECK(got[i] == 100 + 7 * i % 16);
  simd::store(got, simd::lookup(table, 40, simd::ints(39) - simd::lane_id()));
  for (int i = 0; i < 16; ++i) CHECK(got[i] == 139 - i);
}

TEST_CASE("memory: the first lanes as another type") {
  float const from[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  for (int n = 0; n <= 16; ++n) {
    double wide[16] = {};
    float same[16] = {};
    simd::store_first_as<double>(wide, simd::load<simd::floats>(from), n);
    simd::store_first_as<float>(same, simd::load<simd::floats>(from), n);
    for (int i = 0; i < 16; ++i) {
      CHECK(wide[i] == (i < n ? i + 1. : 0.));
      CHECK(same[i] == (i < n ? from[i] : 0.f));
    }
  }
}
