#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include <moeroute/core/philox.hpp>

using namespace moeroute;

namespace {
void known(philox_block counter, std::uint32_t k0, std::uint32_t k1, philox_block want) {
  philox_block const got = philox4x32(counter, k0, k1);
  for (int i = 0; i < 4; ++i) CHECK(got.word[i] == want.word[i]);
}
}  // namespace

TEST_CASE("philox: known answers of the paper") {
  known({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}});
  known({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u, {{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}});
  known({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}}, 0xa4093822u, 0x299f31d0u,
        {{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}});
}

TEST_CASE("promise P20: a draw depends on seed, step, token, expert and purpose, on nothing else") {
  draws const d{.seed = 7, .step = 3, .purpose = 1};
  CHECK(d.bits(11, 5) == draws{.seed = 7, .step = 3, .purpose = 1}.bits(11, 5));
  std::set<std::uint32_t> const different{d.bits(11, 5),
                                          d.bits(12, 5),
                                          d.bits(11, 6),
                                          d.bits(offset_t{1} << 32 | 11, 5),
                                          draws{8, 3, 1}.bits(11, 5),
                                          draws{7, 4, 1}.bits(11, 5),
                                          draws{7, 3, 2}.bits(11, 5)};
  CHECK(different.size() == 7);
}

TEST_CASE("philox: uniform in (0, 1), Gumbel and normal have their moments") {
  draws const d{.seed = 1};
  double sum = 0, gumbel = 0, normal = 0, square = 0;
  int const n = 200000;
  for (int i = 0; i < n; ++i) {
    float const u = d.uniform(i, i % 9);
    REQUIRE(u > 0.f);
    REQUIRE(u < 1.f);
    sum += static_cast<double>(u);
    float const g = d.gumbel(i, i % 9), x = d.normal(i, i % 9);
    REQUIRE(std::isfinite(g));
    gumbel += static_cast<double>(g), normal += static_cast<double>(x), square += static_cast<double>(x * x);
  }
  CHECK(std::fabs(sum / n - .5) < 5 * .2887 / std::sqrt(n));
  CHECK(std::fabs(gumbel / n - .5772) < 5 * 1.2825 / std::sqrt(n));
  CHECK(std::fabs(normal / n) < 5 / std::sqrt(n));
  CHECK(std::fabs(square / n - 1) < 5 * 1.4142 / std::sqrt(n));
}
