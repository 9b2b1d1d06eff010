// Decides how the router of Megatron-LM is read from a case: golden folders 07 and 08.
#include <moeroute/select/group_limited_top_k.hpp>

#include "cli/megatron_modes.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

outputs sqrtsoftplus_bias(case_file const& c, any_executor const& x) {
  if (auto const found = c.words("score", "sqrtsoftplus"); found != "sqrtsoftplus")
    c.bad("params.score", "sqrtsoftplus", found);
  auto const experts = logits_of<float>(c).extent(1);
  auto const k = as_index(c.integer("k", 1, experts));
  auto const scale = static_cast<float>(c.number("scale", 1));
  bool const biased = c.flag("bias", c.has_input("bias"));
  auto const with = [&](auto weigh) {
    if (!biased) return route_case(c, x, router{.score = sqrt_softplus{}, .select = top_k{k}, .weigh = weigh});
    auto const bias = bias_of(c, experts);
    return route_case(
        c, x,
        router{.score = sqrt_softplus{}, .bias = correction_bias{bias.row()}, .select = top_k{k}, .weigh = weigh});
  };
  if (!c.flag("renormalize", true)) return with(keep_scores{scale});
  return with(renormalize{.scale = scale, .epsilon = static_cast<float>(c.number("eps", 1e-20)), .keep_single = true});
}

outputs megatron_group_limited(case_file const& c, any_executor const& x) {
  auto const experts = logits_of<float>(c).extent(1);
  auto const groups = c.integer("groups", 1, std::min<std::int64_t>(experts, 64));
  if (experts % groups != 0)
    c.bad("params.groups", "a divisor of " + std::to_string(experts) + " experts", std::to_string(groups));
  auto const top = c.integer("top_groups", 1, groups);
  auto const k = c.integer("k", 1, top * (experts / groups));
  // The share k / top_groups is the rule of the source; a case may name the count.
  auto const share = std::max<std::int64_t>(1, k / top);
  auto const words = c.words("group_score", "sum_top" + std::to_string(share));
  if (words != "sum_top" + std::to_string(share))
    c.bad("params.group_score", "sum_top" + std::to_string(share) + " (k / top_groups)", words);
  auto const run = [&](auto const& r) { return route_case(c, x, r); };
  if (top == groups) return with_megatron_mode(c, "score", top_k{as_index(k)}, experts, run);
  group_limited_top_k<sum_of_share> const select{as_index(k), as_index(groups), as_index(top), {}, {}};
  return with_megatron_mode(c, "score", select, experts, run);
}

register_schemes const registered{
    {"sqrtsoftplus_bias", "P9", "sqrt(softplus), top k of score + bias, score / sum, times scale", sqrtsoftplus_bias},
    {"megatron_group_limited", "S007", "top k inside the best groups (sum of the best k / top_groups keys)",
     megatron_group_limited},
};

}  // namespace
}  // namespace moeroute_examples
