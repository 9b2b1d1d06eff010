#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
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
struct chosen_rows {
  alignas(64) std::int32_t id[16 * simd::most_chosen], order[16 * 16];
  alignas(64) float logit[16 * simd::most_chosen], top[16], space[16 * 256];
  simd::winners winners(int stride) { return {id, order, logit, top, stride}; }
};
void compare(draws const& d, offset_t const* token, int rows, index_t experts, index_t k, int kind, float temperature) {
  auto const z = logits_of_rows(rows, experts, kind, static_cast<unsigned>(token[0]) + static_cast<unsigned>(kind));
  float const* row[16] = {};  // no row is read that is not there
  for (int q = 0; q < rows; ++q) row[q] = z.data() + 128 * q;
  auto const c = std::make_unique<chosen_rows>();
  int const stride = k > 16 ? simd::most_chosen : 16;
  constexpr std::int32_t no_id = 123456789;
  for (auto& id : c->id) id = no_id;
  for (auto& x : c->logit) x = -7;
  for (auto& x : c->space) x = -7;
  unsigned const unserved = simd::draw_rows(d, temperature, token, row, rows, 128, k, c->winners(stride), c->space);
  REQUIRE(unserved < 1u << rows);
  CHECK(std::all_of(c->id + stride * rows, std::end(c->id), [](std::int32_t id) { return id == no_id; }));
  CHECK(std::all_of(c->logit + stride * rows, std::end(c->logit), [](float x) { return x == -7; }));
  CHECK(std::all_of(c->space + 256 * rows, std::end(c->space), [](float x) { return x == -7; }));
  for (int q = 0; q < rows; ++q) {
    std::vector<std::pair<float, index_t>> want;
    for (index_t e = 0; e < experts; ++e)
      if (row[q][e] > -infinity<float>) want.push_back({-(row[q][e] / temperature + d.gumbel(token[q], e)), e});
    std::sort(want.begin(), want.end());
    float top = -infinity<float>;
    for (index_t e = 0; e < experts; ++e) top = math::max(row[q][e], top);
    CHECK(c->top[q] == top);
    bool const few = static_cast<index_t>(want.size()) < k;
    bool const served = (unserved >> q & 1) == 0;
    REQUIRE((!served || !few));
    for (index_t j = 0; j < k; ++j) {
      int const at = stride * q + (j < 16 ? c->order[16 * q + j] : j);
      REQUIRE(c->id[at] >= 0);
      REQUIRE(c->id[at] < 128);
      if (!served) continue;
      CHECK(c->id[at] == want[static_cast<std::size_t>(j)].second);
      CHECK(c->logit[at] == row[q][c->id[at]]);
    }
  }
}

}  // namespace

TEST_CASE("simd draw rows: ids, order and logits of the winners and the largest logits against a sort of exact keys") {
  draws const d{7, 1, 0x47};
  for (int round = 0; round < 30; ++round)
    for (int kind = 0; kind < 15; ++kind)
      for (index_t const k : {1, 2, 5, 8, 9, 20}) {
        index_t const experts = round % 3 == 0 ? 128 : 60 + round;
        offset_t token[16];
        for (int q = 0; q < 16; ++q) token[q] = 1000 * round + q;
        if (round == 29) token[9] += offset_t{1} << 33;
        constexpr float temperature[] = {.7f, 1, 1, 3.5f, 1e-3f, 1e30f};
        compare(d, token, 16, experts, k, kind, temperature[round % 6]);
        compare(d, token, (round + kind) % 15 + 1, experts, k, kind, round % 2 == 0 ? 1 : .9f);
      }
}

TEST_CASE("simd draw rows: rough keys leave little in doubt, and exact ones all that is close") {
  int doubtful = 0, rows = 0;
  auto const c = std::make_unique<chosen_rows>();
  for (offset_t first = 0; first < 4000; first += 16) {
    auto const z = logits_of_rows(16, 128, 0, static_cast<unsigned>(first));
    offset_t token[16];
    std::uint32_t* word[16];
    simd::drawn_row row[16];
    alignas(64) float threshold[16], bound[16 * 16], most[16 * 16];
    for (int q = 0; q < 16; ++q) {
      token[q] = first + q;
      word[q] = reinterpret_cast<std::uint32_t*>(c->space + 256 * q + 128);
      row[q] = {z.data() + 128 * q, c->space + 256 * q, word[q]};
    }
    simd::draw_words(simd::philox_words(draws{3, 0, 0x47}), token, 16, 0, 128, true, word);
    for (float& x : bound) x = simd::lowest;
    for (float& x : most) x = simd::lowest;
    for (int q = 0; q < 16; ++q) simd::bound_keys(row[q], 0, 128, 1.f, bound + 16 * q, most + 16 * q);
    simd::kth_of_rows(bound, 16, 8, threshold, c->top);
    for (float& t : threshold) t += simd::bound_constant - .12f;
    doubtful += std::popcount(simd::draw_roughly(1.f, 128, 8, row, 16, threshold, c->winners(16)));
    rows += 16;
  }
  CHECK(doubtful > 0);  // both ways are taken
  CHECK(doubtful < rows / 50);
}
