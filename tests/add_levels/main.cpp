// Decides whether a program of several levels runs on this processor: the level chosen is the one named in the call, and
// every level up to it gives the ids, weights and sums of the others.
//   add_levels sse2      without a name: whatever level is chosen
#include "route.hpp"

#include <cstdio>
#include <cstring>

#include <moeroute/cpu/level.hpp>
#include <moeroute/moeroute.hpp>

namespace {

struct result {
  char const* level;
  std::vector<std::int32_t> ids;
  std::vector<float> weights, sums;
};
result routed(program::route_function* route, std::vector<float> const& logits, std::size_t tokens) {
  result r{"", std::vector<std::int32_t>(tokens * program::k), std::vector<float>(tokens * program::k), {0, 0}};
  r.level = route(logits.data(), static_cast<std::int64_t>(tokens), r.ids.data(), r.weights.data(), r.sums.data());
  return r;
}

}  // namespace

int main(int count, char const* const* argument) {
  using moeroute::level;
  constexpr std::size_t tokens = 50;
  moeroute::draws const noise{.seed = 5};
  std::vector<float> logits;
  for (std::size_t t = 0; t < tokens; ++t)
    for (int e = 0; e < program::experts; ++e) logits.push_back(noise.normal(static_cast<int>(t), e));

  constexpr moeroute::per_level compiled{.sse2 = program::sse2::route,
                                         .avx2 = program::avx2::route,
                                         .avx512 = program::avx512::route,
                                         .avx512_vbmi2 = program::avx512_vbmi2::route};
  result const lowest = routed(compiled.chosen(level::sse2), logits, tokens);
  int failures = std::strcmp(lowest.level, "sse2") != 0 || program::sum(lowest.weights) != lowest.sums[0];
  result chosen = lowest;
  for (level const at_most : {level::avx2, level::avx512, level::avx512_vbmi2}) {
    chosen = routed(compiled.chosen(at_most), logits, tokens);
    failures += chosen.ids != lowest.ids || chosen.weights != lowest.weights || chosen.sums != lowest.sums;
  }
  if (count > 1) failures += std::strcmp(chosen.level, argument[1]) != 0;
  std::printf("level %s, token 0 to expert %d, sums %.6f %.6f, %d failures\n", chosen.level, chosen.ids[0],
              static_cast<double>(chosen.sums[0]), static_cast<double>(chosen.sums[1]), failures);
  return failures == 0 && lowest.sums[0] > 0 ? 0 : 1;
}
