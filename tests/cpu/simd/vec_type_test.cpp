#include <doctest/doctest.h>

#include <bit>

#include <moeroute/cpu/simd/vec.hpp>

using namespace moeroute;

namespace {
// Every operator of a vector of N lanes, in one register or in halves, against numbers.
template <class T, int N>
void check_operators(T const (&one)[16], T const (&other)[16]) {
  using V = simd::vec<T, N>;
  T a[std::size_t{N}], b[std::size_t{N}], out[std::size_t{N}];
  for (int i = 0; i < N; ++i) a[i] = one[i % 16], b[i] = other[(i + i / 16) % 16];
  V const x = simd::load<V>(a), y = simd::load<V>(b);
  auto const each = [&](V v, auto want) {
    simd::store(out, v);
    for (int i = 0; i < N; ++i) CHECK(out[i] == want(i));
  };
  using U = std::make_unsigned_t<std::conditional_t<std::is_floating_point_v<T>, int, T>>;
  if constexpr (std::is_floating_point_v<T>) {
    each(x + y, [&](int i) { return a[i] + b[i]; });
    each(x - y, [&](int i) { return a[i] - b[i]; });
    each(x * y, [&](int i) { return a[i] * b[i]; });
    each(x / y, [&](int i) { return a[i] / b[i]; });
    each(-x, [&](int i) { return -a[i]; });
  } else {  // integers wrap around
    each(x + y, [&](int i) { return static_cast<T>(U(a[i]) + U(b[i])); });
    each(x - y, [&](int i) { return static_cast<T>(U(a[i]) - U(b[i])); });
    each(x & y, [&](int i) { return a[i] & b[i]; });
    each(x | y, [&](int i) { return a[i] | b[i]; });
    each(x ^ y, [&](int i) { return a[i] ^ b[i]; });
    each(~x, [&](int i) { return ~a[i]; });
    each(x << 3, [&](int i) { return static_cast<T>(U(a[i]) << 3); });
    each(x >> 3, [&](int i) { return a[i] >> 3; });
  }
  V sum = x;
  sum += y;
  each(sum, [&](int i) {
    if constexpr (std::is_floating_point_v<T>) return a[i] + b[i];
    else return static_cast<T>(U(a[i]) + U(b[i]));
  });
  auto const mask = [&](auto m, auto want) {
    simd::lane_mask<T> lane[std::size_t{N}];
    simd::store(lane, m);
    for (int i = 0; i < N; ++i) CHECK(lane[i] == (want(i) ? -1 : 0));
  };
  mask(x < y, [&](int i) { return a[i] < b[i]; });
  mask(x <= y, [&](int i) { return a[i] <= b[i]; });
  mask(x == y, [&](int i) { return a[i] == b[i]; });
  mask(x > y, [&](int i) { return a[i] > b[i]; });
}
}  // namespace

TEST_CASE("vec: operators of floats and integers, in one register and in several") {
  float const a[16] = {1, -2, 3.5f, 0, 5, 1e30f, -1e-30f, 8, 9, 10, -11, 12, .25f, 14, 15, 16};
  float const b[16] = {2, -2, 1.5f, 7, 5, 1e-3f, 2, -8, 3, .5f, 11, 4, .75f, 1, 15, -1};
  check_operators<float, 4>(a, b);
  check_operators<float, 16>(a, b);
  check_operators<float, 64>(a, b);
  constexpr auto most = largest<std::int32_t>, least_one = least<std::int32_t>;
  std::int32_t const c[16] = {1, -2, most, least_one, 5, 6, -7, 8, most, 10, -11, 12, 0, 14, 15, 16};
  std::int32_t const d[16] = {2, -2, 1, -1, 5, 9, 2, -8, most, 0, 11, 4, 0, 1, 15, -1};
  check_operators<std::int32_t, 4>(c, d);
  check_operators<std::int32_t, 16>(c, d);
  check_operators<std::int32_t, 64>(c, d);
}
