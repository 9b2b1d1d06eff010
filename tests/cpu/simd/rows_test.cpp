#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/simd/rows.hpp>
#include <moeroute/select/top_k.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

TEST_CASE("rows: logits in their layout, NaN in the gaps, parameters beside them") {
  for (index_t experts : {1, 15, 16, 60, 64, 96})
    for (index_t groups : {1, 3, 4}) {
      if (experts % groups != 0) continue;
      simd::key_layout const l = simd::layout_of(group_limited_top_k<>{.groups = groups}, experts);
      std::vector<float> const z = inputs::normal(static_cast<std::size_t>(experts), 1);
      std::vector<float> out(static_cast<std::size_t>(l.size));
      simd::spread(z.data(), l, out.data());
      for (index_t i = 0; i < l.size; ++i) {
        index_t const g = i / (16 * l.vectors), in_group = i % (16 * l.vectors);
        float const x = out[static_cast<std::size_t>(i)];
        if (g < groups && in_group < l.width) CHECK(x == z[static_cast<std::size_t>(g * l.width + in_group)]);
        else CHECK(is_nan(x));
      }
      float lane[16];
      simd::for_each_block(l, [&](index_t i, index_t first, int n) {
        simd::store(lane, simd::load_first(z.data() + first, n, 0.f));
        for (index_t j = 0; j < 16; ++j) {
          float const x = out[static_cast<std::size_t>(i + j)];
          CHECK(lane[j] == (is_nan(x) ? 0.f : x));
        }
      });
    }
  CHECK(simd::layout_of(top_k{2}, 60).in_order());
  CHECK_FALSE(simd::layout_of(group_limited_top_k<>{.groups = 8}, 160).in_order());
}
