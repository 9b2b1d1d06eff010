// One x86-64 program for every machine: the routing is compiled for SSE2, AVX2 and AVX-512, and the program takes the best
// that the processor has. Ids and weights are the same on all. `--level` prints which one ran.
#include "route_tokens.hpp"

#include <cstdio>
#include <cstring>
#include <vector>

#include <moeroute/cpu/level.hpp>
#include <moeroute/moeroute.hpp>

namespace {

// The levels that CMakeLists.txt compiles; on other processors the compiler's own, as here.
moeroute::per_level const compiled{
#if defined(__x86_64__)
    .sse2 = app::sse2::route_tokens,
    .avx2 = app::avx2::route_tokens,
    .avx512 = app::avx512::route_tokens,
    .avx512_vbmi2 = app::avx512_vbmi2::route_tokens,
#else
    .MOEROUTE_LEVEL = app::MOEROUTE_LEVEL::route_tokens,
#endif
};

}  // namespace

int main(int count, char const* const* argument) {
  constexpr int tokens = 100, shown = 5;
  moeroute::draws const noise{.seed = 11};
  std::vector<float> logits;
  for (int t = 0; t < tokens; ++t)
    for (int e = 0; e < app::experts; ++e) logits.push_back(noise.normal(t, e));

  std::vector<std::int32_t> ids(tokens * app::k);
  std::vector<float> weights(tokens * app::k);
  auto* const route_tokens = compiled.chosen();  // once, when the program starts
  char const* const level = route_tokens(logits.data(), tokens, ids.data(), weights.data());

  for (std::size_t i = 0; i < shown * app::k; ++i)
    std::printf("%2d %.6f%s", ids[i], static_cast<double>(weights[i]), (i + 1) % app::k == 0 ? "\n" : "   ");
  if (count > 1 && std::strcmp(argument[1], "--level") == 0) std::printf("level: %s\n", level);
}
