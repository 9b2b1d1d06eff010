#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/simd/exp_mass.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

// The sum of e^(x - top) over a row has the bits of the plain sum, whatever is in it: numbers so far below the top that
// they count nothing or would be subnormal, infinities, NaN, nothing open.
TEST_CASE("exp_mass: rows on vectors against rows of numbers") {
  auto all = inputs::adversarial(64);
  for (unsigned seed = 0; seed < 20; ++seed) all.push_back(inputs::normal(64, seed, seed % 2 == 0 ? 1.f : 30.f));
  std::vector<float> far(64, 0.f);
  for (int i = 0; i < 64; ++i) far[static_cast<std::size_t>(i)] = -27.f - .05f * static_cast<float>(i);
  far[5] = 0;
  all.push_back(far);
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    std::vector<float> closed[2] = {all[i], all[i + 1]};
    float const* const row[2] = {all[i].data(), all[i + 1].data()};
    simd::vector_row<2> const rows{row, 64};
    auto const top = row_top(simd::vector_group{}, rows);
    float got[32];
    simd::store(got, exp_mass(simd::vector_group{}, rows, top));
    for (std::size_t q = 0; q < 2; ++q) {
      for (float& x : closed[q]) x = is_nan(x) ? -infinity<float> : x;
      memory_row<float> const plain{closed[q].data(), 64};
      float const largest = row_top(serial_group{}, plain), want = exp_mass(serial_group{}, plain, largest);
      if (largest == -infinity<float>) continue;  // no number is asked for
      for (std::size_t lane = 0; lane < 16; ++lane) CHECK(got[16 * q + lane] == want);
    }
  }
}
