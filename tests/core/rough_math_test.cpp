#include <doctest/doctest.h>

#include <cmath>

#include <moeroute/core/rough_math.hpp>

using namespace moeroute;

TEST_CASE("rough math: the rough sigmoid keeps its stated error on one number at a time") {
  double worst = 0;
  for (std::uint64_t i = 0; i < std::uint64_t{1} << 32; i += 10007) {
    float const x = math::as<float>(static_cast<std::uint32_t>(i));
    if (is_nan(x)) continue;
    double const error = std::fabs(double{math::rough_sigmoid(x)} - double{math::sigmoid(x)});
    if (!(error <= worst)) worst = error;
  }
  CHECK(worst < math::rough_sigmoid_error);
  CHECK(worst > 0.1 * double{math::rough_sigmoid_error});  // worth stating
  CHECK(math::rough_sigmoid(infinity<float>) == doctest::Approx(1).epsilon(1e-4));
  CHECK(math::rough_sigmoid(.3) == math::sigmoid(.3));
}
