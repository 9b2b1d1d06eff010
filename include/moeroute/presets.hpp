// Decides what the well-known models do: one line each, the catalogue id and the source beside it. Change
// a field of what comes back, or read it as an example of composing.
#pragma once

#include <moeroute/router.hpp>
#include <moeroute/select/group_limited_top_k.hpp>

namespace moeroute::inline MOEROUTE_ABI {
namespace presets {

using bias_row = row_view<float const>;

// ---- softmax over all experts, then top-k --------------------------------------------------------------------

// Switch Transformer: top-1, weight = its probability.
inline auto switch_top1() { return router{.score = softmax{}, .select = top_k{1}, .weigh = keep_scores{}}; }
// P01 Mixtral 8x7B, 8x22B: top-2, divided by their sum.
inline auto mixtral(index_t k = 2) {
  return router{.score = softmax{}, .select = top_k{k}, .weigh = renormalize{.epsilon = 0}};
}
// P02 DBRX: top-4 of 16, divided by their p-norm (released: p = 1).
inline auto dbrx(index_t k = 4, float p = 1) {
  return router{.score = softmax{}, .select = top_k{k}, .weigh = p_norm{.p = p}};
}
// P03 Grok-1: top-2 of 8, not renormalized; the serving form caps the logits at 30 first.
inline auto grok1(index_t k = 2) { return router{.score = softmax{}, .select = top_k{k}, .weigh = keep_scores{}}; }
inline auto grok_served(index_t k = 2, float cap = 30) {
  return router{.score = chain{soft_cap{cap}, softmax{}}, .select = top_k{k}, .weigh = keep_scores{}};
}
// P04 DeepSeekMoE-16B: top-6 of 64, not renormalized (two shared experts beside it).
inline auto deepseek_moe_16b(index_t k = 6) {
  return router{.score = softmax{}, .select = top_k{k}, .weigh = keep_scores{}};
}
// P05 DeepSeek-V2: best 3 of 8 groups by their maximum, top-6, times 16.
inline auto deepseek_v2(index_t k = 6, index_t groups = 8, index_t top_groups = 3, float scale = 16) {
  return router{.score = softmax{},
                .select = group_limited_top_k<best_of_group>{.k = k, .groups = groups, .top_groups = top_groups},
                .weigh = keep_scores{.scale = scale}};
}
// P06 DeepSeek-V2-Lite: top-6 of 64, no groups, scale 1.
inline auto deepseek_v2_lite(index_t k = 6) { return deepseek_moe_16b(k); }
// P10 Qwen1.5-MoE, Qwen2-MoE: top-4 of 60, not renormalized (sigmoid-gated shared expert beside it).
inline auto qwen2_moe(index_t k = 4) { return deepseek_moe_16b(k); }
// P11 Qwen3-MoE (128 / 8), Qwen3-Next (512 / 10): renormalized.
inline auto qwen3_moe(index_t k = 8) { return mixtral(k); }
inline auto qwen3_next(index_t k = 10) { return mixtral(k); }
// P12 OLMoE: top-8 of 64, not renormalized, dropless.
inline auto olmoe(index_t k = 8) { return deepseek_moe_16b(k); }
// P19 MiniMax-Text-01: top-2 of 32, renormalized (drops counted over all ranks).
inline auto minimax_text01(index_t k = 2) { return mixtral(k); }
// P22 Hunyuan-A13B: top-8 of 64, renormalized (one shared expert).
inline auto hunyuan_a13b(index_t k = 8) { return mixtral(k); }
// P23 ERNIE-4.5 (text): top-k on probability + bias, weight over max(sum, 1e-12).
inline auto ernie45(bias_row bias, index_t k = 6) {
  return router{.score = softmax{},
                .bias = correction_bias{bias},
                .select = top_k{k},
                .weigh = renormalize{.epsilon = 0, .floor = 1e-12f}};
}
// P29 Step-3: top-3 of 48, not renormalized.
inline auto step3(index_t k = 3) { return deepseek_moe_16b(k); }
// P31 GShard: top-2, renormalized over the pair before capacity; queue and random second expert in plan/.
inline auto gshard() { return router{.score = softmax{}, .select = top_k{2}, .weigh = renormalize{.epsilon = 1e-9f}}; }
// P32 ST-MoE: as GShard (router z-loss 1e-3, capacity factor 1.25 in training, 2 in evaluation).
inline auto st_moe() { return gshard(); }

// ---- top-k on the logits first ---------------------------------------------------------------------------------

// P13 Llama-4: top-1, weight = sigmoid of its logit, applied to the expert's input.
inline auto llama4(index_t k = 1) {
  return router{.score = identity{}, .select = top_k{k}, .weigh = on_input{sigmoid_of_chosen{}}};
}
// P14 gpt-oss: top-4, softmax over the four (the gate has a learned linear bias).
inline auto gpt_oss(index_t k = 4) {
  return router{.score = identity{}, .select = top_k{k}, .weigh = softmax_over_chosen{}};
}
// P27 JetMoE: top-2, softmax over the two.
inline auto jetmoe(index_t k = 2) { return gpt_oss(k); }

// ---- sigmoid, correction bias ---------------------------------------------------------------------------------

// P07 DeepSeek-V3, R1: best 4 of 8 groups by their two best keys, top-8 of score + bias, weights from the
// score alone, renormalized, times 2.5. `closed` = zero is what one Transformers port does.
inline auto deepseek_v3(bias_row bias, index_t k = 8, index_t groups = 8, index_t top_groups = 4, float scale = 2.5f,
                        closed_groups closed = closed_groups::minus_infinity) {
  return router{
      .score = sigmoid{},
      .bias = correction_bias{bias},
      .select = group_limited_top_k<sum_of_top>{.k = k, .groups = groups, .top_groups = top_groups, .closed = closed},
      .weigh = renormalize{.scale = scale}};
}
// P08 DeepSeek-V3.2: the gate of V3 (its reinforcement learning replays the routes of inference).
inline auto deepseek_v32(bias_row bias) { return deepseek_v3(bias); }
// One group: the group step has nothing to decide.
inline auto sigmoid_bias_top_k(bias_row bias, index_t k, float scale) {
  return router{
      .score = sigmoid{}, .bias = correction_bias{bias}, .select = top_k{k}, .weigh = renormalize{.scale = scale}};
}
// P15 Kimi K2: 384 / 8, times 2.827.
inline auto kimi_k2(bias_row bias, index_t k = 8) { return sigmoid_bias_top_k(bias, k, 2.827f); }
// P16 Kimi Linear, K2.5: the same family.
inline auto kimi_linear(bias_row bias, index_t k, float scale) { return sigmoid_bias_top_k(bias, k, scale); }
// P18 GLM-4.5, 4.6: 160 / 8, times 2.5 (Air: 128 / 8, times 1).
inline auto glm45(bias_row bias, index_t k = 8, float scale = 2.5f) { return sigmoid_bias_top_k(bias, k, scale); }
// P20 MiniMax-M2: 256 / 8.
inline auto minimax_m2(bias_row bias, index_t k = 8, float scale = 1) { return sigmoid_bias_top_k(bias, k, scale); }
// P22 Hunyuan V3.
inline auto hunyuan_v3(bias_row bias, index_t k = 8, float scale = 1) { return sigmoid_bias_top_k(bias, k, scale); }
// P26 Ling 2.0, Ring 2.0: the gate of V3 with 256 experts (zero-mean bias steps).
inline auto ling2(bias_row bias, float scale = 2.5f) { return deepseek_v3(bias, 8, 8, 4, scale); }
// P30 Step-3.5.
inline auto step35(bias_row bias, index_t k = 8, float scale = 1) { return sigmoid_bias_top_k(bias, k, scale); }

// Megatron-LM's general form: any score, groups ranked by the sum of their best k / top_groups keys.
template <class Score, class Bias, class Weigh>
auto megatron_group_limited(Score score, Bias bias, Weigh weigh, index_t k, index_t groups, index_t top_groups) {
  return router{.score = score,
                .bias = bias,
                .select = group_limited_top_k<sum_of_share>{.k = k, .groups = groups, .top_groups = top_groups},
                .weigh = weigh};
}

}  // namespace presets
}  // namespace moeroute::inline MOEROUTE_ABI
