// Decides how a loss runs on a case: sums, value and gradient of one term over the logits of a batch.
// Namespace: moeroute_examples.
#pragma once

#include <moeroute/loss/observe.hpp>

#include "cli/routed.hpp"

namespace moeroute_examples {

template <class T>
struct loss_run {
  std::vector<moeroute::wide_sum> sums;
  double loss = 0;
  tensor<T> d_logits;
};

// L of the batch and dL/dlogits. `sums` may come in with other batches already in it.
template <class T, class P, class R>
loss_run<T> run_loss(any_executor const& x, P const& term, R const& r, moeroute::batch<T> const& in,
                     moeroute::matrix_view<moeroute::index_t const> ids, shape_t const& shape,
                     std::vector<moeroute::wide_sum> sums = {}) {
  using namespace moeroute;
  auto const experts = as_index(in.logits.cols);
  loss_run<T> out{std::move(sums), 0, tensor<T>(shape)};
  out.sums.resize(static_cast<std::size_t>(term.sums(experts)));
  auto work = memory(std::max(observe_workspace_bytes<any_executor, P, T>(x, term, in.logits.rows, experts),
                              add_gradient_workspace_bytes<any_executor, P, T>(x, term, in.logits.rows, experts)));
  observe(x, term, r, in, ids, row_view<wide_sum>(out.sums), workspace(work));
  out.loss = loss_value(term, experts, out.sums);
  add_gradient(x, term, r, in, ids, row_view<wide_sum const>(out.sums),
               matrix_view<T>(out.d_logits.values.data(), in.logits.rows, in.logits.cols), workspace(work));
  return out;
}

// Choices of plain top-k on the scores, padding rows without any.
template <class Score, class T>
tensor<moeroute::index_t> plain_choices(any_executor const& x, Score score, moeroute::batch<T> const& in,
                                        std::int64_t k) {
  using namespace moeroute;
  router const r{.score = score, .select = top_k{as_index(k)}};
  tensor<index_t> ids({in.logits.rows, k});
  tensor<T> weights({in.logits.rows, k});
  auto work =
      memory(route_workspace_bytes<any_executor, decltype(r), T>(x, r, in.logits.rows, as_index(in.logits.cols)));
  route(x, r, in, routing_view<index_t, T>{ids.matrix(), weights.matrix(), {}}, workspace(work));
  return ids;
}
inline tensor<std::int64_t> counted(any_executor const& x, tensor<moeroute::index_t> const& ids, std::int64_t experts) {
  using namespace moeroute;
  tensor<std::int64_t> counts({experts});
  auto work = memory(count_choices_workspace_bytes(x, ids.matrix().rows, as_index(experts)));
  count_choices(x, ids.matrix(), row_view<std::uint8_t const>{}, counts.row(), workspace(work));
  return counts;
}

// Calls f(score) with the score function a case names.
template <class F>
outputs with_score(case_file const& c, F&& f) {
  auto const name = c.words("score", "softmax");
  if (name == "softmax") return f(moeroute::softmax{});
  if (name == "sigmoid") return f(moeroute::sigmoid{});
  if (name == "sqrtsoftplus") return f(moeroute::sqrt_softplus{});
  c.bad("params.score", "softmax, sigmoid or sqrtsoftplus", name);
}

}  // namespace moeroute_examples
