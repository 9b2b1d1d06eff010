// Decides whether the vector steps of Sinkhorn give the bits of the steps by lane groups.
#include <moeroute/assign/sinkhorn.hpp>
#include <moeroute/cpu/simd/sinkhorn.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("vector Sinkhorn: lanes folded together are the lanes folded one by one") {
  auto const x = narrow(normal_numbers(16 * 16, 5));
  simd::floats s[16];
  for (std::size_t i = 0; i < 16; ++i) s[i] = simd::load<simd::floats>(x.data() + 16 * i);
  alignas(64) float folded[16];
  simd::store(folded, simd::detail::fold_lanes(s));
  for (std::size_t i = 0; i < 16; ++i) {
    std::vector<float> lane(x.begin() + static_cast<std::ptrdiff_t>(16 * i),
                            x.begin() + static_cast<std::ptrdiff_t>(16 * i + 16));
    for (std::size_t half = 8; half > 0; half /= 2)
      for (std::size_t c = 0; c < half; ++c) lane[c] += lane[c + half];
    CHECK(folded[i] == lane[0]);
  }
}

TEST_CASE(
    "vector Sinkhorn: exponentials of a row are those of math::exp, closed experts 0, the largest "
    "1") {
  std::vector<float> z = narrow(normal_numbers(32, 6, 20)), c(32, 7.f);
  z[3] = -infinity<float>, z[4] = not_a_number<float>;
  simd::exponentials_of_row(z.data(), 32, c.data());
  float top = -infinity<float>;
  for (float const x : z) top = x > top ? x : top;
  for (std::size_t e = 0; e < 32; ++e)
    CHECK(c[e] == (z[e] > -infinity<float> ? (z[e] == top ? 1.f : math::exp(z[e] - top)) : 0.f));
}
