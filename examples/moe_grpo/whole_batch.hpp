// Decides the two baselines that route all tokens of a batch together (section "baselines" of docs/moe_grpo.md): optimal
// transport takes the k best of a Sinkhorn plan, expert choice lets every expert take tokens x k / experts tokens. Both
// are used to train alone: held-out items are routed token by token, top-k. Namespace: moeroute_training.
#pragma once

#include <moeroute/assign/sinkhorn.hpp>
#include <moeroute/route_experts.hpp>

#include "training/routing.hpp"

namespace moeroute_training {

template <class Real>
class whole_batch_router : public library_router<Real> {
  using base = library_router<Real>;

 public:
  void choose(int l, batch const& b, matrix<Real> const& logits, id_matrix& ids, matrix<Real>& weights) override {
    if (this->mode == route_mode::transport) by_transport(l, logits, ids);
    if (this->mode != route_mode::experts_choose) return base::choose(l, b, logits, ids, weights);

    auto const tokens = static_cast<offset_t>(logits.rows());
    offset_t const each = tokens * this->k / this->experts;
    moeroute::router const r{
        .select = moeroute::top_tokens<>{.capacity_factor = static_cast<float>(this->k), .fixed_count = each}};
    std::vector<offset_t> picked(static_cast<std::size_t>(this->experts * each));
    matrix<Real> share(this->experts, each);
    this->memory(moeroute::route_experts_workspace_bytes<moeroute::serial, decltype(r), Real>({}, r, tokens,
                                                                                              this->experts, 1, each));
    moeroute::route_experts(
        moeroute::serial{}, r, this->input(b, logits),
        moeroute::expert_routing_view<Real>{{picked.data(), this->experts, each}, matrix_view<Real>(share)},
        this->space());
    // Token by token: its experts in order, weights renormalized over them; a token may have none.
    ids = id_matrix::Constant(tokens, this->experts, moeroute::no_expert);
    weights = matrix<Real>::Zero(tokens, this->experts);
    std::vector<Eigen::Index> taken(static_cast<std::size_t>(tokens));
    for (int e = 0; e < this->experts; ++e)
      for (offset_t j = 0; j < each; ++j) {
        offset_t const t = picked[static_cast<std::size_t>(e * each + j)];
        if (t < 0) continue;
        auto& n = taken[static_cast<std::size_t>(t)];
        ids(t, n) = e, weights(t, n++) = share(e, j);
      }
    for (Eigen::Index t = 0; t < tokens; ++t)
      if (weights.row(t).sum() > 0) weights.row(t) /= weights.row(t).sum();
  }

  void backward(int l, batch const& b, layer_tape<Real> const& t, matrix<Real> const& d_weights,
                matrix<Real>& d_logits) override {
    if (this->mode != route_mode::experts_choose) return base::backward(l, b, t, d_weights, d_logits);
    for (Eigen::Index i = 0; i < t.ids.rows(); ++i) {  // a softmax over the chosen
      Real const mean = t.weights.row(i).dot(d_weights.row(i));
      for (Eigen::Index j = 0; j < t.ids.cols(); ++j)
        if (t.ids(i, j) >= 0) d_logits(i, t.ids(i, j)) += t.weights(i, j) * (d_weights(i, j) - mean);
    }
  }

 private:
  void by_transport(int l, matrix<Real> const& logits, id_matrix& ids) {
    matrix<Real> plan(logits.rows(), logits.cols());
    this->memory(moeroute::sinkhorn_workspace_bytes<moeroute::serial, Real>({}, logits.rows(), logits.cols()));
    moeroute::sinkhorn_plan(moeroute::serial{}, moeroute::sinkhorn{}, matrix_view<Real const>(logits),
                            matrix_view<Real>(plan), this->space());
    moeroute::router const best{.score = moeroute::identity{}, .select = moeroute::top_k<index_t>{this->k}};
    matrix<Real> unused(ids.rows(), ids.cols());
    moeroute::batch<Real> in;
    in.logits = plan;
    this->memory(moeroute::route_workspace_bytes<moeroute::serial, decltype(best), Real>({}, best, logits.rows(),
                                                                                         this->experts));
    moeroute::route(moeroute::serial{}, best, in, moeroute::routing_view<index_t, Real>{ids, unused, {}},
                    this->space());
    if (static_cast<int>(this->trace.size()) <= l) this->trace.resize(static_cast<std::size_t>(l) + 1);
    this->trace[static_cast<std::size_t>(l)] = ids;
  }
};

}  // namespace moeroute_training
