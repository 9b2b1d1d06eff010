#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/simd/keys.hpp>
#include <moeroute/presets.hpp>
#include <moeroute/route.hpp>

#include "support/inputs.hpp"

using namespace moeroute;

namespace {
// Scores and keys of three rows against the policies on one number at a time.
template <class R>
void check(R const& r, index_t experts) {
  constexpr int at_once = simd::rows_at_once, rows = at_once < 3 ? at_once : 3;
  std::vector<float> z = inputs::normal(static_cast<std::size_t>(rows * experts), 2);
  z[3] = not_a_number<float>, z[4] = -infinity<float>, z[5] = infinity<float>;
  batch<> const in{.logits = {z.data(), rows, experts}};
  route_row<R, float, float, index_t, float> const b{r, in, {}};
  simd::key_layout const l = simd::layout_of(r.select, experts);
  auto const size = static_cast<std::size_t>(l.size);
  std::vector<float> space((2 * at_once + 3) * size + 64), out(2 * at_once * size);
  scratch s = aligned_scratch(workspace(space));
  float const* logit[std::size_t{at_once}];
  float *score[std::size_t{at_once}], *key[std::size_t{at_once}];
  for (int q = 0; q < at_once; ++q) {
    logit[q] = q < rows ? simd::logits_of(b, q, l, s) : logit[rows - 1];
    score[q] = out.data() + 2 * static_cast<std::size_t>(q) * size;
    key[q] = score[q] + size;
  }
  simd::write_rows<at_once>(b, no_summary{}, rows, logit, simd::bias_of(b, 0, l, s), l.size, score, key);
  std::vector<float> flat(static_cast<std::size_t>(experts));
  for (int q = 0; q < rows; ++q) {
    simd::copy_scores(score[q], l, row_view<float>(flat));
    for (index_t e = 0; e < experts; ++e) {
      index_t const at = e / l.width * 16 * l.vectors + e % l.width;
      float const x = z[static_cast<std::size_t>(q * experts + e)];
      float const want = r.score(is_nan(x) ? -infinity<float> : x), biased = r.bias(want, r.bias.parameters({})[e]);
      CHECK(flat[static_cast<std::size_t>(e)] == want);
      if (is_nan(x)) CHECK(is_nan(key[q][at]));
      else CHECK(key[q][at] == (x == -infinity<float> ? x : biased));
    }
  }
}
}  // namespace

TEST_CASE("keys: scores and keys of rows, with and without gaps in their layout") {
  std::vector<float> const bias = inputs::normal(256, 4, .1f);
  check(presets::deepseek_v3(row_view<float const>(bias)), 256);
  for (index_t experts : {16, 60, 160})
    check(router{.score = sigmoid{},
                 .bias = correction_bias{row_view<float const>(bias.data(), experts)},
                 .select = group_limited_top_k<>{.k = 2, .groups = 4, .top_groups = 2}},
          experts);
}
