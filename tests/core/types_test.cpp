#include <doctest/doctest.h>

#include <Eigen/Core>
#include <cstdint>

#include <moeroute/core/types.hpp>

using namespace moeroute;

static_assert(element<float> && element<double> && element<Eigen::half> && element<Eigen::bfloat16>);
static_assert(!element<int> && !element<std::int16_t> && !element<long double> && !element<char16_t>);
static_assert(std::same_as<compute_t<Eigen::bfloat16>, float> && std::same_as<compute_t<double>, double>);
static_assert(no_expert_of<std::int16_t> == -1 && no_expert_of<std::uint8_t> == 255);
static_assert(nameable_experts<std::int8_t> == 128 && nameable_experts<std::uint8_t> == 255);
static_assert(nameable_experts<std::int64_t> == INT64_MAX && nameable_experts<std::uint64_t> == INT64_MAX);
static_assert(sizeof(fixed_index<8>) == 1 && fixed<8> + 0 == 8);

TEST_CASE("types: 16-bit numbers are widened exactly and rounded once") {
  CHECK(load(Eigen::bfloat16(1.5f)) == 1.5f);
  CHECK(load(Eigen::half(0.1f)) == static_cast<float>(Eigen::half(0.1f)));
  CHECK(load(store<Eigen::bfloat16>(1.00390625f)) == 1.f);  // half way, to even
  CHECK(store<double>(0.1) == 0.1);
}
