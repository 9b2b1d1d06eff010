// Decides whether the sort of the host conveniences sorts: every size, ties broken by the order given.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include <moeroute/core/sort.hpp>

using namespace moeroute;

TEST_CASE("sort: equals std::stable_sort for every size, with many equal keys") {
  std::mt19937 rng(3);
  for (std::size_t n = 0; n < 130; ++n) {
    std::vector<int> key(n);
    std::vector<offset_t> mine(n), wanted(n);
    for (std::size_t i = 0; i < n; ++i)
      key[i] = static_cast<int>(rng() % 9), mine[i] = wanted[i] = static_cast<offset_t>(i);
    std::shuffle(mine.begin(), mine.end(), rng);
    auto const of = [&](offset_t i) { return key[static_cast<std::size_t>(i)]; };
    detail::sort(mine.data(), static_cast<offset_t>(n),
                 [&](offset_t a, offset_t b) { return of(a) > of(b) || (of(a) == of(b) && a < b); });
    std::stable_sort(wanted.begin(), wanted.end(), [&](offset_t a, offset_t b) { return of(a) > of(b); });
    CHECK(mine == wanted);
  }
}
