// Decides what a matrix holds that comes without a router: logits and the score that turns them into probabilities, or
// the scores themselves. Said by type, so that nothing is put through softmax twice.
#pragma once

#include <moeroute/batch.hpp>
#include <moeroute/router.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Scores as they are: for from_scores only.
struct given_scores {
  static constexpr bool strictly_increasing = true, sums_to_one = true, are_given = true;
  template <class V>
  MOEROUTE_HD V operator()(V x) const {
    return math::where(x == V(-infinity<math::scalar_t<V>>), V(0), x);
  }
  template <class V>
  MOEROUTE_HD V derivative(V, V) const {
    return V(1);
  }
};
// A matrix of logits (tokens x experts) and the score that turns them into probabilities.
template <element T, class Score = softmax>
struct from_logits {
  matrix_view<T const> logits{};
  [[no_unique_address]] Score score{};
  row_view<std::uint8_t const> valid{};
};
template <class T, class... More>
from_logits(matrix_view<T>, More...) -> from_logits<std::remove_const_t<T>>;
template <class T, score_policy S>
from_logits(matrix_view<T>, S) -> from_logits<std::remove_const_t<T>, S>;
template <class T, score_policy S, class M>
from_logits(matrix_view<T>, S, M) -> from_logits<std::remove_const_t<T>, S>;
// A matrix of scores (tokens x experts): taken as they are, gradients are d_scores.
template <element T>
struct from_scores {
  matrix_view<T const> scores{};
  row_view<std::uint8_t const> valid{};
};
template <class T, class... More>
from_scores(matrix_view<T>, More...) -> from_scores<std::remove_const_t<T>>;

namespace detail {

template <class R>
inline constexpr bool gives_scores = requires { std::remove_cvref_t<decltype(R::score)>::are_given; };

template <class T, class S>
auto router_of(from_logits<T, S> const& m) {
  return router<no_gate, no_prior, S>{.score = m.score};
}
template <class T>
auto router_of(from_scores<T> const&) {
  return router<no_gate, no_prior, given_scores>{};
}
template <class T, class S>
batch<T> batch_of(from_logits<T, S> const& m) {
  batch<T> b;
  b.logits = m.logits, b.valid = m.valid;
  return b;
}
template <class T>
batch<T> batch_of(from_scores<T> const& m) {
  batch<T> b;
  b.logits = m.scores, b.valid = m.valid;
  return b;
}
template <class M>
concept typed_matrix = requires(M const& m) { router_of(m), batch_of(m); };
}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
