#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include <moeroute/cpu/simd/sort.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

TEST_CASE("sort: segments of 8 and 16 lanes, descending") {
  std::vector<float> const x = inputs::normal(64, 6);
  float out[64];
  simd::store(out, simd::sort<16>(simd::load<simd::vec<float, 64>>(x.data())));
  for (std::size_t q = 0; q < 4; ++q) {
    std::vector<float> want(x.begin() + static_cast<std::ptrdiff_t>(16 * q),
                            x.begin() + static_cast<std::ptrdiff_t>(16 * q + 16));
    std::sort(want.begin(), want.end(), std::greater<>());
    CHECK(std::equal(want.begin(), want.end(), out + 16 * q));
  }
  simd::store(out, simd::segment_max<8>(simd::load<simd::vec<float, 64>>(x.data())));
  for (std::size_t i = 0; i < 64; ++i)
    CHECK(out[i] == *std::max_element(x.begin() + static_cast<std::ptrdiff_t>(i / 8 * 8),
                                      x.begin() + static_cast<std::ptrdiff_t>(i / 8 * 8 + 8)));
}

TEST_CASE(
    "promise P2 packed keys: doubles order as score, then lower id; zeros equal, subnormals and infinities in place") {
  for (auto row : inputs::adversarial(16)) {
    for (float& v : row) v = is_nan(v) ? simd::lowest : v;
    auto const d = simd::pack(simd::load<simd::floats>(row.data()), simd::lane_id());
    double key[16];
    simd::store(key, d);
    std::vector<int> id(16);
    std::iota(id.begin(), id.end(), 0);
    std::sort(id.begin(), id.end(), [&](int a, int b) { return key[a] > key[b]; });
    CHECK(id == reference::order(reference::row(row.begin(), row.end())));
    float back[16];
    std::int32_t ids[16];
    simd::store(back, simd::unpack_key(d));
    simd::store(ids, simd::unpack_id(d));
    for (int i = 0; i < 16; ++i) {
      CHECK(back[i] == row[static_cast<std::size_t>(i)]);
      CHECK(ids[i] == i);
    }
  }
}

TEST_CASE("sort: lanes as bits") {
  simd::floats const x = simd::convert<float>(simd::lane_id());
  CHECK(simd::lane_bits(simd::floats(7.f) <= x) == 0xff80u);
}
