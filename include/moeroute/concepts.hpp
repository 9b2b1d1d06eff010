// Decides what fits where: every contract of the library, in the order of the flow. This is the map.
//
//   gate        hidden states -> logits            whole batch, with its own backward
//   prior       logits -> logits                   one row: masks, guidance, offsets, jitter
//   score       logits -> scores                   a summary of the row, then a map of each element
//   bias        score -> key                       steers the choice, never the weight
//   select      keys -> chosen experts             or chosen tokens, for expert choice
//   weigh       chosen scores -> weights
//   regularize  scores, counts -> a loss           used in training, free at inference
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/row.hpp>
#include <moeroute/fwd.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace probe {  // what the contracts are tried with
using group = serial_group;
using row = memory_row<float>;
using chosen = row_view<float>;
using ids = row_view<index_t>;
}  // namespace probe

// ---- gate ----------------------------------------------------------------------------------------------
//   index_t experts() const
//   status operator()(executor, hidden tokens x width, logits tokens x experts, workspace) const noexcept
//   offset_t workspace_bytes(executor, tokens) const
struct no_gate {
  static constexpr bool none = true;
};
template <class P>
concept gate_policy = std::same_as<P, no_gate> || requires(P const& p, serial x, matrix_view<float const> hidden,
                                                           matrix_view<float> logits, workspace w) {
  { p.experts() } -> std::convertible_to<index_t>;
  { p(x, hidden, logits, w) } -> std::same_as<status>;
  { p.workspace_bytes(x, offset_t{}) } -> std::convertible_to<offset_t>;
};

// ---- prior ---------------------------------------------------------------------------------------------
//   void operator()(group, row_context, row logits) const         in place; -inf closes an expert
//   V derivative(row_context, index_t e, V logit) const           optional: d out / d in, 1 if left out
//   offset_t modalities() const                                   optional, for a bias too: rows of its table;
//                                                                 batch.modality must stay below
template <class P>
concept prior_policy = requires(P const& p, probe::group g, row_context c, probe::row x) {
  { p(g, c, x) } -> std::same_as<void>;
};

template <class P>
concept tells_modalities = requires(P const& p) {
  { p.modalities() } -> std::convertible_to<offset_t>;
};
template <class P>
MOEROUTE_HD constexpr offset_t modalities_of(P const& p) {
  if constexpr (tells_modalities<P>) return p.modalities();
  else return static_cast<void>(p), largest<offset_t>;
}

// ---- score ---------------------------------------------------------------------------------------------
// Either elementwise, or a summary of the row and a map:
//   V operator()(V logit) const                         V derivative(V logit, V score) const
//   M summarize(group, row) const, V operator()(M, V logit) const
//                                                       V pull_back(M, V logit, V score, V d, V dot) const
// where d is the gradient of this score and dot the sum of score times d over the row. Logits arrive
// without NaN; -inf must give 0 or -inf. Written for any V: float, double, a vector of tokens.
// Declared algebra, false if left out: strictly_increasing (its order is the order of the logits),
// sums_to_one. An elementwise score may have a cheap form that steers a filter and never decides an id:
//   V approx(V logit) const, static constexpr float error     |approx(x) - (*this)(x)| < error, any x but NaN and -inf
// if the score stays between -1 and 1.
template <class P>
concept elementwise_score = requires(P const& p, float x, double y) {
  { p(x) } -> std::same_as<float>;
  { p(y) } -> std::same_as<double>;
};
template <class P>
concept summary_score = requires(P const& p, probe::group g, probe::row x, float y) {
  { p(p.summarize(g, x), y) } -> std::same_as<float>;
};
template <class P>
concept score_policy = elementwise_score<P> || summary_score<P>;
template <class P>
concept differentiable_score = (elementwise_score<P> && requires(P const& p, float x) {
                                 { p.derivative(x, x) } -> std::same_as<float>;
                               }) || (summary_score<P> && requires(P const& p, probe::group g, probe::row x, float y) {
                                 { p.pull_back(p.summarize(g, x), y, y, y, y) } -> std::same_as<float>;
                               });
template <class P>
concept rough_score = elementwise_score<P> && requires(P const& p, float x) {
  { p.approx(x) } -> std::same_as<float>;
  { P::error } -> std::convertible_to<float>;
};
template <class P>
inline constexpr bool strictly_increasing = false;
template <class P>
  requires requires { P::strictly_increasing; }
inline constexpr bool strictly_increasing<P> = P::strictly_increasing;
template <class P>
inline constexpr bool sums_to_one = false;
template <class P>
  requires requires { P::sums_to_one; }
inline constexpr bool sums_to_one<P> = P::sums_to_one;

// ---- bias ----------------------------------------------------------------------------------------------
//   row_view<P const> parameters(row_context) const     one number an expert; float or double only
//   V operator()(V score, V parameter) const            the key that selection ranks; no gradient
//   static constexpr bool adds                          score + parameter; false if left out
template <class P>
concept bias_policy = requires(P const& p, row_context c, float x) {
  { p.parameters(c).size } -> std::convertible_to<offset_t>;
  { p(x, x) } -> std::same_as<float>;
};
template <class P>
concept adds_parameter = requires { requires P::adds; };
template <class P>
inline constexpr bool is_none = false;
template <class P>
  requires requires { P::none; }
inline constexpr bool is_none<P> = P::none;

// ---- select --------------------------------------------------------------------------------------------
// What the keys are: `rank` any numbers of the right order, `value` the (biased) scores themselves,
// `logit` the logits after the prior.
enum class key_kind : std::uint8_t { rank, value, logit };

//   index_t experts_per_token() const                   columns of the ids; places may stay no_expert
//   void operator()(group, row_context, row keys, row_view<Id> out) const
//   static constexpr key_kind keys; static constexpr cross_token_dependence dependence (none if left out)
//   bool weighs(index_t id, index_t experts) const      optional: false keeps the id but gives it weight 0
template <class P>
concept token_choice = requires(P const& p, probe::group g, row_context c, probe::row keys, probe::ids out) {
  { p.experts_per_token() } -> std::convertible_to<index_t>;
  { p(g, c, keys, out) } -> std::same_as<void>;
  { P::keys } -> std::convertible_to<key_kind>;
};
//   offset_t tokens_per_expert(offset_t tokens, index_t experts) const
//   void operator()(group, keys of one expert, row_view<offset_t> out) const
template <class P>
concept expert_choice = requires(P const& p, probe::group g, probe::row keys, row_view<offset_t> out) {
  { p.tokens_per_expert(offset_t{}, index_t{}) } -> std::convertible_to<offset_t>;
  { p(g, keys, out) } -> std::same_as<void>;
};
template <class P>
concept select_policy = token_choice<P> || expert_choice<P>;

// Says `static constexpr bool takes_best = true`: the choice is the k largest keys (of all, or of the open
// groups), so the vector path may find them its own way.
template <class P>
inline constexpr bool takes_best = false;
template <class P>
  requires requires { P::takes_best; }
inline constexpr bool takes_best<P> = P::takes_best;

template <class P>
inline constexpr cross_token_dependence dependence_of =
    expert_choice<P> ? cross_token_dependence::whole_batch : cross_token_dependence::none;
template <class P>
  requires requires { P::dependence; }
inline constexpr cross_token_dependence dependence_of<P> = P::dependence;

// Whether a place of the ids takes part in the weights: it holds an expert, and the selector lets it.
MOEROUTE_EXEC_CHECK_DISABLE
template <class P, class Id>
MOEROUTE_HD constexpr bool carries_weight(P const& select, Id id, offset_t experts) {
  if (id == no_expert_of<Id>) return false;
  if constexpr (requires { select.weighs(index_t{}, index_t{}); })
    return select.weighs(static_cast<index_t>(id), static_cast<index_t>(experts));
  else return true;
}

// ---- weigh ---------------------------------------------------------------------------------------------
//   void operator()(row w) const                        chosen scores in, weights out, in place
//   void backward(row chosen, row d) const              d weights in, d chosen scores out, in place
//   static constexpr float absent                       what an empty place holds on the way in; 0 if left out
enum class weight_place : std::uint8_t { output, input };

template <class P>
concept weigh_policy = requires(P const& p, probe::chosen w) {
  { p(w) } -> std::same_as<void>;
};
// Says `static constexpr bool elementwise = true`: a weight is made of its own score alone, by what `takes_vectors` asks.
template <class P>
inline constexpr bool weighs_each = false;
template <class P>
  requires requires { P::elementwise; }
inline constexpr bool weighs_each<P> = P::elementwise;
// Says `static constexpr bool takes_vectors = true`: written for any V as a score is, with math::where for what differs
// from lane to lane. The vector path then weighs several tokens at once, a lane to each.
template <class P>
inline constexpr bool takes_vectors = false;
template <class P>
  requires requires { P::takes_vectors; }
inline constexpr bool takes_vectors<P> = P::takes_vectors;
template <class P>
concept differentiable_weigh = weigh_policy<P> && requires(P const& p, row_view<float const> s, probe::chosen d) {
  { p.backward(s, d) } -> std::same_as<void>;
};
template <class P>
inline constexpr float absent_of = 0.f;
template <class P>
  requires requires { P::absent; }
inline constexpr float absent_of<P> = P::absent;
// Says `bool scale_invariant(offset_t k) const`: a common factor of the scores cancels in the weights.
template <class P>
MOEROUTE_HD constexpr bool cancels_scale(P const& p, offset_t k) {
  if constexpr (requires { p.scale_invariant(k); }) return p.scale_invariant(k);
  else return false;
}
template <class P>
inline constexpr weight_place place_of = weight_place::output;
template <class P>
  requires requires { P::place; }
inline constexpr weight_place place_of<P> = P::place;

// ---- regularize ----------------------------------------------------------------------------------------
// A term of the training loss; see loss/ for what a term is asked. `no_terms` is the default.
template <class P>
concept regularize_policy = requires { typename P::is_regularizer; };

// ---- optional, for any policy --------------------------------------------------------------------------
//   void describe(text&) const              the formula in words
//   status validate(index_t experts) const  what is wrong with its parameters for this many experts
template <class P>
concept describes = requires(P const& p, text& t) { p.describe(t); };
template <class P>
concept validates = requires(P const& p, index_t experts) {
  { p.validate(experts) } -> std::same_as<status>;
};
template <class P>
status experts_fit(P const& p, index_t experts) {
  if constexpr (validates<P>) return p.validate(experts);
  else return static_cast<void>(p), static_cast<void>(experts), status{};
}

// Any policy that holds an array with a row for each token of the batch says whether it has enough:
//   status validate_tokens(offset_t tokens) const            optional; wrappers ask what they wrap
template <class P>
status tokens_fit(P const& p, offset_t tokens) {
  if constexpr (requires {
                  { p.validate_tokens(tokens) } -> std::same_as<status>;
                })
    return p.validate_tokens(tokens);
  else return static_cast<void>(p), static_cast<void>(tokens), status{};
}

}  // namespace moeroute::inline MOEROUTE_ABI
