// Decides whether sums of shares on vectors have the bits of sums one by one, and what they leave to those.
#include <doctest/doctest.h>

#include <moeroute/core/config.hpp>

#if defined(MOEROUTE_SIMD)
#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

#include <moeroute/cpu/simd/wide_sums.hpp>

using namespace moeroute;

TEST_CASE("simd wide sums: shares of many rows, with and without a divisor, bit for bit") {
  std::mt19937 rng(5);
  std::uniform_real_distribution<float> u(0, 1);
  float const odd[] = {0.f, 1.f, 0x1p-149f, 0x1p-60f, 0x1p-51f, 0x1.8p-51f, std::nextafter(1.f, 0.f), .5f, -0.f};
  for (double const per : {1., 1.0000001, 3.7}) {
    std::vector<wide_sum> one(16), many(16);
    one[3] = many[3] = {-7, (std::int64_t{1} << wide_sum::fraction_bits) - 1};  // carries out of a negative number
    for (int row = 0; row < 2000; ++row) {
      float x[16];
      for (float& y : x) y = row % 5 == 0 ? odd[rng() % 9] : std::ldexp(u(rng), -static_cast<int>(rng() % 55));
      CHECK(simd::add_16_shares(many.data(), x, per));
      for (std::size_t i = 0; i < 16; ++i) one[i].add(static_cast<double>(x[i]) / per);
    }
    for (std::size_t i = 0; i < 16; ++i) CHECK(many[i] == one[i]);
    CHECK(one[0].whole > 0);
  }
}

TEST_CASE("simd wide sums: a row with anything but shares is left alone") {
  for (float const bad : {-0x1p-149f, std::nextafter(1.f, 2.f), 2.f, -1.f, std::nanf(""), INFINITY, -INFINITY})
    for (std::size_t at = 0; at < 16; ++at) {
      std::vector<wide_sum> sums(16, wide_sum{3, 9});
      float x[16] = {};
      x[at] = bad;
      CHECK_FALSE(simd::add_16_shares(sums.data(), x, 1));
      for (auto const& s : sums) CHECK(s == wide_sum{3, 9});
    }
}
#else
TEST_CASE("simd wide sums: no vectors on this machine") { CHECK(true); }
#endif
