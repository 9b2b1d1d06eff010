#include <doctest/doctest.h>

#include <vector>

#include <moeroute/core/row.hpp>

using namespace moeroute;

static_assert(row<memory_row<float>> && row<memory_row<double const>>);
static_assert(!row<std::vector<float>> && !row<int>);

TEST_CASE("row: gives out every element once, in order, and maps read through") {
  std::vector<float> x{1, 2, 3};
  memory_row<float> const r{x.data(), 3};
  r.each(serial_group{}, [](index_t e, float& v) { v += static_cast<float>(e); });
  CHECK(x == std::vector<float>{1, 3, 5});
  mapped_row const twice{r, [](index_t, float v) { return 2 * v; }};
  float sum = 0;
  twice.each(serial_group{}, [&](index_t, float v) { sum += v; });
  CHECK(sum == 18.f);
  CHECK(twice.at(1) == 6.f);
  CHECK(twice.size() == 3);
}
