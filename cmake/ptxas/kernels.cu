// The kernels of docs/cuda.md, by the name they have there: ./dev ptxas compiles this file and reads what
// ptxas and the disassembler say. A body gets a short name by deriving from it.
#include <moeroute/balance/bias_update.hpp>
#include <moeroute/cuda.cuh>
#include <moeroute/cuda/plan_sorted.hpp>
#include <moeroute/cuda/route_and_plan.cuh>
#include <moeroute/loss/observe.hpp>
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/whole_backward.hpp>
#include <moeroute/loss/z_loss.hpp>
#include <moeroute/route_experts.hpp>
#include <moeroute/select/replay.hpp>

#include <cuda_bf16.h>

using namespace moeroute;
using bf16 = __nv_bfloat16;

#define MOEROUTE_KERNEL(rows, name, ...)                                              \
  namespace kernels {                                                                 \
  struct name : __VA_ARGS__ {};                                                       \
  }                                                                                   \
  template __global__ void moeroute::detail::row_kernel<detail::rows, kernels::name>( \
      offset_t, offset_t, std::byte*, __grid_constant__ kernels::name const)
#define WARP(name, ...) MOEROUTE_KERNEL(warp_a_row, name, __VA_ARGS__)
#define BLOCK(name, ...) MOEROUTE_KERNEL(block_a_row, name, __VA_ARGS__)
#define WIDE(name, ...) MOEROUTE_KERNEL(wide_block_a_row, name, __VA_ARGS__)
#define PART(name, ...)                                                                        \
  namespace kernels {                                                                          \
  struct name : __VA_ARGS__ {};                                                                \
  }                                                                                            \
  template __global__ void moeroute::detail::part_kernel<kernels::name::lanes, kernels::name>( \
      offset_t, offset_t, __grid_constant__ kernels::name const)
#define BLOCK_BOTH(name, first, ...)                                                  \
  namespace kernels {                                                                 \
  struct name : __VA_ARGS__ {};                                                       \
  }                                                                                   \
  template __global__ void moeroute::detail::block_both_kernel<first, kernels::name>( \
      offset_t, offset_t, std::byte*, __grid_constant__ first const, __grid_constant__ kernels::name const)
#define BULK(name, ...)                                                                          \
  namespace kernels {                                                                            \
  struct name : __VA_ARGS__ {};                                                                  \
  }                                                                                              \
  template __global__ void moeroute::detail::warp_bulk_kernel<kernels::name>(offset_t, offset_t, \
                                                                             __grid_constant__ kernels::name const)

using usual_router = router<no_gate, no_prior, softmax, no_bias, top_k<>, renormalize>;
using late_router = router<no_gate, no_prior, identity, no_bias, top_k<>, softmax_over_chosen>;
using v3_router = router<no_gate, no_prior, sigmoid, correction_bias<>, group_limited_top_k<>, renormalize>;
using drawing_router = router<no_gate, no_prior, softmax, no_bias, gumbel_top_k<>, renormalize>;
using replaying_router = router<no_gate, no_prior, softmax, no_bias, replay<top_k<>, index_t>, renormalize>;
using choosing_experts = router<no_gate, no_prior, softmax, no_bias, top_tokens<>>;
using by_scores = detail::sorted_plan<index_t, float, std::int32_t>;
using two_losses = terms<switch_balance, z_loss>;
using softmax_bf16_gate = route_in_registers<usual_router, bf16, float, index_t, float, 8, 256>;
using v3_fp32_gate = route_in_registers<v3_router, float, float, index_t, float, 8, 256>;
using counts_of_share = count_block<index_t, std::int32_t>;

WARP(route_softmax_fp32, route_row<usual_router, float, float, index_t, float>);
WARP(route_softmax_bf16, route_row<usual_router, bf16, float, index_t, float>);
WARP(route_softmax_over_chosen_fp32, route_row<late_router, float, float, index_t, float>);
WARP(route_deepseek_v3_fp32, route_row<v3_router, float, float, index_t, float>);
WARP(route_deepseek_v3_bf16, route_row<v3_router, bf16, float, index_t, float>);
WARP(route_gumbel_fp32, route_row<drawing_router, float, float, index_t, float>);
WARP(route_replay_fp32, route_row<replaying_router, float, float, index_t, float>);
BLOCK(route_softmax_fp32_long_row, route_row<usual_router, float, float, index_t, float>);
PART(registers_softmax_bf16, route_in_registers<usual_router, bf16, float, index_t, float, 8, 256>);
PART(registers_softmax_fp32, route_in_registers<usual_router, float, float, index_t, float, 8, 256>);
PART(registers_deepseek_v3_bf16, route_in_registers<v3_router, bf16, float, index_t, float, 8, 256>);
PART(registers_deepseek_v3_fp32, route_in_registers<v3_router, float, float, index_t, float, 8, 256>);
PART(registers_softmax_bf16_any, route_in_registers<usual_router, bf16, float, index_t, float, 8>);
PART(registers_softmax_fp32_any, route_in_registers<usual_router, float, float, index_t, float, 8>);
PART(registers_deepseek_v3_bf16_any, route_in_registers<v3_router, bf16, float, index_t, float, 8>);
PART(registers_deepseek_v3_fp32_any, route_in_registers<v3_router, float, float, index_t, float, 8>);
PART(registers_softmax_bf16_few, route_in_registers<usual_router, bf16, float, index_t, float, 32, 256>);
PART(registers_deepseek_v3_bf16_few, route_in_registers<v3_router, bf16, float, index_t, float, 32, 256>);
PART(registers_deepseek_v3_bf16_few_any, route_in_registers<v3_router, bf16, float, index_t, float, 32>);
WIDE(route_and_count_softmax_bf16, route_and_count<softmax_bf16_gate, counts_of_share>);
WIDE(route_and_count_deepseek_v3_fp32, route_and_count<v3_fp32_gate, counts_of_share>);
WARP(route_backward_softmax_fp32, route_row_backward<usual_router, float, float, index_t, float, float>);
WARP(route_backward_deepseek_v3_fp32, route_row_backward<v3_router, float, float, index_t, float, float>);
BLOCK(expert_choice_columns, detail::choose_tokens<choosing_experts, float, float, float>);

BLOCK(plan_count, count_block<index_t, std::int32_t>);
BLOCK(plan_place, place_block<index_t, std::int32_t>);
BLOCK_BOTH(plan_one_launch, kernels::plan_count, place_block<index_t, std::int32_t>);
WARP(sorted_plan_keys, detail::sorted_keys_block<by_scores>);
WARP(sorted_plan_borders, detail::sorted_borders_block<by_scores>);
WARP(sorted_plan_offsets, detail::sorted_offsets<by_scores>);
WARP(sorted_plan_serve, detail::sorted_serve_block<by_scores>);
WARP(sorted_plan_place, detail::sorted_place_block<by_scores>);
WARP(permute_bf16, permute_row<bf16, float, bf16, std::int32_t>);
BULK(permute_bulk_bf16, permute_row<bf16, float, bf16, std::int32_t>);
WARP(permute_backward_bf16, permute_row_backward<bf16, float, bf16, bf16, float, std::int32_t>);
WARP(combine_bf16, combine_row<bf16, float, bf16, std::int32_t>);
WARP(combine_backward_bf16, combine_row_backward<bf16, float, bf16, float, std::int32_t>);

WARP(loss_observe, detail::sum_chunk<wide_sum, detail::observe_token<usual_router, two_losses, float, float, index_t>>);
WARP(loss_finish, detail::finish_term<two_losses>);
WARP(loss_gradient, detail::add_gradient_token<usual_router, two_losses, float, float, index_t, float>);
WARP(whole_backward, detail::whole_backward_token<usual_router, two_losses, float, float, index_t, float, float>);
WARP(bias_update, detail::update_bias_row<sign_update, std::int64_t, float>);
WARP(route_log_prob, route_log_prob_row<no_prior, float, float, index_t, float>);
WARP(route_log_prob_backward, route_log_prob_backward_row<no_prior, float, float, index_t, float, float>);
WARP(group_advantages, group_advantage_row<float, float>);
MOEROUTE_KERNEL(part_a_row, group_advantages_of_8, group_advantage_row<float, float>);
BLOCK(group_advantages_of_1024, long_group_advantage<float, float>);
WARP(policy_terms, detail::policy_term_row<float, float>);
WARP(policy_total, detail::policy_total_row<float, float>);
