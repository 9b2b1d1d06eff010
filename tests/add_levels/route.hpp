// What the unit that chooses and the levels share, and two inline functions that are not the library's.
#pragma once

#include <cstdint>
#include <vector>

namespace program {

inline constexpr int experts = 128, k = 8;

// Out of line in every unit that calls them, and with vectors in the units of AVX2 and AVX-512: the linker keeps one copy.
[[gnu::noinline]] inline float sum(std::vector<float> const& x) {
  float parts[16] = {};
  for (std::size_t i = 0; i + 16 <= x.size(); i += 16)
    for (std::size_t l = 0; l < 16; ++l) parts[l] += x[i + l];
  float total = 0;
  for (float const part : parts) total += part;
  return total;
}
// No unit of the target's own calls this one.
[[gnu::noinline]] inline float sum_of_halves(std::vector<float> x) {
  for (float& value : x) value *= .5f;
  x.resize(x.size() / 16 * 16 + 16, 0);
  return sum(x);
}

// logits: tokens x experts. ids, weights: tokens x k. Gives the name of the level that ran.
using route_function = char const*(float const* logits, std::int64_t tokens, std::int32_t* ids, float* weights,
                                   float* sums);

namespace sse2 {
route_function route;
}
namespace avx2 {
route_function route;
}
namespace avx512 {
route_function route;
}
namespace avx512_vbmi2 {
route_function route;
}

}  // namespace program
