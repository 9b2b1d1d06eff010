// Decides whether what has its own instructions on Arm gives each lane the number of the plain operation, on any machine.
#include <doctest/doctest.h>

#include <moeroute/cpu/simd/neon.hpp>
#include <moeroute/cpu/simd/philox_lanes.hpp>
#include <moeroute/cpu/simd/sort.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

TEST_CASE("simd neon: lanes widened, narrowed, multiplied, as bits") {
  std::int32_t n[16];
  for (int i = 0; i < 16; ++i) n[i] = static_cast<std::int32_t>(0x9E3779B9u * static_cast<unsigned>(i + 1));
  auto const x = simd::load<simd::ints>(n);
  auto const wide = simd::convert<std::int64_t>(x);
  std::int64_t lane[16];
  simd::store(lane, wide);
  std::int32_t back[16];
  simd::store(back, simd::convert<std::int32_t>(wide + simd::vec<std::int64_t, 16>(std::int64_t{7} << 32)));
  for (int i = 0; i < 16; ++i) {
    CHECK(lane[i] == n[i]);
    CHECK(back[i] == n[i]);
  }

  using C = simd::counters;
  constexpr int lanes = simd::counters_at_once;
  std::uint64_t a[lanes], product[lanes];
  for (int i = 0; i < lanes; ++i) a[i] = 0x9E3779B97F4A7C15u * static_cast<unsigned>(i + 3);
  simd::store(product, simd::low_product(simd::load<C>(a), C(std::uint64_t{0xFFFFFFFFD2511F53u})));
  for (int i = 0; i < lanes; ++i) CHECK(product[i] == (a[i] & 0xFFFFFFFFu) * 0xD2511F53u);

  for (unsigned bits : {0u, 1u, 0x8000u, 0xA5C3u, 0xFFFFu}) {
    std::int32_t mask[16];
    for (int i = 0; i < 16; ++i) mask[i] = (bits >> i & 1u) != 0 ? -1 : 0;
    CHECK(simd::lane_bits(simd::load<simd::ints>(mask)) == bits);
    CHECK(simd::lane_bits(simd::convert<std::int64_t>(simd::load<simd::ints>(mask))) == bits);
    CHECK(simd::lane_bits(simd::low(simd::convert<std::int64_t>(simd::load<simd::ints>(mask)))) == (bits & 0xFFu));
  }
}

TEST_CASE("simd neon: floats to doubles and back, the larger of numbers") {
  for (auto const& row : inputs::adversarial(16)) {
    auto const x = simd::load<simd::floats>(row.data());
    double wide[16];
    simd::store(wide, simd::convert<double>(x));
    float back[16], most[16], least[16];
    simd::store(back, simd::convert<float>(simd::convert<double>(x)));
    auto const a = simd::closed_if_nan(x), b = simd::swap<5>(a);
    simd::store(most, simd::max_of_numbers(a, b)), simd::store(least, simd::min_of_numbers(a, b));
    float first[16], second[16];
    simd::store(first, a), simd::store(second, b);
    for (std::size_t i = 0; i < 16; ++i) {
      CHECK((is_nan(row[i]) ? is_nan(wide[i]) && is_nan(back[i])
                            : wide[i] == static_cast<double>(row[i]) && back[i] == row[i]));
      CHECK(most[i] == (first[i] > second[i] ? first[i] : second[i]));
      CHECK(least[i] == (first[i] < second[i] ? first[i] : second[i]));
    }
  }
}
