// Decides how the results of routing are owned, for those who like to write less: vectors of the right sizes,
// and verbs that find their own workspace. Everything is done by the verbs on views; only this header and
// what it returns allocate.
//
//   routing routed(tokens, router);                            tokens x k ids and weights
//   route(threads{}, router, {.logits = logits}, routed);
//   dispatch_plan const plan = make_plan(routed, experts);     weights travel with it, to their place
//   permute(threads{}, plan, hidden, grouped);
//   for (auto [expert, rows] : plan.runs()) run_expert(expert, grouped.middle_rows(rows.first, rows.count));
//   combine(threads{}, plan, grouped, output);
#pragma once

#include <vector>

#include <moeroute/combine_backward.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/plan.hpp>
#include <moeroute/route_backward.hpp>
#include <moeroute/route_experts.hpp>
#include <moeroute/select/picks_by_token.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
template <class T>
std::vector<T> vector_of(offset_t n, T fill = T{}) {
  return std::vector<T>(static_cast<std::size_t>(n), fill);
}
MOEROUTE_ON_DEMAND
inline std::vector<std::byte> space_of(offset_t bytes) { return vector_of<std::byte>(bytes); }
}  // namespace detail

// Who chose whom, and how much it weighs. Fixed k, or ragged where experts chose the tokens.
struct routing {
  offset_t tokens = 0;
  offset_t k = 0;  // 0 if ragged
  weight_place place = weight_place::output;
  std::vector<index_t> ids;       // tokens x k, or all choices
  std::vector<float> weights;     // likewise
  std::vector<offset_t> offsets;  // tokens + 1 if ragged

  routing() = default;
  template <token_choice_router R>
  routing(offset_t n, R const& r) : tokens(n), k(r.select.experts_per_token()), place(place_of<decltype(R::weigh)>) {
    ids = detail::vector_of<index_t>(n * k, no_expert);
    weights = detail::vector_of<float>(n * k);
  }
  template <expert_choice_router R>
  routing(offset_t n, R const&)
      : tokens(n), place(place_of<decltype(R::weigh)>), offsets(detail::vector_of<offset_t>(n + 1)) {}

  routing_view<> view() { return {.ids = {ids.data(), tokens, k}, .weights = {weights.data(), tokens, k}}; }
  choices_view<> choices() const {
    choices_view<> c{.ids = {ids.data(), tokens, k}};
    if (!offsets.empty()) c.ids = {ids.data(), 1, static_cast<offset_t>(ids.size())}, c.offsets = offsets;
    return c;
  }
  matrix_view<float const> weight_matrix() const {
    matrix_view<index_t const> const shape = choices().ids;
    return {weights.data(), shape.rows, shape.cols};
  }
};

template <executor X, token_choice_router R, class T, class H>
void route(X const& x, R const& r, batch<T, H> const& in, routing& out) {
  offset_t const rows = in.logits.empty() ? in.hidden.rows : in.logits.rows;
  index_t experts = static_cast<index_t>(in.logits.cols);
  if constexpr (has_gate<R>) experts = r.gate.experts();
  auto space = detail::space_of(route_workspace_bytes<X, R, T>(x, r, rows, experts));
  route(x, r, in, out.view(), workspace(space));
}
template <executor X, token_choice_router R>
void route(X const& x, R const& r, batch<> const& in, routing& out) {
  route<X, R, float, float>(x, r, in, out);
}

// The gradient for what `routed` chose.
template <executor X, token_choice_router R, class T, class H, class D>
void route_backward(X const& x, R const& r, batch<T, H> const& in, routing const& routed,
                    matrix_view<float const> d_weights, matrix_view<D> d_logits, bool accumulate = false) {
  auto space =
      detail::space_of(route_workspace_bytes<X, R, T>(x, r, in.logits.rows, static_cast<index_t>(in.logits.cols)));
  route_backward(x, r, in, routed.choices().ids, d_weights, d_logits, workspace(space), accumulate);
}
template <executor X, token_choice_router R, class D>
void route_backward(X const& x, R const& r, batch<> const& in, routing const& routed,
                    matrix_view<float const> d_weights, matrix_view<D> d_logits, bool accumulate = false) {
  route_backward<X, R, float, float, D>(x, r, in, routed, d_weights, d_logits, accumulate);
}

// Experts choose: one segment a scope number, which are 0 to the largest in the batch.
template <executor X, expert_choice_router R, class T, class H>
void route(X const& x, R const& r, batch<T, H> const& in, routing& out) {
  throw_if_bad(checks{}.must_be("routing.tokens", out.tokens, in.logits.rows).result());
  constexpr choice_scope scope = detail::scope_of<decltype(R::select)>;
  row_view<index_t const> const number = scope == choice_scope::sequence ? in.sequence : in.group;
  offset_t segments = 1;
  if (scope != choice_scope::batch)
    for (index_t const n : number) segments = n >= segments ? offset_t{n} + 1 : segments;
  auto const experts = static_cast<index_t>(in.logits.cols);
  offset_t const capacity = r.select.tokens_per_expert(in.logits.rows, experts), picks = segments * experts * capacity;
  auto tokens = detail::vector_of<offset_t>(picks);
  auto weights = detail::vector_of<float>(picks);
  expert_routing_view<float> const chosen{{tokens.data(), segments * experts, capacity},
                                          {weights.data(), segments * experts, capacity}};
  auto space =
      detail::space_of(route_experts_workspace_bytes<X, R, T>(x, r, in.logits.rows, experts, segments, capacity));
  route_experts(x, r, in, chosen, workspace(space));
  out.ids = detail::vector_of<index_t>(picks);
  out.weights = detail::vector_of<float>(picks);
  token_choices_view<float> const by_token{out.offsets, out.ids, out.weights, {}};
  picks_by_token(x, matrix_view<offset_t const>(chosen.tokens), matrix_view<float const>(chosen.weights), experts,
                 by_token);
  auto const used = static_cast<std::size_t>(out.offsets.back());
  out.ids.resize(used), out.weights.resize(used);
}
template <executor X, expert_choice_router R>
void route(X const& x, R const& r, batch<> const& in, routing& out) {
  route<X, R, float, float>(x, r, in, out);
}

// A plan with its arrays, and the weights of the routing it was made from (none if made from ids alone).
struct dispatch_plan {
  offset_t tokens = 0;
  offset_t k = 0;
  weight_place place = weight_place::output;
  std::vector<offset_t> choice_offsets;                 // tokens + 1 if ragged
  std::vector<offset_t> counts, kept;                   // experts
  std::vector<offset_t> offsets;                        // experts + 1
  std::vector<offset_t> slot_of_choice;                 // choices
  std::vector<offset_t> rank_of_choice;                 // choices: place in the expert's queue
  std::vector<offset_t> token_of_slot, choice_of_slot;  // rows
  std::vector<float> weights;                           // choices

  offset_t rows() const { return offsets.empty() ? 0 : offsets.back(); }
  index_t experts() const { return static_cast<index_t>(counts.size()); }
  expert_runs runs() const { return {offsets}; }
  choice_shape choices() const { return {tokens, k, choice_offsets}; }
  // For the verbs that read a plan.
  plan_view<> view() const {
    auto const open = [](std::vector<offset_t> const& v) {
      return row_view<offset_t>(const_cast<offset_t*>(v.data()), static_cast<offset_t>(v.size()));
    };
    return {.choices = choices(),
            .counts = open(counts),
            .kept = open(kept),
            .offsets = open(offsets),
            .slot_of_choice = open(slot_of_choice),
            .token_of_slot = open(token_of_slot),
            .choice_of_slot = open(choice_of_slot),
            .rank_of_choice = open(rank_of_choice)};
  }
  operator plan_view<>() const { return view(); }
  matrix_view<float const> weight_matrix() const {
    if (weights.empty()) return {};
    return choice_offsets.empty() ? matrix_view<float const>{weights.data(), tokens, k}
                                  : matrix_view<float const>{weights.data(), 1, static_cast<offset_t>(weights.size())};
  }
  matrix_view<float const> weights_at(weight_place where) const {
    return where == place ? weight_matrix() : matrix_view<float const>{};
  }

  // Arrays for so many rows; `shape` is that of the choices.
  MOEROUTE_ON_DEMAND
  dispatch_plan(choice_shape const& shape, index_t n, offset_t rows)
      : tokens(shape.tokens),
        k(shape.k),
        choice_offsets(shape.offsets.begin(), shape.offsets.end()),
        counts(detail::vector_of<offset_t>(n)),
        kept(counts),
        offsets(detail::vector_of<offset_t>(offset_t{n} + 1)),
        slot_of_choice(detail::vector_of<offset_t>(shape.size())),
        rank_of_choice(slot_of_choice),
        token_of_slot(detail::vector_of<offset_t>(rows)),
        choice_of_slot(token_of_slot) {}
  dispatch_plan() = default;
  MOEROUTE_ON_DEMAND
  void trim() {  // to the rows in use
    token_of_slot.resize(static_cast<std::size_t>(rows()));
    choice_of_slot.resize(static_cast<std::size_t>(rows()));
  }
};

template <executor X, std::integral Id>
dispatch_plan make_plan(X const& x, choices_view<Id> const& in, index_t experts, plan_options const& options = {}) {
  throw_if_bad(validate(in));
  throw_if_bad(checks{}.at_least("experts", experts, 1).at_least("plan.align", options.align, 1).result());
  dispatch_plan plan(in.shape(), experts, plan_rows_bound(in.shape().size(), experts, options.align));
  auto space = detail::space_of(plan_workspace_bytes(x, experts));
  plan_view<> view = plan.view();
  make_plan(x, in, experts, options, view, workspace(space));
  plan.trim();
  return plan;
}
template <executor X, std::integral Id, element P>
dispatch_plan make_plan(X const& x, choices_view<Id> const& in, index_t experts, plan_options const& options,
                        capacity_options<P> const& limit) {
  checks c;
  c.also(validate(in)).at_least("experts", experts, 1).at_least("plan.align", options.align, 1);
  throw_if_bad(c.also(limit.rule.validate()).at_least("capacity.segments", limit.segments, 1).result());
  choice_shape const shape = in.shape();
  capacity_sizes const whole{shape.tokens, shape.size(), experts, 0};
  dispatch_plan plan(shape, experts, limited_rows_bound(limit.rule, limit.rows, whole, limit.segments, options.align));
  auto space = detail::space_of(limited_plan_workspace_bytes(x, experts, shape.tokens, shape.size(), limit.segments));
  plan_view<> view = plan.view();
  make_plan(x, in, experts, options, limit, view, workspace(space));
  plan.trim();
  return plan;
}

template <executor X, class... Limit>
dispatch_plan make_plan(X const& x, routing const& routed, index_t experts, plan_options const& options = {},
                        Limit const&... limit) {
  dispatch_plan plan = make_plan(x, routed.choices(), experts, options, limit...);
  plan.weights = routed.weights;
  plan.place = routed.place;
  return plan;
}
MOEROUTE_ON_DEMAND
inline dispatch_plan make_plan(routing const& routed, index_t experts, plan_options const& options = {}) {
  return make_plan(serial{}, routed, experts, options);
}

// Weights go where the router wants them: into the rows here, or into the sum of combine.
template <executor X, class T, element O>
void permute(X const& x, dispatch_plan const& plan, matrix_view<T> tokens, matrix_view<O> grouped) {
  permute(x, plan.view(), tokens, plan.weights_at(weight_place::input), grouped);
}
template <executor X, class T, element O>
void combine(X const& x, dispatch_plan const& plan, matrix_view<T> rows, matrix_view<O> y) {
  combine(x, plan.view(), rows, plan.weights_at(weight_place::output), y);
}
// Their backwards. Both write d_weights where the weight is theirs, and leave it alone elsewhere.
template <executor X, class T, class O, element S>
void permute_backward(X const& x, dispatch_plan const& plan, matrix_view<T> tokens, matrix_view<O> d_grouped,
                      matrix_view<S> d_tokens, matrix_view<float> d_weights) {
  bool const mine = plan.place == weight_place::input;
  permute_backward(x, plan.view(), tokens, plan.weights_at(weight_place::input), d_grouped, d_tokens,
                   mine ? d_weights : matrix_view<float>{});
}
template <executor X, class T, class O>
void combine_backward(X const& x, dispatch_plan const& plan, matrix_view<T> rows, matrix_view<O> d_y,
                      matrix_view<std::remove_const_t<T>> d_rows, matrix_view<float> d_weights) {
  using E = std::remove_const_t<T>;
  bool const mine = plan.place == weight_place::output;
  combine_terms<E> const in{.rows = rows, .weights = plan.weights_at(weight_place::output)};
  combine_backward(x, plan.view(), in, d_y,
                   combine_gradients<E>{.rows = d_rows, .weights = mine ? d_weights : matrix_view<float>{}});
}

}  // namespace moeroute::inline MOEROUTE_ABI
