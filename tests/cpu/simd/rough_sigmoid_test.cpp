#include <doctest/doctest.h>

#include <cmath>

#include <moeroute/moeroute.hpp>

using namespace moeroute;

#if defined(MOEROUTE_SIMD)

TEST_CASE("rough sigmoid: it keeps its stated error on vectors, also at both ends") {
  double worst = 0;
  for (std::uint64_t i = 0; i < std::uint64_t{1} << 32; i += 16 * 6007) {
    float x[16], error[16];
    for (std::uint64_t j = 0; j < 16; ++j) x[j] = math::as<float>(static_cast<std::uint32_t>(i + j * 6007));
    auto const z = simd::closed_if_nan(simd::load<simd::floats>(x));
    simd::store(error, math::rough_sigmoid(z) - math::sigmoid(z));
    for (float e : error)
      if (!(std::fabs(double{e}) <= worst)) worst = std::fabs(double{e});
  }
  CHECK(worst < math::rough_sigmoid_error);
  for (float end : {8.4f, 8.45f, 9.f, 100.f, largest<float>, infinity<float>})
    for (float x : {end, -end}) {
      float got[16];
      simd::store(got, math::rough_sigmoid(simd::floats(x)));
      CHECK(std::fabs(double{got[5]} - double{math::sigmoid(x)}) < double{math::rough_sigmoid_error});
    }
}

#endif
