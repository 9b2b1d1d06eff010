#include <doctest/doctest.h>

#include <bit>
#include <vector>

#include <moeroute/cpu/simd/filter.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

TEST_CASE("promise P1 P2 filter: equals a full stable sort, or asks for the plain way") {
  int served = 0, rows = 0;
  for (std::size_t experts : {std::size_t{20}, std::size_t{64}, std::size_t{100}, std::size_t{512}, std::size_t{700}}) {
    std::size_t const size = (experts + 63) / 64 * 64;
    auto all = inputs::adversarial(experts);
    for (unsigned seed = 0; seed < 40; ++seed) all.push_back(inputs::normal(experts, seed));
    for (auto row : all) {
      std::vector<int> const want = reference::order(reference::row(row.begin(), row.end()));
      row.resize(size, not_a_number<float>);
      float const* p[1] = {row.data()};
      for (int k : {1, 8, 16, 17, 20}) {
        std::int32_t id[64] = {};
        float top[1];
        std::vector<std::int32_t> list(size);
        unsigned const unserved = simd::best_of_rows(p, 1, static_cast<int>(size), k, id, top, list.data());
        ++rows, served += unserved == 0;
        if (unserved != 0) continue;
        CHECK(top[0] == row[static_cast<std::size_t>(want[0])]);
        for (int j = 0; j < k; ++j) CHECK(id[j] == want[static_cast<std::size_t>(j)]);
      }
    }
  }
  CHECK(served * 2 > rows);  // the fast way is not always refused
}
