// Decides how the plain softmax and top-k schemes are read from a case: golden folders 01, 02, 03, 06, 14.
#include "cli/routed.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

void score_must_be(case_file const& c, std::string const& wanted) {
  if (auto const found = c.words("score", wanted); found != wanted) c.bad("params.score", wanted, found);
}
index_t k_of(case_file const& c) {
  auto const logits = logits_of<float>(c);
  return as_index(c.integer("k", 1, logits.extent(1)));
}

outputs softmax_then_top_k(case_file const& c, any_executor const& x, bool renormalized) {
  score_must_be(c, "softmax");
  auto const k = k_of(c);
  auto const scale = static_cast<float>(c.number("scale", 1));
  auto const epsilon = static_cast<float>(c.number("eps", 0));
  if (c.flag("renormalize", renormalized))
    return route_case(
        c, x, router{.score = softmax{}, .select = top_k{k}, .weigh = renormalize{.scale = scale, .epsilon = epsilon}});
  return route_case(c, x, router{.score = softmax{}, .select = top_k{k}, .weigh = keep_scores{scale}});
}
outputs softmax_topk(case_file const& c, any_executor const& x) { return softmax_then_top_k(c, x, false); }
outputs softmax_topk_renorm(case_file const& c, any_executor const& x) { return softmax_then_top_k(c, x, true); }

outputs topk_softmax(case_file const& c, any_executor const& x) {
  score_must_be(c, "softmax_after_topk");
  auto const scale = static_cast<float>(c.number("scale", 1));
  return route_case(c, x, router{.score = identity{}, .select = top_k{k_of(c)}, .weigh = softmax_over_chosen{scale}});
}

outputs llama4(case_file const& c, any_executor const& x) {
  score_must_be(c, "sigmoid_after_topk");
  if (auto const place = c.words("weight_on", "expert_input"); place != "expert_input")
    c.bad("params.weight_on", "expert_input", place);
  return route_case(c, x,
                    router{.score = identity{}, .select = top_k{k_of(c)}, .weigh = on_input{sigmoid_of_chosen{}}});
}

outputs megablocks_pnorm(case_file const& c, any_executor const& x) {
  score_must_be(c, "softmax");
  auto const p = static_cast<float>(c.number_in("p", 0, 1000));
  router const r{.score = softmax{}, .select = top_k{k_of(c)}, .weigh = p_norm{.p = p}};
  auto out = route_case(c, x, r);
  out.add("scores", forward(x, r, logits_of<float>(c), true).scores);
  return out;
}

register_schemes const registered{
    {"softmax_topk", "P12", "softmax over all experts, top k, weight = probability (k = 1: Switch)", softmax_topk},
    {"softmax_topk_renorm", "P1", "softmax, top k, weights divided by their sum (Mixtral, Qwen3-MoE)",
     softmax_topk_renorm},
    {"topk_softmax", "P14", "top k on logits, softmax over the chosen (gpt-oss)", topk_softmax},
    {"llama4", "P13", "top k on logits, weight = sigmoid of the chosen logit, on the expert's input", llama4},
    {"megablocks_pnorm", "P2", "softmax, top k, weights divided by their p-norm (DBRX)", megablocks_pnorm},
};

}  // namespace
}  // namespace moeroute_examples
