// Decides how the scores of one token are made for gradients and terms: one expert at a time, or, for one lane on the CPU,
// 16 side by side with the same bits.
#pragma once

#include <moeroute/core/row.hpp>
#include <moeroute/score.hpp>

#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/rows.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {
namespace detail {

#if defined(MOEROUTE_SIMD)
// Experts a multiple of 16.
MOEROUTE_ON_DEMAND
inline softmax::summary<float> scores_on_vectors(softmax const& score, float const* z, index_t experts, float* to) {
  float const* const row[1] = {z};
  simd::vector_row<1> const logits{row, experts};
  auto const m = score.summarize(simd::vector_group{}, logits);
  for (index_t e = 0; e < experts; e += 16) simd::store(to + e, score(m, logits.at(e)));
  alignas(64) float top[16], total[16];
  simd::store(top, m.top), simd::store(total, m.total);
  return {top[0], total[0]};
}
template <elementwise_score Score>
void scores_on_vectors(Score const& score, float const* z, index_t experts, float* to, float closed) {
  using simd::floats;
  for (index_t e = 0; e < experts; e += 16) {
    floats const y = score(simd::load<floats>(z + e));
    simd::store(to + e, simd::select(y == floats(-infinity<float>), floats(closed), y));
  }
}
template <class Score, class V, class G>
inline constexpr bool scored_on_vectors = is_serial<G> && std::same_as<V, float> && simd::vector_score<Score> &&
                                          (std::same_as<Score, softmax> || elementwise_score<Score>);
#endif

// Scores of `logits` (NaN already closed) into `to`, `closed` for a score of -inf; what the score made of the row.
MOEROUTE_EXEC_CHECK_DISABLE
template <class Score, class G, class V>
MOEROUTE_HD auto fill_scores(Score const& score, G const& g, memory_row<V> const& logits, V* to, V closed = V(0)) {
#if defined(MOEROUTE_SIMD)
  if constexpr (scored_on_vectors<Score, V, G>)
    if (logits.count % 16 == 0) {
      if constexpr (std::same_as<Score, softmax>) {
        return scores_on_vectors(score, logits.data, logits.count, to);
      } else {
        scores_on_vectors(score, logits.data, logits.count, to, closed);
        return summarize(score, g, logits);
      }
    }
#endif
  auto const m = summarize(score, g, logits);
  memory_row<V>{to, logits.count}.each(g, [&](index_t e, V& s) {
    V const p = score_of(score, m, logits.data[e]);
    s = p == -infinity<V> ? closed : p;
  });
  g.sync();
  return m;
}

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
