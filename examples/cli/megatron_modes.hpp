// Decides how the score modes of Megatron-LM's router are built from policies: softmax before or after the
// choice, sigmoid and sqrt(softplus) with or without a bias; each renormalized but for softmax, and a single
// weight left as it is. Source: megatron/core/transformer/moe/moe_utils.py. Namespace: moeroute_examples.
#pragma once

#include "cli/routed.hpp"

namespace moeroute_examples {

// Calls f(router) with the mode's score, bias and weights around `select`.
template <class Select, class F>
outputs with_megatron_mode(case_file const& c, std::string const& param, Select select, std::int64_t experts, F&& f) {
  using namespace moeroute;
  auto mode = c.words(param);
  auto const scale = static_cast<float>(c.number("scale", 1));
  auto const divided =
      renormalize{.scale = scale, .epsilon = static_cast<float>(c.number("eps", 1e-20)), .keep_single = true};
  if (mode == "softmax_pre" || mode == "softmax")
    return f(router{.score = softmax{}, .select = select, .weigh = keep_scores{scale}});
  if (mode == "softmax_post")
    return f(router{.score = identity{}, .select = select, .weigh = softmax_over_chosen{scale}});
  bool const biased = mode.ends_with("_bias");
  if (biased) mode.resize(mode.size() - 5);
  if (mode != "sigmoid" && mode != "sqrtsoftplus")
    c.bad("params." + param, "softmax_pre, softmax_post, sigmoid, sqrtsoftplus, or one of the last two with _bias",
          c.words(param));
  auto const run = [&](auto score) {
    if (!biased) return f(router{.score = score, .select = select, .weigh = divided});
    auto const bias = bias_of(c, experts);
    return f(router{.score = score, .bias = correction_bias{bias.row()}, .select = select, .weigh = divided});
  };
  return mode == "sigmoid" ? run(sigmoid{}) : run(sqrt_softplus{});
}

}  // namespace moeroute_examples
