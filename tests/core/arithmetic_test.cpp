#include <doctest/doctest.h>

#include <limits>
#include <random>

#include <moeroute/core/arithmetic.hpp>

using namespace moeroute;

TEST_CASE_TEMPLATE("arithmetic: the larger and the smaller are the second where one is NaN", V, float, double) {
  V const nan = not_a_number<V>;
  CHECK(math::max(V(1), V(2)) == V(2));
  CHECK(math::min(V(1), V(2)) == V(1));
  CHECK(math::max(nan, V(2)) == V(2));
  CHECK(math::min(nan, V(2)) == V(2));
  CHECK(is_nan(math::max(V(2), nan)));
  CHECK(is_nan(math::min(V(2), nan)));
}

TEST_CASE_TEMPLATE("arithmetic: bits and whole numbers come back", V, float, double) {
  using I = typename math::bits_of<V>::type;
  for (V const x : {V(0), V(-0.), V(1.5), infinity<V>, std::numeric_limits<V>::denorm_min()})
    CHECK(math::as<I>(math::as<V>(math::as<I>(x))) == math::as<I>(x));
  CHECK(math::as<I>(V(0)) == 0);
  CHECK(math::as<I>(V(-0.)) == least<I>);
  CHECK(math::to_number<V>(I(-7)) == V(-7));
}

TEST_CASE("arithmetic: a product is never fused into a sum") {
  float const a = 1.f + 0x1p-12f;  // a * a needs 25 bits
  float volatile c = -1.f - 0x1p-11f;
  CHECK(math::mul(a, a) + c == 0.f);
  CHECK(math::fma(a, a, c) == 0x1p-24f);
}

TEST_CASE(
    "promise P7 fma without the instruction: rounded once, halfway cases and results below the normal floats "
    "included") {
  std::mt19937_64 g(8);
  auto const same = [](float a, float b, float c) {
    float const got = math::detail::fma_in_double(a, b, c), want = __builtin_fmaf(a, b, c);
    bool const equal = math::as<std::int32_t>(got) == math::as<std::int32_t>(want) || (is_nan(got) && is_nan(want));
    CAPTURE(a);
    CAPTURE(b);
    CAPTURE(c);
    CHECK(equal);
  };
  for (int i = 0; i < 200000; ++i) {
    std::uint64_t const r = g(), s = g();
    auto const x = static_cast<std::uint32_t>(r), y = static_cast<std::uint32_t>(r >> 32),
               z = static_cast<std::uint32_t>(s);
    auto const shape = static_cast<std::uint32_t>(s >> 32);
    same(math::as<float>(x), math::as<float>(y), math::as<float>(z));
    // Few mantissa bits, and an addend some 24 bits away from the product: sums that end halfway.
    auto const number = [](std::uint32_t bits, std::uint32_t exponent, std::uint32_t dropped) {
      return math::as<float>((bits & 0x807fffffu & (~0u << dropped)) | (exponent << 23));
    };
    std::uint32_t const ea = 90 + shape % 74, eb = 90 + shape / 74 % 74, away = shape / 5476 % 60;
    std::uint32_t const ec = ea + eb < 157 + away ? 0 : (ea + eb - 157 + away > 254 ? 254 : ea + eb - 157 + away);
    same(number(x, ea, shape % 23), number(y, eb, shape / 23 % 23), number(z, ec, shape / 529 % 23));
    same(number(x, ea % 64, 0), number(y, 64 - ea % 64 + shape % 30, 0), number(z, shape % 3, 0));  // tiny
  }
  float const most = std::numeric_limits<float>::max(), inf = infinity<float>;
  for (float c : {0.f, -0.f, 0x1p102f, 0x1p103f, -0x1p103f, inf, -inf, not_a_number<float>})
    for (float a : {most, -most, 0.f, -0.f, inf, 0x1p-149f, 1.f}) same(a, 1.f, c), same(a, -2.f, c), same(a, 0.f, c);
}
