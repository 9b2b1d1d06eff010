// Decides nothing: the table of contents. The types of the library in the order of the flow, declared with their
// default template arguments, which stand nowhere else. For headers that only name them.
#pragma once

#include <moeroute/core/types.hpp>

namespace moeroute::inline MOEROUTE_ABI {
// clang-format off

// ---- what everything is made of: core/ -----------------------------------------------------------------------
template <class T> struct row_view;     // core/view.hpp     one row of numbers
template <class T> struct matrix_view;  //                   rows with a stride
struct status;                          // core/status.hpp   what a try_verb returns
struct workspace;                       // core/executor.hpp the caller's memory
struct serial;                          //                   executors: one thread
struct row_range;                       //                   the rows an engine's own thread was given
struct threads;                         // cpu/threads.hpp   a pool;  cuda/executor.cuh: on_cuda

// ---- the fields of a router ----------------------------------------------------------------------------------
struct no_gate;  // concepts.hpp; more in gate/
struct plain_gemm;
template <element W = float, class Gemm = plain_gemm> struct linear_gate;  // gate/linear.hpp
template <element W = float, class Gemm = plain_gemm> struct cosine_gate;  // gate/cosine.hpp
template <element W = float, class Gemm = plain_gemm> struct gru_gate;     // gate/gru.hpp

struct no_prior;  // prior.hpp; more in prior/ and grpo/guidance.hpp
struct expert_mask;
struct modality_mask;
struct availability;
struct logit_offset;
template <class A, class B> struct both;

struct softmax;  // score.hpp
struct sigmoid;
struct sqrt_softplus;
struct relu;
struct identity;

struct no_bias;  // bias.hpp
template <class P = float> struct correction_bias;
template <class P = float> struct modality_bias;

template <class K = index_t> struct top_k;  // select/; what it holds is in docs/policies.md
template <class K = index_t> struct magnitude_top_k;
struct sum_of_top;
template <class GroupScore = sum_of_top> struct group_limited_top_k;
template <class Base = top_k<>, std::integral TraceId = index_t> struct replay;

struct keep_scores;  // weigh.hpp
struct renormalize;
struct p_norm;
struct softmax_over_chosen;
struct sigmoid_of_chosen;

struct no_terms;  // router.hpp; the losses are in loss/

template <class Gate = no_gate, class Prior = no_prior, class Score = softmax, class Bias = no_bias,
          class Select = top_k<fixed_index<2>>, class Weigh = keep_scores, class Regularize = no_terms>
struct router;

// ---- what the verbs pass on ----------------------------------------------------------------------------------
template <element T = float, element H = float> struct batch;                   // batch.hpp          route reads it
template <std::integral Id = index_t, class W = float> struct routing_view;     //                    and writes it
template <class W = float> struct expert_routing_view;                          // route_experts.hpp  experts choose
template <std::integral Id = index_t> struct choices_view;                      // plan/view.hpp      make_plan reads it
template <std::signed_integral Slot = offset_t> struct plan_view;               //                    and writes it
template <element T, element W = float> struct combine_terms;                   // combine.hpp        combine reads it
template <element T, element D = float> struct combine_gradients;               // combine_backward   its backward writes it

struct routing;        // routing.hpp: the same with their own memory
struct dispatch_plan;

}  // namespace moeroute::inline MOEROUTE_ABI
