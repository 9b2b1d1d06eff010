// Decides which schemes that draw, or that look at the whole batch, are compared: experts that choose, plans
// that balance, noise, and pools by modality.
#include <moeroute/assign/balanced.hpp>
#include <moeroute/assign/sinkhorn.hpp>
#include <moeroute/prior.hpp>
#include <moeroute/routing.hpp>
#include <moeroute/select/gumbel_top_k.hpp>
#include <moeroute/select/ranked_by.hpp>
#include <moeroute/select/top_tokens.hpp>

#include "compare_schemes/contender.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

// Experts choose; what a token got becomes a row, empty places at its end.
template <choice_scope Scope>
preset_routes experts_choose(world const& w) {
  router const r{.score = softmax{},
                 .select = top_tokens<Scope>{.capacity_factor = static_cast<float>(w.k)},
                 .weigh = keep_scores{}};
  routing ragged(w.size(), r);
  route(w.executor, r, w.batch(), ragged);
  std::int64_t most = 1;
  for (std::int64_t t = 0; t < w.size(); ++t)
    most =
        std::max(most, ragged.offsets[static_cast<std::size_t>(t + 1)] - ragged.offsets[static_cast<std::size_t>(t)]);
  preset_routes out{tensor<index_t>({w.size(), most}, no_expert), tensor<float>({w.size(), most}), describe(r).c_str()};
  for (std::int64_t t = 0; t < w.size(); ++t) {
    auto const first = ragged.offsets[static_cast<std::size_t>(t)],
               n = ragged.offsets[static_cast<std::size_t>(t + 1)] - first;
    for (std::int64_t j = 0; j < n; ++j) {
      out.ids[t * most + j] = ragged.ids[static_cast<std::size_t>(first + j)];
      out.weights[t * most + j] = ragged.weights[static_cast<std::size_t>(first + j)];
    }
  }
  return out;
}

template <class R>
preset_routes routed_by(world const& w, R const& r) {
  auto const k = std::int64_t{r.select.experts_per_token()};
  preset_routes out{tensor<index_t>({w.size(), k}), tensor<float>({w.size(), k}), describe(r).c_str()};
  auto work = memory(route_workspace_bytes(w.executor, r, w.size(), w.experts()));
  route(w.executor, r, w.batch(), routing_view<>{out.ids.matrix(), out.weights.matrix(), {}}, workspace(work));
  return out;
}

preset_routes by_sinkhorn(world const& w) {
  tensor<float> plan(w.logits.shape);
  auto work = memory(sinkhorn_workspace_bytes(w.executor, w.size(), w.experts()));
  throw_if_bad(try_sinkhorn_plan(w.executor, sinkhorn{}, w.logits.matrix(), plan.matrix(), workspace(work)));
  return routed_by(
      w,
      router{.score = softmax{}, .select = ranked_by<>{.plan = plan.matrix(), .base = {w.k}}, .weigh = renormalize{}});
}

// BASE: one expert a token, the same number of tokens for each; what does not divide goes to its best expert.
preset_routes by_assignment(world const& w) {
  auto const even = w.size() / w.experts() * w.experts();
  tensor<index_t> chosen({even});
  auto work = memory(balanced_workspace_bytes<any_executor, float>(w.executor, even, w.experts()));
  balanced_assignment(w.executor, auction{}, w.logits.matrix().middle_rows(0, even), chosen.row(), workspace(work));
  auto out = routed_by(w, router{.score = sigmoid{}, .select = top_k{1}, .weigh = keep_scores{}});
  for (std::int64_t t = 0; t < even; ++t)
    if (chosen[t] != out.ids[t]) {
      out.ids[t] = chosen[t];
      out.weights[t] = math::sigmoid(w.logits[t * w.experts() + chosen[t]]);
    }
  return out;
}

// Half of the experts for patches, half for words.
preset_routes by_pools(world const& w) {
  tensor<std::uint8_t> open({2, w.experts()});
  for (index_t e = 0; e < w.experts(); ++e) open[(e < w.experts() / 2 ? vision : text_modality) * w.experts() + e] = 1;
  return routed_by(
      w,
      router{.prior = modality_mask{open.matrix()}, .score = softmax{}, .select = top_k{w.k}, .weigh = renormalize{}});
}

register_contenders const registered{
    {"expert choice", "S014", experts_choose<choice_scope::batch>},
    {"expert choice by sequence", "S002", experts_choose<choice_scope::sequence>},
    {"Sinkhorn top-k", "P37", by_sinkhorn},
    {"balanced assignment", "S019", by_assignment},
    contender_of<[](world const& w) {
      return router{.score = softmax{}, .select = gumbel_top_k<>{.k = w.k}, .weigh = renormalize{}};
    }>("Gumbel top-k", "S069"),
    {"pools by modality", "P24", by_pools},
};

}  // namespace
}  // namespace moeroute_examples
