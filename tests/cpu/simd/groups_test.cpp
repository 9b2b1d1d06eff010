#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
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

TEST_CASE("groups: lanes g and g + 8 hold the two best keys of either part of group g, and both those of the group") {
  for (int groups : {1, 3, 4, 5, 8})
    for (int vectors : {1, 2, 3, 5}) {
      std::vector<float> const key = inputs::normal(static_cast<std::size_t>(16 * groups * vectors), 7);
      alignas(64) float first[16], second[16], best[16], next[16];
      auto const part = simd::best_of_parts(key.data(), groups, 16 * vectors);
      auto const whole = simd::best_of_groups(part);
      simd::store(first, part.first), simd::store(second, part.second);
      simd::store(best, whole.first), simd::store(next, whole.second);
      for (int lane = 0; lane < 16; ++lane) {
        int const g = lane % 8 < groups ? lane % 8 : groups - 1, other = (lane + 8) % 16;
        auto const run = key.begin() + 16 * vectors * g;
        std::vector<float> keys(run, run + 16 * vectors);
        std::sort(keys.begin(), keys.end(), std::greater<>());
        CHECK(best[lane] == keys[0]);
        CHECK(next[lane] == keys[1]);
        std::vector<float> four{first[lane], second[lane], first[other], second[other]};  // four keys, those two too
        CHECK(first[lane] > second[lane]);
        for (float x : four) CHECK(std::count(keys.begin(), keys.end(), x) == 1);
        std::sort(four.begin(), four.end(), std::greater<>());
        CHECK(std::unique(four.begin(), four.end()) == four.end());
        CHECK(four[0] == keys[0]);
        CHECK(four[1] == keys[1]);
      }
    }
}
