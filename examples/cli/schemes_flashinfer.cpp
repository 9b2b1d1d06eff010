// Decides how the padded plans of FlashInfer are read from a case: golden folder 09. Columns are in descending
// final weight; the shared experts, always on with weight 1, are the last columns.
#include <moeroute/select/group_limited_top_k.hpp>

#include "cli/planned.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

// Columns of each row by descending weight, equal weights in their old order, then the shared experts.
void arrange(any_executor const& x, routed<float> const& r, std::int64_t experts, std::int64_t shared,
             tensor<index_t>& ids, tensor<float>& weights) {
  auto const T = r.ids.extent(0), k = r.ids.extent(1), columns = k + shared;
  ids = tensor<index_t>({T, columns}), weights = tensor<float>({T, columns}, 1.f);
  for (std::int64_t t = 0; t < T; ++t) {
    for (std::int64_t j = 0; j < k; ++j)
      ids[t * columns + j] = r.ids[t * k + j], weights[t * columns + j] = r.weights[t * k + j];
    for (std::int64_t j = 0; j < shared; ++j) ids[t * columns + k + j] = as_index(experts + j);
  }
  order_by_weight(x, matrix_view<index_t>(ids.values.data(), T, k, columns),
                  matrix_view<float>(weights.values.data(), T, k, columns));
}

struct sizes {
  tensor<float> logits;
  index_t k, groups, top_groups;
  float scale;
};
sizes sizes_of(case_file const& c) {
  auto logits = logits_of<float>(c);
  auto const experts = logits.extent(1);
  auto const groups = c.integer_or("groups", 1, 1, std::min<std::int64_t>(64, experts));
  if (experts % groups != 0)
    c.bad("params.groups", "a divisor of " + std::to_string(experts) + " experts", std::to_string(groups));
  auto const top = c.integer_or("top_groups", groups, 1, groups);
  auto const k = c.integer("k", 1, top * (experts / groups));
  return {std::move(logits), as_index(k), as_index(groups), as_index(top), static_cast<float>(c.number("scale", 1))};
}

template <class R>
outputs plan_case(case_file const& c, any_executor const& x, sizes const& s, R const& r) {
  auto const experts = s.logits.extent(1), T = s.logits.extent(0);
  auto const shared = c.integer_or("fused_shared", 0, 0, 64);
  auto const padding = c.integer_or("padding", 1, 1, 1 << 20);
  tensor<index_t> ids;
  tensor<float> weights;
  arrange(x, forward(x, r, s.logits), experts, shared, ids, weights);
  planned const plan(x, choices_view<index_t>{.ids = ids.matrix()}, experts + shared, plan_options{.align = padding});
  outputs out;
  out.describe = describe(r).c_str();
  out.add("ids", ids);
  out.add("weights", weights);
  out.add("counts", as_int32(plan.counts));
  out.add("padded_offsets", as_int32(plan.offsets));
  out.integer("buffer_rows", plan.rows());
  out.add("slot_to_row", as_int32(plan.slot_of_choice, {T, s.k + shared}));
  out.add("row_to_slot", as_int32(plan.choice_of_slot));
  out.add("row_to_token", as_int32(plan.token_of_slot));
  return out;
}
// Groups only where the source has them: FlashInfer's group-less routings have groups = 1.
void no_groups(case_file const& c, sizes const& s) {
  if (s.groups != 1) c.bad("params.groups", "1 for " + c.scheme, std::to_string(s.groups));
}

outputs by_default(case_file const& c, any_executor const& x) {
  auto const s = sizes_of(c);
  no_groups(c, s);
  return plan_case(c, x, s, router{.score = softmax{}, .select = top_k{s.k}, .weigh = keep_scores{s.scale}});
}
outputs renormalized(case_file const& c, any_executor const& x) {
  auto const s = sizes_of(c);
  no_groups(c, s);
  return plan_case(c, x, s, router{.score = identity{}, .select = top_k{s.k}, .weigh = softmax_over_chosen{s.scale}});
}
outputs renormalized_naive(case_file const& c, any_executor const& x) {
  auto const s = sizes_of(c);
  no_groups(c, s);
  return plan_case(
      c, x, s, router{.score = softmax{}, .select = top_k{s.k}, .weigh = renormalize{.scale = s.scale, .epsilon = 0}});
}
outputs sigmoid_renorm(case_file const& c, any_executor const& x) {
  auto const s = sizes_of(c);
  no_groups(c, s);
  return plan_case(c, x, s, router{.score = sigmoid{}, .select = top_k{s.k}, .weigh = renormalize{.scale = s.scale}});
}
outputs topk_sigmoid(case_file const& c, any_executor const& x) {
  auto const s = sizes_of(c);
  no_groups(c, s);
  return plan_case(c, x, s, router{.score = identity{}, .select = top_k{s.k}, .weigh = sigmoid_of_chosen{s.scale}});
}
outputs topk(case_file const& c, any_executor const& x) {
  auto const s = sizes_of(c);
  no_groups(c, s);
  return plan_case(c, x, s, router{.score = identity{}, .select = top_k{s.k}, .weigh = keep_scores{s.scale}});
}
outputs no_aux(case_file const& c, any_executor const& x) {
  auto const s = sizes_of(c);
  auto const bias = bias_of(c, s.logits.extent(1));
  auto const weigh = renormalize{.scale = s.scale};
  if (s.top_groups == s.groups)
    return plan_case(
        c, x, s, router{.score = sigmoid{}, .bias = correction_bias{bias.row()}, .select = top_k{s.k}, .weigh = weigh});
  group_limited_top_k<sum_of_top> const select{s.k, s.groups, s.top_groups, {2}, {}};
  return plan_case(c, x, s,
                   router{.score = sigmoid{}, .bias = correction_bias{bias.row()}, .select = select, .weigh = weigh});
}

register_schemes const registered{
    {"flashinfer_default", "FlashInfer", "softmax, top k; padded plan", by_default},
    {"flashinfer_renormalize", "FlashInfer", "top k, softmax over the chosen; padded plan", renormalized},
    {"flashinfer_renormalize_naive", "FlashInfer", "softmax, top k, score / sum; padded plan", renormalized_naive},
    {"flashinfer_sigmoid_renorm", "FlashInfer", "sigmoid, top k, score / sum; padded plan", sigmoid_renorm},
    {"flashinfer_topk_sigmoid", "FlashInfer", "top k on logits, sigmoid of the chosen; padded plan", topk_sigmoid},
    {"flashinfer_topk", "FlashInfer", "top k on logits, weight = the logit; padded plan", topk},
    {"flashinfer_no_aux", "FlashInfer", "the DeepSeek-V3 gate; padded plan", no_aux},
    {"flashinfer_minimax2", "FlashInfer", "sigmoid + bias, top k, score / sum, times scale; padded plan", no_aux},
};

}  // namespace
}  // namespace moeroute_examples
