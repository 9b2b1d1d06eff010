#include <doctest/doctest.h>

#include <moeroute/cpu/simd/fits.hpp>
#include <moeroute/presets.hpp>

using namespace moeroute;

namespace {
struct own_choice : top_k<> {
  static constexpr bool takes_best = false;
};
}  // namespace

static_assert(simd::fits<decltype(presets::mixtral()), float> && simd::fits<decltype(presets::deepseek_v3({})), float>);
static_assert(simd::fits<decltype(presets::grok_served()), float> && simd::fits<decltype(presets::llama4()), float>);
static_assert(!simd::fits<decltype(presets::mixtral()), double>);
static_assert(!simd::fits<router<no_gate, no_prior, softmax, no_bias, own_choice>, float>);

TEST_CASE("fits: told from what a policy can do") {
  CHECK(simd::vector_score<softmax>);
  CHECK(simd::limits_groups<group_limited_top_k<>>);
  CHECK_FALSE(simd::limits_groups<top_k<>>);
}
