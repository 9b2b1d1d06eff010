// Decides what a router is: seven named policies, in the order of the flow, each with a default that does
// nothing and takes no space.
#pragma once

#include <moeroute/bias.hpp>
#include <moeroute/prior.hpp>
#include <moeroute/score.hpp>
#include <moeroute/select/top_k.hpp>
#include <moeroute/weigh.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct no_terms {
  using is_regularizer = void;
  static constexpr bool none = true;
};

template <class Gate, class Prior, class Score, class Bias, class Select, class Weigh, class Regularize>
struct router {
  static_assert(gate_policy<Gate>,
                "router.gate: give a type with  index_t experts() const  and  status operator()(executor, "
                "hidden, logits, workspace) const noexcept");
  static_assert(prior_policy<Prior>,
                "router.prior: give a type with  void operator()(group, row_context, row logits) const");
  static_assert(score_policy<Score>,
                "router.score: give a type with  V operator()(V logit) const,  or with  summarize(group, "
                "row) const  and  V operator()(summary, V logit) const");
  static_assert(bias_policy<Bias>,
                "router.bias: give a type with  row_view parameters(row_context) const  and  V "
                "operator()(V score, V parameter) const");
  static_assert(select_policy<Select>,
                "router.select: give token choice (keys, experts_per_token() const, void "
                "operator()(group, row_context, row keys, row_view out) const) or expert choice "
                "(tokens_per_expert(tokens, experts) const, void operator()(group, keys, out) const)");
  static_assert(weigh_policy<Weigh>,
                "router.weigh: give a type with  void operator()(row) const, chosen scores in, weights out");
  static_assert(regularize_policy<Regularize>, "router.regularize: give a loss term, or terms{a, b}");

  [[no_unique_address]] Gate gate{};
  [[no_unique_address]] Prior prior{};
  [[no_unique_address]] Score score{};
  [[no_unique_address]] Bias bias{};
  [[no_unique_address]] Select select{};
  [[no_unique_address]] Weigh weigh{};
  [[no_unique_address]] Regularize regularize{};
};

template <class R>
concept any_router = requires(R const& r) { r.gate, r.prior, r.score, r.bias, r.select, r.weigh, r.regularize; };
template <class R>
concept token_choice_router = any_router<R> && token_choice<decltype(R::select)>;
template <class R>
concept expert_choice_router = any_router<R> && expert_choice<decltype(R::select)>;
template <class R>
inline constexpr bool has_gate = !is_none<decltype(R::gate)>;

// Selection may look at the logits themselves: exact arithmetic gives the same order, and experts whose
// score underflows still rank.
template <class R>
inline constexpr bool ranks_logits = decltype(R::select)::keys == key_kind::logit ||
                                     (decltype(R::select)::keys == key_kind::rank &&
                                      strictly_increasing<decltype(R::score)> && is_none<decltype(R::bias)>);

// How many modalities the router's tables know: one more than the largest a batch may name.
template <class R>
inline constexpr bool reads_modalities = tells_modalities<decltype(R::prior)> || tells_modalities<decltype(R::bias)>;
template <any_router R>
MOEROUTE_HD constexpr offset_t modalities(R const& r) {
  offset_t const a = modalities_of(r.prior), b = modalities_of(r.bias);
  return a < b ? a : b;
}

template <class R>
inline constexpr cross_token_dependence router_dependence = dependence_of<decltype(R::select)>;

// The formula of a router in words, field by field.
template <any_router R>
text describe(R const& r) {
  text t;
  auto const add = [&](auto const& policy) {
    using P = std::remove_cvref_t<decltype(policy)>;
    if constexpr (describes<P>) policy.describe(t);
    else if constexpr (!is_none<P>) t.add("(user policy)");
  };
  if constexpr (has_gate<R>) t.add("logits: "), add(r.gate), t.add("; ");
  if constexpr (!is_none<decltype(r.prior)>) t.add("prior: "), add(r.prior), t.add("; ");
  t.add("score: "), add(r.score);
  t.add("; select: "), add(r.select), t.add(" of score"), add(r.bias);
  t.add("; weight: "), add(r.weigh);
  if constexpr (!is_none<decltype(r.regularize)>) t.add("; loss: "), add(r.regularize);
  return t;
}

// What is wrong with a router for this many experts: first failure, by field.
template <any_router R>
status validate(R const& r, index_t experts) {
  checks c;
  c.at_least("experts", experts, 1);
  auto const ask = [&](auto const& policy) { c.also(experts_fit(policy, experts)); };
  if constexpr (has_gate<R>) c.must_be("router.gate experts", static_cast<index_t>(r.gate.experts()), experts);
  ask(r.gate), ask(r.prior), ask(r.score), ask(r.bias), ask(r.select), ask(r.weigh), ask(r.regularize);
  return c.result();
}

// For training: also refuses a router whose weight is constant, k = 1 with renormalization.
template <any_router R>
status validate_for_training(R const& r, index_t experts) {
  if (status const s = validate(r, experts); !s.ok()) return s;
  if constexpr (token_choice_router<R>) {
    bool constant = std::same_as<decltype(R::weigh), softmax_over_chosen>;
    if constexpr (std::same_as<decltype(R::weigh), renormalize>) constant = !r.weigh.keep_single;
    if (constant && r.select.experts_per_token() == 1)
      return {errc::bad_value, "select.k with renormalized weights (the router gets no task gradient): k",
              "must be at least", 1, 2};
  }
  return {};
}

}  // namespace moeroute::inline MOEROUTE_ABI
