#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include <moeroute/cpu/simd/draw_rows.hpp>

using namespace moeroute;

namespace {

// Rows of 128 places, some of them odd: large logits, whose keys are rounded to ties; infinite ones; few open ones; NaN.
std::vector<float> logits_of_rows(int rows, index_t experts, int kind, unsigned seed) {
  constexpr float scale[] = {1, 30, 1000, 3e7f, 0};
  std::mt19937 g(seed);
  std::normal_distribution<float> normal;
  std::vector<float> z(static_cast<std::size_t>(128 * rows), not_a_number<float>);
  for (int q = 0; q < rows; ++q)
    for (index_t e = 0; e < experts; ++e) {
      float& x = z[static_cast<std::size_t>(128 * q + e)];
      x = normal(g) * scale[kind % 5];
      auto const odd = static_cast<unsigned>(g() % 100);
      if (kind >= 5 && odd < 10) x = odd < 2 ? not_a_number<float> : odd < 4 ? infinity<float> : -infinity<float>;
      if (kind >= 10 && odd > 20 + static_cast<unsigned>(q)) x = -infinity<float>;
    }
  return z;
}
template <int R>
void compare(draws const& d, offset_t const* token, index_t experts, index_t k, int kind, float temperature) {
  auto const z = logits_of_rows(R, experts, kind, static_cast<unsigned>(token[0]) + static_cast<unsigned>(kind));
  float const* row[std::size_t{R}];
  for (int q = 0; q < R; ++q) row[q] = z.data() + 128 * q;
  alignas(64) std::int32_t id[std::size_t{simd::most_chosen} * R], order[std::size_t{16} * R];
  alignas(64) float chosen[std::size_t{simd::most_chosen} * R], space[std::size_t{256} * R];
  unsigned const unserved = simd::draw_rows<R>(d, temperature, token, row, 128, k, {id, order, chosen}, space);
  for (int q = 0; q < R; ++q) {
    std::vector<std::pair<float, index_t>> want;
    for (index_t e = 0; e < experts; ++e)
      if (row[q][e] > -infinity<float>) want.push_back({-(row[q][e] / temperature + d.gumbel(token[q], e)), e});
    std::sort(want.begin(), want.end());
    bool const few = static_cast<index_t>(want.size()) < k;
    bool const served = (unserved >> q & 1) == 0;
    REQUIRE((!served || !few));
    for (index_t j = 0; j < k; ++j) {
      int const at = simd::most_chosen * q + (j < 16 ? order[16 * q + j] : j);
      REQUIRE(id[at] >= 0);
      REQUIRE(id[at] < 128);
      if (!served) continue;
      CHECK(id[at] == want[static_cast<std::size_t>(j)].second);
      CHECK(chosen[at] == row[q][id[at]]);
    }
  }
}

}  // namespace

TEST_CASE("simd draw rows: ids, order and logits of the winners against a sort of exact keys") {
  constexpr int R = simd::register_bytes / 16;
  draws const d{7, 1, 0x47};
  for (int round = 0; round < 40; ++round)
    for (int kind = 0; kind < 15; ++kind)
      for (index_t const k : {1, 2, 5, 8, 9, 20}) {
        index_t const experts = round % 3 == 0 ? 128 : 60 + round;
        offset_t token[std::size_t{R}];
        for (int q = 0; q < R; ++q) token[q] = 1000 * round + q;
        if (round == 39) token[R - 1] += offset_t{1} << 33;
        compare<R>(d, token, experts, k, kind, round % 4 == 0 ? .7f : 1.f);
        compare<1>(d, token, experts, k, kind, 1.f);
      }
}

TEST_CASE("simd draw rows: rough keys leave little in doubt, and exact ones all that is close") {
  constexpr int R = simd::register_bytes / 16;
  draws const d{3, 0, 0x47};
  int doubtful = 0, rows = 0;
  for (offset_t first = 0; first < 4000; first += R) {
    auto const z = logits_of_rows(R, 128, 0, static_cast<unsigned>(first));
    alignas(64) std::int32_t id[std::size_t{simd::most_chosen} * R], order[std::size_t{16} * R];
    alignas(64) float chosen[std::size_t{simd::most_chosen} * R], space[std::size_t{256} * R];
    alignas(64) float threshold[std::size_t{simd::row_lanes}];
    offset_t token[std::size_t{R}];
    simd::drawn_row row[std::size_t{R}];
    for (int q = 0; q < R; ++q) {
      token[q] = first + q;
      row[q] = {z.data() + 128 * q, space + 256 * q, reinterpret_cast<std::uint32_t*>(space + 256 * q + 128)};
    }
    simd::store(threshold, simd::bound_keys<R>(simd::philox_words(d), 1.f, token, 128, row));
    unsigned const open = simd::draw_roughly<R>(1.f, 128, 8, row, threshold, {id, order, chosen});
    doubtful += std::popcount(open), rows += R;
  }
  CHECK(doubtful > 0);  // both ways are taken
  CHECK(doubtful < rows / 50);
}
