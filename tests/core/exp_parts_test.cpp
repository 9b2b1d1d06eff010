// Decides whether e^x in two parts has the bits of its fused steps, by whatever way this machine takes them.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include <moeroute/core/exp_parts.hpp>

using namespace moeroute;

namespace {

// The equation, each fused step by the C library.
struct parts {
  float p, shifted;
};
parts transcribed(float x, float round) {
  float const shifted = std::fma(x, 1.44269504f, round), n = shifted - round;
  float const r = std::fma(n, -0x1.7f7d1cp-20f, std::fma(n, -0x1.62e4p-1f, x));
  float tail = .001381446706f;
  for (float const c : {.008368780411f, .04166839421f, .1666652011f, .4999999341f}) tail = std::fma(tail, r, c);
  float const rr = r * r;
  return {std::fma(rr, tail, r) + 1.f, shifted};
}
std::uint32_t bits(float x) {
  std::uint32_t b;
  std::memcpy(&b, &x, 4);
  return b;
}

}  // namespace

TEST_CASE("exp_parts: the bits of the fused steps") {
  long different = 0, seen = 0;
  auto const check = [&](float x) {
    for (float const round : {0x1.8p23f, 0x1.8p23f + 127}) {
      parts const want = transcribed(x, round);
      auto const got = math::detail::exp_in_parts(x, round);
      different += bits(want.p) != bits(got.p) || bits(want.shifted) != bits(got.shifted);
      ++seen;
    }
  };
  // Every exponent and sign, digits over the whole range, few digits and many.
  for (std::uint32_t b = 0; b < 0xFFF00000u; b += 8191) {
    float x;
    std::memcpy(&x, &b, 4);
    if (x >= -104 && x <= 89) check(x);
  }
  for (int i = -104 * 256; i <= 89 * 256; ++i) check(static_cast<float>(i) / 256);  // as bf16 and fp16 give
  CHECK(seen > 400000);
  CHECK(different == 0);
}

TEST_CASE("exp_parts: not a number stays one") {
  auto const e = math::detail::exp_in_parts(std::nanf(""), 0x1.8p23f);
  CHECK(e.p != e.p);
}

#if defined(MOEROUTE_FMA_BY_DOUBLES)
TEST_CASE("exp_parts: a sum that ends halfway between two floats is in doubt") {
  bool doubt = false;
  CHECK(math::detail::to_float(1 + 0x1p-24, doubt) == 1.f);
  CHECK(doubt);
  doubt = false;
  CHECK(math::detail::to_float(1 + 0x1p-24 + 0x1p-52, doubt) == 1 + 0x1p-23f);
  CHECK(math::detail::to_float(0, doubt) == 0.f);
  CHECK_FALSE(doubt);
}
#endif
