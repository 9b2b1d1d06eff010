// Decides which presets the command line offers. To add one, add a line: name, catalogue id, source, whether
// it takes a bias, and how it is made from a bias row and k (0: the preset's own), or from these and the number of
// experts. Namespace: moeroute_examples.
#pragma once

#include <moeroute/presets_extended.hpp>

#include "cli/preset.hpp"

namespace moeroute_examples {

namespace preset_detail {

constexpr moeroute::index_t or_own(moeroute::index_t k, moeroute::index_t own) { return k > 0 ? k : own; }

template <auto Make>
auto make(moeroute::presets::bias_row bias, moeroute::index_t k, moeroute::index_t experts) {
  if constexpr (requires { Make(bias, k, experts); }) return Make(bias, k, experts);
  else return Make(bias, k);
}
template <auto Make>
preset made(char const* name, char const* id, char const* source, bool takes_bias) {
  using moeroute::presets::bias_row;
  return {name,
          id,
          source,
          takes_bias,
          [] { return std::string(moeroute::describe(make<Make>(bias_row{}, 0, 0)).c_str()); },
          [](preset_request const& q) {
            return route_request(make<Make>(q.bias.row(), as_index(q.k), as_index(q.logits.extent(1))), q);
          }};
}

}  // namespace preset_detail

inline std::vector<preset> preset_list() {
  using namespace moeroute;
  using namespace preset_detail;
  using presets::bias_row;
  constexpr bool plain = false, biased = true;
  return {
      made<[](bias_row, index_t) { return presets::switch_top1(); }>("switch", "S077", "Switch Transformer", plain),
      made<[](bias_row, index_t k) { return presets::mixtral(or_own(k, 2)); }>("mixtral", "P01", "Mixtral", plain),
      made<[](bias_row, index_t k) { return presets::dbrx(or_own(k, 4)); }>("dbrx", "P02", "DBRX", plain),
      made<[](bias_row, index_t k) { return presets::grok1(or_own(k, 2)); }>("grok1", "P03", "Grok-1", plain),
      made<[](bias_row, index_t k) { return presets::grok_served(or_own(k, 2)); }>("grok_served", "P03", "Grok, served",
                                                                                   plain),
      made<[](bias_row, index_t k) { return presets::deepseek_moe_16b(or_own(k, 6)); }>("deepseek_moe_16b", "P04",
                                                                                        "DeepSeekMoE", plain),
      made<[](bias_row, index_t k) { return presets::deepseek_v2(or_own(k, 6)); }>("deepseek_v2", "P05", "DeepSeek-V2",
                                                                                   plain),
      made<[](bias_row, index_t k) { return presets::deepseek_v2_lite(or_own(k, 6)); }>("deepseek_v2_lite", "P06",
                                                                                        "DeepSeek-V2-Lite", plain),
      made<[](bias_row b, index_t k) { return presets::deepseek_v3(b, or_own(k, 8)); }>("deepseek_v3", "P07",
                                                                                        "DeepSeek-V3, R1", biased),
      made<[](bias_row b, index_t k) { return presets::deepseek_v3(b, or_own(k, 8)); }>("deepseek_v32", "P08",
                                                                                        "DeepSeek-V3.2", biased),
      made<[](bias_row, index_t k) { return presets::qwen2_moe(or_own(k, 4)); }>("qwen2_moe", "P10",
                                                                                 "Qwen1.5-MoE, Qwen2-MoE", plain),
      made<[](bias_row, index_t k) { return presets::qwen3_moe(or_own(k, 8)); }>("qwen3_moe", "P11", "Qwen3-MoE",
                                                                                 plain),
      made<[](bias_row, index_t k) { return presets::qwen3_next(or_own(k, 10)); }>("qwen3_next", "P11", "Qwen3-Next",
                                                                                   plain),
      made<[](bias_row, index_t k) { return presets::olmoe(or_own(k, 8)); }>("olmoe", "P12", "OLMoE", plain),
      made<[](bias_row, index_t k) { return presets::llama4(or_own(k, 1)); }>("llama4", "P13", "Llama-4", plain),
      made<[](bias_row, index_t k) { return presets::gpt_oss(or_own(k, 4)); }>("gpt_oss", "P14", "gpt-oss", plain),
      made<[](bias_row b, index_t k) { return presets::kimi_k2(b, or_own(k, 8)); }>("kimi_k2", "P15", "Kimi K2",
                                                                                    biased),
      made<[](bias_row b, index_t k) { return presets::glm45(b, or_own(k, 8)); }>("glm45", "P18", "GLM-4.5, 4.6",
                                                                                  biased),
      made<[](bias_row, index_t k) { return presets::minimax_text01(or_own(k, 2)); }>("minimax_text01", "P19",
                                                                                      "MiniMax-Text-01", plain),
      made<[](bias_row b, index_t k) { return presets::minimax_m2(b, or_own(k, 8)); }>("minimax_m2", "P20",
                                                                                       "MiniMax-M2", biased),
      made<[](bias_row, index_t k) { return presets::hunyuan_a13b(or_own(k, 8)); }>("hunyuan_a13b", "P22",
                                                                                    "Hunyuan-A13B", plain),
      made<[](bias_row b, index_t k) { return presets::hunyuan_v3(b, or_own(k, 8)); }>("hunyuan_v3", "P22",
                                                                                       "Hunyuan V3", biased),
      made<[](bias_row b, index_t k) { return presets::ernie45(b, or_own(k, 6)); }>("ernie45", "P23", "ERNIE-4.5",
                                                                                    biased),
      made<[](bias_row b, index_t) { return presets::ling2(b); }>("ling2", "P26", "Ling 2.0, Ring 2.0", biased),
      made<[](bias_row, index_t k) { return presets::jetmoe(or_own(k, 2)); }>("jetmoe", "P27", "JetMoE", plain),
      made<[](bias_row, index_t k) { return presets::step3(or_own(k, 3)); }>("step3", "P29", "Step-3", plain),
      made<[](bias_row b, index_t k) { return presets::step35(b, or_own(k, 8)); }>("step35", "P30", "Step-3.5", biased),
      made<[](bias_row, index_t) { return presets::gshard(); }>("gshard", "P31", "GShard", plain),
      made<[](bias_row, index_t) { return presets::st_moe(); }>("st_moe", "P32", "ST-MoE", plain),
      made<[](bias_row b, index_t k) { return presets::deepseek_v4(b, or_own(k, 6)); }>(
          "deepseek_v4", "P09", "DeepSeek-V4, later layers", biased),
      made<[](bias_row b, index_t k) { return presets::kimi_k3(b, or_own(k, 16)); }>("kimi_k3", "P17", "Kimi K3",
                                                                                     biased),
      made<[](bias_row, index_t) { return presets::hunyuan_large(); }>("hunyuan_large", "P21", "Hunyuan-Large", plain),
      made<[](bias_row b, index_t k) { return presets::longcat_flash(b, or_own(k, 12)); }>("longcat_flash", "P25",
                                                                                           "LongCat-Flash", biased),
      made<[](bias_row, index_t k) { return presets::v_moe(or_own(k, 2)); }>("v_moe", "P33", "V-MoE, noise of seed 0",
                                                                             plain),
      made<[](bias_row, index_t k) { return presets::v_moe_evaluation(or_own(k, 2)); }>("v_moe_evaluation", "P33",
                                                                                        "V-MoE, evaluation", plain),
      made<[](bias_row, index_t) { return presets::limoe(); }>("limoe", "P34", "LIMoE, noise of seed 0", plain),
      // The bias is minus the cut of each expert; k, here and below, is the most experts of a token.
      made<[](bias_row b, index_t k, index_t e) { return presets::expert_threshold(b, or_own(k, e)); }>(
          "expert_threshold", "P36", "Expert threshold", biased),
      made<[](bias_row, index_t) { return presets::base_layer_evaluation(); }>("base_layer_evaluation", "P37",
                                                                               "BASE, evaluation", plain),
      made<[](bias_row, index_t k, index_t e) { return presets::dynamic_routing(or_own(k, e)); }>(
          "dynamic_routing", "S013", "Dynamic routing", plain),
      made<[](bias_row, index_t k, index_t e) { return presets::dynmole(or_own(k, e)); }>("dynmole", "S061", "DynMoLE",
                                                                                          plain),
      made<[](bias_row, index_t k, index_t e) { return presets::remoe(or_own(k, e)); }>("remoe", "S096", "ReMoE",
                                                                                        plain),
  };
}

}  // namespace moeroute_examples
