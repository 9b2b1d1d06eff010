// Decides what the models beyond plain token choice do: hashing, isolated pools, zero-computation experts, chance,
// expert choice, thresholds and balanced assignment. One line each, catalogue id and source beside it.
#pragma once

#include <moeroute/assign/balanced.hpp>
#include <moeroute/assign/sinkhorn.hpp>
#include <moeroute/estimate/sparsemixer.hpp>
#include <moeroute/presets.hpp>
#include <moeroute/prior/noise.hpp>
#include <moeroute/route_experts.hpp>
#include <moeroute/select/above.hpp>
#include <moeroute/select/entropy_switch.hpp>
#include <moeroute/select/hash.hpp>
#include <moeroute/select/null_experts.hpp>
#include <moeroute/select/ranked_by.hpp>
#include <moeroute/select/replay.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace presets {

// ---- hashing, pools, zero-computation experts ------------------------------------------------------------------

// P09 DeepSeek-V4, first layers: ids from a stored table of the token's id, weights learned; no bias.
inline auto deepseek_v4_hash(matrix_view<index_t const> table, row_view<index_t const> vocabulary_id, float scale = 1) {
  return router{.score = sqrt_softplus{},
                .select = hash_choice{.table = table, .vocabulary_id = vocabulary_id},
                .weigh = renormalize{.scale = scale}};
}
// P09 DeepSeek-V4, later layers: sqrt(softplus), top-k of score + bias, no groups (Pro: 384 experts, top-6).
inline auto deepseek_v4(bias_row bias, index_t k = 6, float scale = 1) {
  return router{.score = sqrt_softplus{},
                .bias = correction_bias{bias},
                .select = top_k{k},
                .weigh = renormalize{.scale = scale}};
}
// P17 Kimi K3: top-16 of 896, sigmoid + bias, renormalized; the bias comes from quantile balancing.
inline auto kimi_k3(bias_row bias, index_t k = 16) { return sigmoid_bias_top_k(bias, k, 1); }
// P21 Hunyuan-Large: top-1 of 16, its probability; overflow is recycled (plan/refill.hpp), one shared expert.
inline auto hunyuan_large() { return switch_top1(); }
// P24 ERNIE-4.5-VL: every modality routes in its own pool, with its own bias row; else as ERNIE-4.5.
inline auto ernie45_vl(matrix_view<std::uint8_t const> pools, matrix_view<float const> bias, index_t k = 6) {
  return router{.prior = modality_mask{pools},
                .score = softmax{},
                .bias = modality_bias<float>{bias},
                .select = top_k{k},
                .weigh = renormalize{.epsilon = 0, .floor = 1e-12f}};
}
// P25 LongCat-Flash: top-12 of probability + bias over 512 + 256 zero-computation experts, times 6, not
// renormalized. The last 256 return their input: select/identity_experts.hpp; balance/bias_update.hpp.
inline auto longcat_flash(bias_row bias, index_t k = 12, float scale = 6) {
  return router{
      .score = softmax{}, .bias = correction_bias{bias}, .select = top_k{k}, .weigh = keep_scores{.scale = scale}};
}

// ---- chance ------------------------------------------------------------------------------------------------------

// P28 Phi-3.5-MoE, GRIN: SparseMixer-v2, top-2 of 16, jitter 0.01. For route_sparsemixer.
inline sparsemixer_v2 phi35_moe(sampling pick = sampling::largest, std::uint64_t seed = 0) {
  return {.jitter_eps = .01f, .pick = pick, .random = {.seed = seed, .purpose = 0x534D5832}};
}
// P33 V-MoE: softmax of logits + N(0, 1/E^2), top-k, raw probabilities; queue by batch priority (plan/queue.hpp).
inline auto v_moe(index_t k = 2, std::uint64_t seed = 0, std::uint32_t step = 0) {
  return router{
      .prior = gaussian_noise<>{.deviation = 1, .source = {.random = {.seed = seed, .step = step, .purpose = 0x4E}}},
      .score = softmax{},
      .select = top_k{k},
      .weigh = keep_scores{}};
}
inline auto v_moe_evaluation(index_t k = 2) {
  return router{.score = softmax{}, .select = top_k{k}, .weigh = keep_scores{}};
}
// P34 LIMoE: V-MoE with k = 1; entropies of each modality in loss/entropy.hpp.
inline auto limoe(std::uint64_t seed = 0, std::uint32_t step = 0) { return v_moe(1, seed, step); }

// ---- experts choose --------------------------------------------------------------------------------------------

// P35 Expert choice: capacity factor 2 is two experts a token on average. Not for decoders.
template <choice_scope Scope = choice_scope::batch>
auto expert_choice(float capacity_factor = 2) {
  return router<no_gate, no_prior, softmax, no_bias, top_tokens<Scope>>{.select = {.capacity_factor = capacity_factor}};
}
// P36 Expert threshold: every expert with sigmoid(z) above its cut c_e; `minus_cuts` holds -c_e. Causal. Cuts move by
// balance/threshold_warm_up.hpp: experts choose for the first steps.
inline auto expert_threshold(bias_row minus_cuts, index_t max_experts) {
  return router{.score = sigmoid{},
                .bias = correction_bias{minus_cuts},
                .select = above{.max_experts = max_experts},
                .weigh = keep_scores{}};
}

// ---- balanced assignment --------------------------------------------------------------------------------------

// P37 S-BASE, Megatron-LM: training ranks the Sinkhorn plan, weights softmax (k > 1) or sigmoid (k = 1) of the logits;
// evaluation: the same with plain top-k.
inline auto sinkhorn_top_k(matrix_view<float const> plan, index_t k = 2) {
  return router{.score = softmax{}, .select = ranked_by<>{.plan = plan, .base = {k}}, .weigh = keep_scores{}};
}
inline auto sinkhorn_top1(matrix_view<float const> plan) {
  return router{.score = sigmoid{}, .select = ranked_by<>{.plan = plan, .base = {1}}, .weigh = keep_scores{}};
}
// P37 BASE: training takes the expert of balanced_assignment, evaluation the argmax; y = a F(x) + (1 - a) x with
// a = sigmoid of the chosen score.
inline auto base_layer(matrix_view<index_t> assignment) {
  return router{.score = sigmoid{}, .select = replay<>{.base = {1}, .trace = assignment}, .weigh = keep_scores{}};
}
inline auto base_layer_evaluation() { return router{.score = sigmoid{}, .select = top_k{1}, .weigh = keep_scores{}}; }

// ---- variable count ----------------------------------------------------------------------------------------------

// S013 Dynamic routing: p = 0.4, crossing expert kept.
inline auto dynamic_routing(index_t experts, float p = .4f) {
  return router{.select = top_p{.p = p, .max_experts = experts}};
}
// S061 DynMoLE: all experts above normalized Tsallis entropy 0.9, else p = 0.75 without the crossing expert, 2 at least.
inline auto dynmole(index_t experts) {
  return router{.select = entropy_switch<>{
                    .base = {.p = .75f, .max_experts = experts, .min_experts = 2, .boundary = crossing::drop}}};
}
// S065 AdaMoE: the last `nulls` columns are null experts.
inline auto adamoe(index_t nulls, index_t k) {
  return router{.select = null_experts<>{.nulls = nulls, .base = {k}}, .weigh = renormalize{.epsilon = 0}};
}
// S096 ReMoE: every expert with a positive logit.
inline auto remoe(index_t experts) { return router{.score = relu{}, .select = above{.max_experts = experts}}; }

}  // namespace presets
}  // namespace moeroute::inline MOEROUTE_ABI
