#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda/register_keys.hpp>

#include <Eigen/Core>

#include <cmath>

using namespace moeroute;

namespace {

template <class T, half_format F>
void check_halves() {
  std::uint32_t before_key = 0;
  std::int32_t before = 0;
  int wrong = 0;
  for (std::uint32_t i = 0; i < 65536; ++i) {
    std::uint32_t const other = i * 40503u & 0xffffu;
    auto const number = [](std::uint32_t bits) {
      return static_cast<float>(__builtin_bit_cast(T, static_cast<std::uint16_t>(bits)));
    };
    std::uint32_t const two = ordered_halves<F>(other << 16 | i), low = two & 0xffffu, high = two >> 16;
    std::int32_t const a = order_key(number(i)), b = order_key(number(other));
    wrong += (low < high) != (a < b) || (low == high) != (a == b);
    wrong += i > 0 && ((before_key < low) != (before < a) || (before_key == low) != (before == a));
    wrong += (low == 0) != is_nan(number(i));
    before_key = low;
    before = a;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("16-bit numbers, two at a time, order as their order keys do: all of them") {
  check_halves<Eigen::bfloat16, half_format::bf16>();
  check_halves<Eigen::half, half_format::fp16>();
}

TEST_CASE("an ordered number is the order key, but for -0 and NaN; none lies below the floor of one no larger") {
  float const infinite = infinity<float>;
  std::vector<float> numbers{0.f, -0.f, 1e-45f, -1e-45f, infinite, -infinite, not_a_number<float>};
  for (offset_t i = 0; i < 400; ++i)
    numbers.push_back(math::as<float>(static_cast<std::int32_t>(draws{.seed = 1}.bits(i, 0))));
  int wrong = 0;
  for (float const x : numbers) {
    if (!is_nan(x)) CHECK(ordered_number(x) == ordered(order_key(x)) - (x == 0 && std::signbit(x)));
    for (float const y : numbers)
      wrong += order_key(x) >= order_key(y) && (!is_nan(x) || is_nan(y)) &&
               ordered_number(x) < floor_of_ordered(order_key(y));
  }
  CHECK(wrong == 0);
}

TEST_CASE("no fixed-point key of a rough score lies below the floor of an exact score that is no larger") {
  draws const d{.seed = 4};
  for (index_t bits : {6, 9, 12}) {
    fixed_point const f = fixed_point::of(bits);
    int wrong = 0, apart = 0;
    for (offset_t i = 0; i < 20000; ++i) {
      float const x = 4 * d.normal(i, 0), b = i % 3 == 0 ? 5 * d.normal(i, 1) : .1f * d.normal(i, 1);
      float const rough = rough_on_device<sigmoid>::of(sigmoid{}, x), exact = sigmoid{}(x);
      std::uint32_t const floor = f(exact + b - fixed_point::margin(rough_on_device<sigmoid>::error));
      wrong += f(rough + b) < floor;
      apart += f(rough + b) != f(exact + b);
    }
    CHECK(wrong == 0);
    CHECK((bits > 9 || apart > 1000));  // the adversary does something
    CHECK(f(not_a_number<float>) == f(-infinity<float>));
    CHECK(f(-infinity<float>) < f(0.f));
    CHECK(f(0.f) < f(infinity<float>));
    CHECK(f(infinity<float>) < 0x40000000u);  // below 2
  }
}
