#include <doctest/doctest.h>

#include <set>
#include <vector>

#include <moeroute/cpu/simd/groups.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

namespace {
void check(bool sum, int groups, int vectors, int width, int top) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::vector<float> const key = inputs::normal(static_cast<std::size_t>(groups * width), seed);
    std::vector<float> padded(static_cast<std::size_t>(groups * vectors * 16), not_a_number<float>);
    for (int g = 0; g < groups; ++g)
      for (int i = 0; i < width; ++i)
        padded[static_cast<std::size_t>(16 * g * vectors + i)] = key[static_cast<std::size_t>(g * width + i)];
    auto const want = reference::limit_groups(reference::row(key.begin(), key.end()), groups, top, sum ? 2 : 1);
    alignas(64) float open[16 * 64];
    std::int32_t place[64], origin[64];
    int const size = simd::open_groups(padded.data(), groups, vectors, width, top, sum, open, place, origin);
    for (int i = 0; i < size; ++i)
      if (!is_nan(open[i])) CHECK(open[i] == padded[static_cast<std::size_t>(place[i / 16] + i % 16)]);
    std::set<int> got, expected;
    for (int i = 0; i < size; ++i)
      if (!is_nan(open[i])) got.insert(origin[i / 16] + i % 16);
    for (std::size_t e = 0; e < want.size(); ++e)
      if (want[e] != -reference::inf) expected.insert(static_cast<int>(e));
    CHECK(got == expected);
  }
}
}  // namespace

TEST_CASE("groups: the open groups are those of the oracle") {
  check(true, 8, 2, 32, 4);
  check(true, 8, 2, 20, 3);
  check(false, 4, 1, 7, 2);
  check(true, 16, 1, 16, 5);
  check(false, 12, 1, 8, 12);
}
