// Decides whether rows become columns, whole tiles and edges alike, and nothing else is written.
#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/simd/transpose.hpp>

using namespace moeroute;

TEST_CASE("rows to columns: every element in its place, the map applied once, the rest untouched") {
  for (std::size_t const rows : {1u, 7u, 16u})
    for (std::size_t const columns : {1u, 15u, 16u, 33u, 64u}) {
      std::size_t const from_stride = columns + 3, to_stride = 19;
      std::vector<float> from(rows * from_stride), to(columns * to_stride, -1.f);
      for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
      float const* row[16];
      for (std::size_t i = 0; i < rows; ++i) row[i] = from.data() + i * from_stride;
      simd::rows_to_columns(row, static_cast<int>(rows), static_cast<std::int64_t>(columns), to.data(),
                            static_cast<std::int64_t>(to_stride), [](simd::floats x) { return x + simd::floats(.5f); });
      for (std::size_t e = 0; e < columns; ++e)
        for (std::size_t i = 0; i < to_stride; ++i)
          CHECK(to[e * to_stride + i] == (i < rows ? from[i * from_stride + e] + .5f : -1.f));
    }
}
