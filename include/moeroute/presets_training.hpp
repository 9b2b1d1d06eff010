// Decides what the well-known models are trained with: the preset as in inference, and their published losses in
// .regularize. The coefficient is the published one where there is one; else you give it. Sources as in
// loss/switch_balance.hpp and docs/policies.md.
//
//   auto const r = presets::training::mixtral();
//   route(x, r, batch, routed);                              as presets::mixtral
//   observe(x, r, batch, ids, sums, w);                      sums of r.regularize; merge layers, shards, ranks
//   whole_backward(x, r, batch, ids, d_weights, sums, d_logits, w)     or route_backward, then add_gradient
//
// A preset without losses has none in its type: inference pays for nothing.
#pragma once

#include <moeroute/loss/cv_squared.hpp>
#include <moeroute/loss/entropy.hpp>
#include <moeroute/loss/masked_balance.hpp>
#include <moeroute/loss/smooth_load.hpp>
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/z_loss.hpp>
#include <moeroute/presets_extended.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// The same router with these losses in place of its own.
template <class G, class P, class S, class B, class Select, class W, class L, loss_term... Term>
constexpr auto with_losses(router<G, P, S, B, Select, W, L> const& r, Term... losses) {
  return router<G, P, S, B, Select, W, terms<Term...>>{r.gate,   r.prior, r.score,         r.bias,
                                                       r.select, r.weigh, terms{losses...}};
}

namespace presets::training {

// ---- one balance loss --------------------------------------------------------------------------------------------

// S077 Switch Transformer.
inline auto switch_transformer(double alpha = 1e-2) {
  return with_losses(switch_top1(), switch_balance{.alpha = alpha});
}
// P01 Mixtral, as in transformers: k alpha at balance; merge the sums of all layers.
inline auto mixtral(double alpha = .02, index_t k = 2) { return with_losses(presets::mixtral(k), hf_balance(alpha)); }
// P02 DBRX, the same form.
inline auto dbrx(double alpha = .05, index_t k = 4) { return with_losses(presets::dbrx(k), hf_balance(alpha)); }
// P11 Qwen3-MoE: over the global batch; merge the sums of all ranks first.
inline auto qwen3_moe(double alpha, index_t k = 8) {
  return with_losses(presets::qwen3_moe(k), switch_balance{.alpha = alpha});
}
// P31 GShard, P19 MiniMax-Text-01: first choices alone.
inline auto gshard(double alpha) { return with_losses(presets::gshard(), gshard_balance(alpha)); }
inline auto minimax_text01(double alpha) { return with_losses(presets::minimax_text01(), gshard_balance(alpha)); }
// P07 DeepSeek-V3: per sequence, beside the bias that steers the choice.
inline auto deepseek_v3(bias_row bias, index_t sequences, double alpha = 1e-4) {
  return with_losses(presets::deepseek_v3(bias),
                     switch_balance{.alpha = alpha, .by = segment_by::sequence, .segments = sequences});
}
// S065 AdaMoE: the loads of the null experts replaced by their mean.
inline auto adamoe(index_t nulls, index_t k, double alpha) {
  return with_losses(presets::adamoe(nulls, k), switch_balance{.alpha = alpha, .null_experts = nulls});
}

// ---- several -----------------------------------------------------------------------------------------------------

// P04 DeepSeekMoE-16B: experts, and devices that hold equal runs of them.
inline auto deepseek_moe_16b(double of_experts, double of_devices, index_t devices) {
  return with_losses(presets::deepseek_moe_16b(), switch_balance{.alpha = of_experts},
                     switch_balance{.alpha = of_devices, .groups = devices});
}
// P05 DeepSeek-V2: the same, devices = groups. Without its third loss, of what a device receives.
inline auto deepseek_v2(double of_experts, double of_devices, index_t groups = 8) {
  return with_losses(presets::deepseek_v2(6, groups), switch_balance{.alpha = of_experts},
                     switch_balance{.alpha = of_devices, .groups = groups});
}
// P12 OLMoE.
inline auto olmoe(double alpha = 1e-2, double z = 1e-3) {
  return with_losses(presets::olmoe(), switch_balance{.alpha = alpha}, z_loss{.alpha = z});
}
// P26 Ling 2.0: the z-loss alone; bias steps balance.
inline auto ling2(bias_row bias, double z = 3.5e-6) { return with_losses(presets::ling2(bias), z_loss{.alpha = z}); }
// P27 JetMoE: the balance and a tenth of the z-loss. Softmax first and divided by the sum: the weights of its softmax
// over two, and the probabilities that the balance is made of.
inline auto jetmoe(double alpha, double z = .1) {
  return with_losses(presets::mixtral(), switch_balance{.alpha = alpha, .share = load_share::per_choice},
                     z_loss{.alpha = alpha * z});
}
// P32 ST-MoE.
inline auto st_moe(double alpha, double z = 1e-3) {
  return with_losses(presets::st_moe(), gshard_balance(alpha), z_loss{.alpha = z});
}
// P33 V-MoE: alpha/2 (CV^2 of importance + CV^2 of smooth load), of the logits before the noise. `noise` (tokens x
// experts) is what was added to choose: route with it, or with v_moe and the same draws.
inline auto v_moe(matrix_view<float const> noise, index_t experts, double alpha, index_t k = 2) {
  return with_losses(v_moe_evaluation(k), importance_cv{.alpha = alpha / 2},
                     smooth_load_cv<>{.noise = noise, .sigma = 1. / experts, .k = k, .alpha = alpha / 2});
}
// P34 LIMoE: sharp tokens of each modality, spread use up to an entropy of tau.
inline auto limoe(double local, double global, double tau) {
  using enum segment_by;
  return with_losses(v_moe_evaluation(1), token_entropy{.alpha = local, .by = modality, .only = 0},
                     token_entropy{.alpha = local, .by = modality, .only = 1},
                     usage_entropy{.alpha = global, .threshold = tau, .by = modality, .segments = 2});
}
// S061 DynMoLE.
inline auto dynmole(index_t experts, double entropy = 1e-2, double balance = 1e-3) {
  return with_losses(presets::dynmole(experts), token_entropy{.alpha = entropy, .q = 1.1, .relative = true},
                     masked_balance{.alpha = balance});
}

}  // namespace presets::training
}  // namespace moeroute::inline MOEROUTE_ABI
