#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include <moeroute/cpu/simd/vec.hpp>

using namespace moeroute;

namespace {
template <int N>
void check_lanes() {
  using V = simd::vec<float, N>;
  float a[std::size_t{N}], b[std::size_t{N}], out[std::size_t{N}];
  for (int i = 0; i < N; ++i) a[i] = static_cast<float>(i) - 3, b[i] = static_cast<float>(N - i) * .5f;
  V const x = simd::load<V>(a), y = simd::load<V>(b);
  auto const each = [&](V v, auto want) {
    simd::store(out, v);
    for (int i = 0; i < N; ++i) CHECK(out[i] == want(i));
  };
  each(x + y, [&](int i) { return a[i] + b[i]; });
  each(x * y - V(2.f), [&](int i) { return a[i] * b[i] - 2; });
  each(simd::max(x, y), [&](int i) { return std::max(a[i], b[i]); });
  each(simd::select(x < y, x, V(9.f)), [&](int i) { return a[i] < b[i] ? a[i] : 9; });
  each(simd::swap<1>(x), [&](int i) { return a[i ^ 1]; });
  each(simd::swap<N / 2>(x), [&](int i) { return a[i ^ (N / 2)]; });
  each(simd::blend<2>(x, y), [&](int i) { return (i & 2) != 0 ? b[i] : a[i]; });
  each(simd::join(simd::even<0>(x), simd::even<1>(x)),
       [&](int i) { return i < N / 2 ? a[2 * i] : a[2 * (i - N / 2) + 1]; });
  if constexpr (N >= 8)  // runs of 2
    each(simd::join(simd::even<0, 2>(x), simd::even<1, 2>(x)), [&](int i) {
      int const j = i % (N / 2);
      return a[2 * (j - j % 2) + j % 2 + (i < N / 2 ? 0 : 2)];
    });
  if constexpr (N >= 16)  // and of 8
    each(simd::join(simd::even<0, 8>(x), simd::even<1, 8>(x)), [&](int i) {
      int const j = i % (N / 2);
      return a[2 * (j - j % 8) + j % 8 + (i < N / 2 ? 0 : 8)];
    });
  each(simd::join(simd::high(x), simd::low(x)), [&](int i) { return a[(i + N / 2) % N]; });
  each(simd::convert<float>(simd::convert<std::int64_t>(x)), [&](int i) { return a[i]; });
  each(simd::bits_as<float>(simd::bits_as<std::int32_t>(x)), [&](int i) { return a[i]; });
}
}  // namespace

TEST_CASE("vec: every operation acts lane by lane, in one register or in halves") {
  check_lanes<4>();
  check_lanes<8>();
  check_lanes<16>();
  check_lanes<64>();
}

namespace {
template <class To, class From>
int wrongly_widened() {
  int wrong = 0;
  for (int first = 0; first <= std::numeric_limits<From>::max(); first += 16) {
    From from[16];
    To to[16];
    for (int i = 0; i < 16; ++i) from[i] = static_cast<From>(first + i);
    simd::store(to, simd::convert<To>(simd::load<simd::vec<From, 16>>(from)));
    for (int i = 0; i < 16; ++i) wrong += to[i] != static_cast<To>(first + i);
  }
  return wrong;
}
}  // namespace
TEST_CASE("vec: small numbers without a sign stay what they are in 32 bits and as floats") {
  CHECK(wrongly_widened<std::uint32_t, std::uint16_t>() == 0);
  CHECK(wrongly_widened<std::int32_t, std::uint16_t>() == 0);
  CHECK(wrongly_widened<std::int32_t, std::uint8_t>() == 0);
  CHECK(wrongly_widened<std::uint32_t, std::uint8_t>() == 0);
  CHECK(wrongly_widened<float, std::uint16_t>() == 0);
}

TEST_CASE("vec: the second operand where one is NaN") {
  using V = simd::floats;
  float out[16];
  simd::store(out, simd::max(V(not_a_number<float>), V(1.f)));
  CHECK(out[3] == 1.f);
  simd::store(out, simd::max(V(1.f), V(not_a_number<float>)));
  CHECK(is_nan(out[3]));
}
