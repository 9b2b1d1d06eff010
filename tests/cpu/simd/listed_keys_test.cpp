// Decides whether a list of open registers is in order, and whether bounds and numbers come from the listed keys alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include <moeroute/cpu/simd/listed_keys.hpp>
#include <moeroute/select/group_limited_top_k.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

TEST_CASE("listed keys: registers of open groups are listed group by group, and behind them the -inf") {
  for (index_t width : {16, 20, 32, 40, 4000})
    for (unsigned open : {1u, 3u, 0x55u, 0xe0u, 0xffu}) {
      auto const l = simd::layout_of(group_limited_top_k<>{.groups = 8}, 8 * width);
      std::vector<std::int32_t> place(static_cast<std::size_t>(l.size / 16 + 16)), want;
      auto const slots = static_cast<std::size_t>(simd::list_slots(l, open, simd::group_of_register(l), place.data()));
      for (int g = 0; g < 8; ++g)
        for (int i = 0; i < l.vectors && (open >> g & 1) != 0; ++i) want.push_back(16 * (g * l.vectors + i));
      CHECK(slots == (want.size() + 3) / 4 * 4);
      want.resize(slots, l.size);
      CHECK(std::vector<std::int32_t>(place.begin(), place.begin() + static_cast<std::ptrdiff_t>(slots)) == want);
    }
}

TEST_CASE("listed keys: k keys of the listed registers reach the bound, which keys of others do not move") {
  for (int const slots : {4, 8, 20, 32, 64})
    for (int const k : {1, 2, 5, 8, 12, 16}) {
      std::vector<float> key = inputs::normal(16 * 80, static_cast<unsigned>(slots + k));
      std::vector<std::int32_t> place;
      for (int i = 0; i < slots; ++i) place.push_back(16 * ((7 * i + 3) % 80));
      std::vector<float> listed;
      for (std::size_t i = 0; i < key.size(); ++i) {
        bool const open = std::find(place.begin(), place.end(), static_cast<int>(i / 16 * 16)) != place.end();
        if (open) listed.push_back(key[i]);
        else key[i] = infinity<float>;
      }
      std::sort(listed.rbegin(), listed.rend());
      float bound[16];
      simd::store(bound, simd::bound_of_listed({key.data(), place.data()}, slots, k));
      for (float const b : bound) CHECK(b <= listed[static_cast<std::size_t>(k - 1)]);
      CHECK(bound[0] >= listed[std::min(listed.size() - 1, std::size_t{16} * 16)]);  // of use
    }
}

TEST_CASE("listed keys: numbers are fetched from where their register is, in each array") {
  std::vector<float> const a = inputs::normal(16 * 80, 5), b = inputs::normal(16 * 80, 6);
  for (int const slots : {4, 8, 16, 24}) {
    std::vector<std::int32_t> place(32, 0), at(16);
    for (int i = 0; i < slots; ++i) place[static_cast<std::size_t>(i)] = 16 * ((11 * i + 5) % 80);
    for (int i = 0; i < 16; ++i) at[static_cast<std::size_t>(i)] = (37 * i + 9) % (16 * slots);
    float const* const from[2] = {a.data(), b.data()};
    simd::floats x[2] = {simd::floats(0.f), simd::floats(0.f)};
    simd::fetch(from, 16 * 79, place.data(), slots, simd::load<simd::ints>(at.data()), x);
    float got[2][16];
    simd::store(got[0], x[0]), simd::store(got[1], x[1]);
    for (std::size_t i = 0; i < 16; ++i) {
      auto const where = static_cast<std::size_t>(place[static_cast<std::size_t>(at[i] / 16)] + at[i] % 16);
      CHECK(got[0][i] == a[where]);
      CHECK(got[1][i] == b[where]);
    }
  }
}
