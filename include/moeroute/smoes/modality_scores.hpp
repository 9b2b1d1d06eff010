// Decides how a token's modality is written down: M[j, m] >= 0 with sum over m = 1, or, for two modalities,
// the single number u = M[j, text]. Source: SMoES (arXiv 2604.23996), soft modality scores.
//
// Scores are constants of the loss: no gradient passes through them.
#pragma once

#include <moeroute/core/math.hpp>
#include <moeroute/core/status.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

inline constexpr index_t vision_modality = 0,
                         text_modality = 1;  // default numbering of row_context::modality

template <element T>
struct modality_scores {
  matrix_view<T const> of{};  // tokens x modalities, or tokens x 1: u, the score of text

  constexpr modality_scores() = default;
  constexpr modality_scores(matrix_view<T const> m) : of(m) {}
  constexpr modality_scores(row_view<T const> u) : of(u.data, u.size, 1) {}

  MOEROUTE_HD index_t count() const { return of.cols == 1 ? 2 : static_cast<index_t>(of.cols); }
  MOEROUTE_HD compute_t<T> operator()(offset_t token, index_t m) const {
    using V = compute_t<T>;
    if (of.cols != 1) return load(of[token][m]);
    V const u = load(of[token][0]);
    return m == text_modality ? u : V(1) - u;
  }
};

// Hard labels as scores: 1 for the token's own modality. Also the score u^(0) of attention accumulation and
// the "hard score" baseline. `out` as in modality_scores.
template <element T, std::integral I>
void fill_hard_scores(row_view<I const> modality, matrix_view<T> out) {
  for (offset_t t = 0; t < out.rows; ++t)
    for (offset_t m = 0; m < out.cols; ++m)
      out[t][m] =
          store<T>((out.cols == 1 ? modality[t] == text_modality : modality[t] == static_cast<I>(m)) ? 1.f : 0.f);
}

// Which score feeds the experts of layer l (S1): the one after the block's own attention, u^(l+1), or the
// one before it, u^(l).
enum class score_lag : std::uint8_t { none = 0, one = 1 };
constexpr offset_t score_layer(offset_t layer, score_lag lag) { return layer + 1 - static_cast<offset_t>(lag); }

// How far a token has mixed: 1 - |2u - 1|, 0 unimodal, 1 even; for any number of modalities
// (1 - max M) / (1 - 1/count).
template <element T>
MOEROUTE_HD double mixing(modality_scores<T> const& scores, offset_t token) {
  double most = 0;
  for (index_t m = 0; m < scores.count(); ++m) most = math::max(static_cast<double>(scores(token, m)), most);
  return scores.count() < 2 ? 0 : (1 - most) / (1 - 1. / scores.count());
}

}  // namespace moeroute::inline MOEROUTE_ABI
