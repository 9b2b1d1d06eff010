// Decides whether fused sums by doubles are each rounded once, whatever comes out: halves, tiny numbers, zero, infinity.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <random>

#include <moeroute/cpu/simd/math.hpp>

using namespace moeroute;

namespace {

std::uint32_t bits(float x) {
  std::uint32_t b;
  std::memcpy(&b, &x, 4);
  return x != x ? 1u : b;
}
int differences(float const (&a)[16], float const (&b)[16], float const (&c)[16]) {
  using simd::floats;
  float got[16];
  simd::store(got, math::fma(simd::load<floats>(a), simd::load<floats>(b), simd::load<floats>(c)));
  int n = 0;
  for (int i = 0; i < 16; ++i) n += bits(got[i]) != bits(std::fma(a[i], b[i], c[i]));
  return n;
}

}  // namespace

TEST_CASE("simd fma_by_doubles: fused sums of any floats") {
  std::mt19937 random(7);
  float a[16], b[16], c[16];
  int wrong = 0;
  for (int round = 0; round < 100000; ++round) {
    for (int i = 0; i < 16; ++i) {
      for (float* x : {&a[i], &b[i], &c[i]}) {
        auto const word = static_cast<std::uint32_t>(random());
        std::memcpy(x, &word, 4);
      }
      if (round % 4 == 1) c[i] = std::ldexp(c[i], std::ilogb(a[i]) + std::ilogb(b[i]) - std::ilogb(c[i]) + i - 8);
    }
    wrong += differences(a, b, c);
  }
  CHECK(wrong == 0);
}

TEST_CASE("simd fma_by_doubles: fused sums that end halfway, below the normal floats, at zero") {
  int wrong = 0;
  for (int e = -149; e < 100; ++e) {
    float a[16], b[16], c[16];
    for (int i = 0; i < 16; ++i) {
      // c + half a unit of its last digit, and a bit too small for a double's digits on either side or none
      c[i] = std::ldexp(i % 2 == 0 ? 1.f : -1.f - 0x1p-23f, e);
      a[i] = std::ldexp(i < 8 ? 1.f + 0x1p-23f : 1.f, e - 24);
      b[i] = i % 4 == 0 ? 1.f : i % 4 == 1 ? 1 - 0x1p-24f : i % 4 == 2 ? -1.f : 1 + 0x1p-23f;
    }
    wrong += differences(a, b, c);
    for (float& x : c) x = 0;
    wrong += differences(a, b, c);
    for (int i = 0; i < 16; ++i) c[i] = -a[i], b[i] = 1;
    wrong += differences(a, b, c);
  }
  CHECK(wrong == 0);
}
