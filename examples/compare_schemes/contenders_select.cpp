// Decides which schemes of chance and of two levels are compared, and expert choice on a Sinkhorn plan.
#include <moeroute/choices.hpp>

#include "compare_schemes/contender.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

preset_routes routes_of(world const& w, std::int64_t k, std::string words) {
  preset_routes out{tensor<index_t>({w.size(), k}), tensor<float>({w.size(), k}), std::move(words)};
  for (std::int64_t i = 0; i < out.ids.size(); ++i) out.ids[i] = no_expert;
  return out;
}

// The picks [segments E, C] in the rows of their tokens.
template <class Router>
preset_routes expert_routes(world const& w, Router const& r, std::int64_t segments, std::int64_t capacity,
                            tensor<float> const& logits) {
  auto const experts = std::int64_t{w.experts()};
  tensor<offset_t> picked({segments * experts, capacity});
  tensor<float> weights({segments * experts, capacity});
  auto in = w.batch();
  in.logits = logits.matrix();
  auto work = memory(route_experts_workspace_bytes(w.executor, r, w.size(), w.experts(), segments, capacity));
  route_experts(w.executor, r, in, expert_routing_view<float>{picked.matrix(), weights.matrix()}, workspace(work));
  tensor<offset_t> offsets({w.size() + 1});
  tensor<index_t> ids({picked.size()});
  tensor<float> by_token({picked.size()});
  picks_by_token(w.executor, matrix_view<offset_t const>(picked.matrix()), matrix_view<float const>(weights.matrix()),
                 w.experts(), token_choices_view<float>{offsets.row(), ids.row(), by_token.row(), {}});
  auto out = routes_of(w, experts, describe(r).c_str());
  for (std::int64_t t = 0; t < w.size(); ++t)
    for (auto c = offsets[t]; c < offsets[t + 1]; ++c) {
      out.ids[t * experts + c - offsets[t]] = ids[c];
      out.weights[t * experts + c - offsets[t]] = by_token[c];
    }
  return out;
}
tensor<float> sinkhorn_of(world const& w) {
  tensor<float> plan(w.logits.shape);
  auto work = memory(sinkhorn_workspace_bytes(w.executor, w.size(), w.experts()));
  sinkhorn_plan(w.executor, sinkhorn{}, w.logits.matrix(), plan.matrix(), workspace(work));
  return plan;
}

preset_routes sinkhorn_expert_choice_routes(world const& w) {
  router const r{.score = identity{}, .select = top_tokens<>{.capacity_factor = static_cast<float>(w.k)}};
  return expert_routes(w, r, 1, r.select.tokens_per_expert(w.size(), w.experts()), sinkhorn_of(w));
}
preset_routes sparsemixer_routes(world const& w) {
  auto const how = presets::phi35_moe(sampling::drawn, 1);
  text t;
  how.describe(t);
  auto out = routes_of(w, how.k, t.c_str());
  auto work = memory(sparsemixer_workspace_bytes(w.executor, how, w.experts()));
  route_sparsemixer(w.executor, how, w.batch(), sparsemixer_view<float>{out.ids.matrix(), out.weights.matrix(), {}, {}},
                    workspace(work));
  return out;
}
preset_routes prototype_routes(world const& w) {
  router const one{.score = softmax{}, .select = top_k{1}};
  auto out = routes_of(w, w.k, "one expert of each of k prototypes, a softmax each");
  auto const width = w.experts() / w.k;
  if (width * w.k != w.experts()) return out;
  tensor<index_t> groups({w.size(), w.k});
  tensor<float> group_weights({w.size(), w.k}), inner({w.size(), w.k});
  auto work = memory(two_level_workspace_bytes(w.executor, every_group{w.k}, one, w.k, width));
  route_two_level(w.executor, every_group{w.k}, one, batch<float>{}, matrix_view<float const>(w.logits.matrix()), width,
                  two_level_view<float>{out.ids.matrix(), out.weights.matrix(), groups.matrix(), group_weights.matrix(),
                                        inner.matrix()},
                  workspace(work));
  return out;
}

register_contenders const registered{
    {"Sinkhorn expert choice", "S088", sinkhorn_expert_choice_routes},
    {"SparseMixer-v2", "S085", sparsemixer_routes},
    {"prototypes", "S056", prototype_routes},
    contender_of<[](world const& w) {
      return router{.select = gumbel_threshold{.tau = 1, .threshold = .05f, .max_experts = w.experts()}};
    }>("Gumbel threshold", "S164"),
    contender_of<[](world const& w) {
      return router{.select = uniform_random<>{.k = w.k}, .weigh = constant_weight{}};
    }>("uniform random", "S090"),
};

}  // namespace
}  // namespace moeroute_examples
