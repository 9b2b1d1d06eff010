#include <doctest/doctest.h>

#include <moeroute/grpo/advantage.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

#if defined(MOEROUTE_SIMD)
TEST_CASE("simd small groups: whole registers are served, the rest is left; a group does not see its neighbors") {
  offset_t const groups = 3 * simd::rewards_at_once / 8 + 1;
  auto const r = inputs::normal(static_cast<std::size_t>(groups) * 8, 4);
  std::vector<float> out(r.size(), 9.f);
  group_advantage_row<float, float> const body{{}, row_view<float const>(r), segments(groups, 8), row_view<float>(out)};
  CHECK(simd::advantages_of_small_groups<8>(body, 0, groups) == groups - 1);
  for (std::size_t i = out.size() - 8; i < out.size(); ++i) CHECK(out[i] == 9.f);
  for (std::size_t g = 0; g + 1 < static_cast<std::size_t>(groups); ++g) {
    double mean = 0, squares = 0;
    for (std::size_t j = 0; j < 8; ++j) mean += static_cast<double>(r[8 * g + j]) / 8;
    for (std::size_t j = 0; j < 8; ++j)
      squares += (static_cast<double>(r[8 * g + j]) - mean) * (static_cast<double>(r[8 * g + j]) - mean);
    for (std::size_t j = 0; j < 8; ++j)
      CHECK(
          static_cast<double>(out[8 * g + j]) ==
          doctest::Approx((static_cast<double>(r[8 * g + j]) - mean) / (std::sqrt(squares / 8) + 1e-6)).epsilon(1e-5));
  }
}
#else
TEST_CASE("simd small groups: no vectors on this machine") { CHECK(sizeof(group_advantage_row<float, float>) > 0); }
#endif
