#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <vector>

#include <moeroute/cpu/simd/math.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

namespace {
template <class F>
void same_bits(std::vector<float> const& x, F f) {
  using V = simd::floats;
  for (std::size_t i = 0; i + 16 <= x.size(); i += 16) {
    float out[16];
    simd::store(out, f(simd::load<V>(x.data() + i)));
    for (std::size_t j = 0; j < 16; ++j) {
      float const want = f(x[i + j]);
      bool const equal = std::memcmp(&want, &out[j], 4) == 0 || (is_nan(want) && is_nan(out[j]));
      if (!equal) CAPTURE(x[i + j]);
      CHECK(equal);
    }
  }
}
}  // namespace

TEST_CASE("promise P7 vector math: every lane has the bits of the scalar function, odd inputs included") {
  std::vector<float> x = inputs::normal(16 * 500, 3, 30);
  for (auto const& row : inputs::adversarial(32)) x.insert(x.end(), row.begin(), row.end());
  std::mt19937 g(4);
  for (int i = 0; i < 16 * 500; ++i) x.push_back(math::as<float>(static_cast<std::int32_t>(g())));
  same_bits(x, [](auto v) { return math::exp(v); });
  same_bits(x, [](auto v) { return math::log(v); });
  same_bits(x, [](auto v) { return math::sigmoid(v); });
  same_bits(x, [](auto v) { return math::softplus(v); });
  same_bits(x, [](auto v) { return math::tanh(v); });
  same_bits(x, [](auto v) { return math::sqrt(math::max(v, decltype(v)(0.f))); });
  same_bits(x, [](auto v) { return math::mul(v, v) + v; });
}

TEST_CASE("promise P7 vector sums: ticks as the scalar sum") {
  std::vector<float> const x = inputs::normal(1600, 5, .3f);
  for (std::size_t i = 0; i < x.size(); i += 16) {
    auto const ticks = exact_sum<simd::floats>::to_ticks(simd::load<simd::floats>(x.data() + i));
    std::int64_t out[16];
    simd::store(out, ticks);
    for (std::size_t j = 0; j < 16; ++j) CHECK(out[j] == exact_sum<float>::to_ticks(x[i + j]));
    float back[16];
    simd::store(back, simd::simd_from_ticks(ticks, simd::floats(0x1p40f)));
    for (std::size_t j = 0; j < 16; ++j) CHECK(back[j] == exact_sum<float>{out[j]}.value());
  }
}
