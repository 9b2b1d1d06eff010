// Decides how a preset is offered to the command line: a name, its catalogue id, its source, and a function
// that routes logits with it. The list is in preset_list.hpp. Namespace: moeroute_examples.
#pragma once

#include "cli/routed.hpp"

namespace moeroute_examples {

struct preset_request {
  tensor<float> logits;  // [T, E]
  tensor<float> bias;    // [E] or empty
  std::vector<moeroute::index_t> modality, group;
  std::vector<std::uint8_t> valid;
  std::int64_t k = 0;  // 0: the preset's own
  any_executor executor;
};
struct preset_routes {
  tensor<moeroute::index_t> ids;  // [T, k]
  tensor<float> weights;          // [T, k]
  std::string describe;
};
struct preset {
  std::string name, id, source;
  bool takes_bias;
  std::string (*describe)();
  preset_routes (*run)(preset_request const&);
};
std::vector<preset> const& all_presets();  // presets.cpp: one place compiles them all

// Routes the request with any token-choice router.
template <class R>
preset_routes route_request(R const& r, preset_request const& q) {
  auto const tokens = q.logits.extent(0), k = std::int64_t{r.select.experts_per_token()};
  preset_routes out{tensor<moeroute::index_t>({tokens, k}), tensor<float>({tokens, k}), moeroute::describe(r).c_str()};
  moeroute::batch<> const in{.logits = q.logits.matrix(), .modality = q.modality, .group = q.group, .valid = q.valid};
  auto work = memory(moeroute::route_workspace_bytes(q.executor, r, tokens, as_index(q.logits.extent(1))));
  moeroute::route(q.executor, r, in, moeroute::routing_view<>{out.ids.matrix(), out.weights.matrix(), {}},
                  moeroute::workspace(work));
  return out;
}

}  // namespace moeroute_examples
