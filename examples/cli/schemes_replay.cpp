// Decides how recorded routes are read from a case and replayed on other logits: golden folder 28.
#include <moeroute/select/replay.hpp>

#include "cli/megatron_modes.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

outputs run_replay(case_file const& c, any_executor const& x) {
  auto const before = logits_of<float>(c, "logits_recorded");
  auto const wide = logits_of<double>(c);
  auto const now = wide.as<float>();
  if (now.shape != before.shape) c.wrong("logits", "shape", in_words(before.shape), in_words(now.shape));
  auto const experts = now.extent(1), k = c.integer("k", 1, experts);
  tensor<index_t> trace({now.extent(0), k}, no_expert);
  replay<> const recorder{.base = {as_index(k)}, .trace = trace.matrix(), .mode = replay_mode::record};
  return with_megatron_mode(c, "mode", recorder, experts, [&](auto r) {
    auto const recorded = forward(x, r, before);
    r.select.mode = replay_mode::replay;
    auto const f32 = forward(x, r, now);
    outputs out;
    out.describe = describe(r).c_str();
    out.add("ids", f32.ids);
    out.add("weights_recorded", recorded.weights);
    out.add("weights", f32.weights);
    out.add("weights_f64", forward(x, r, wide).weights);
    if (c.has_input("d_weights")) {
      auto const d = c.floats<float>("d_weights", f32.ids.shape, nan::forbidden);
      out.add("d_logits", backward(x, r, now, f32.ids, d));
    }
    return out;
  });
}

register_schemes const registered{
    {"replay", "S069", "ids recorded on other logits, weights and gradients from the current ones (R3)", run_replay},
};

}  // namespace
}  // namespace moeroute_examples
