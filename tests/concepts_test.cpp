// Truth tables: what models each contract, and what must not. Compile time only.
#include <doctest/doctest.h>

#include <moeroute/moeroute.hpp>

using namespace moeroute;

namespace {

struct no_group_score {  // forgot that a summary needs the row
  float operator()() const { return 0; }
};
struct float_only {  // elementwise scores serve double as well
  float operator()(float x) const { return x; }
};
struct own_score {
  template <class V>
  V operator()(V x) const {
    return x;
  }
};
struct own_prior {
  void operator()(lane_group auto const& g, row_context, auto const& x) const {
    x.each(g, [](index_t, auto&) {});
  }
};
struct prior_with_result {
  int operator()(lane_group auto const&, row_context, auto const&) const { return 0; }
};
struct bias_without_parameters {
  float operator()(float s, float) const { return s; }
};
struct select_without_keys {
  index_t experts_per_token() const { return 1; }
  void operator()(auto const&, row_context, auto const&, auto) const {}
};
struct own_select : select_without_keys {
  static constexpr key_kind keys = key_kind::value;
};
struct own_weigh {
  template <class V>
  void operator()(row_view<V>) const {}
};
struct weigh_by_value {
  float operator()(float w) const { return w; }
};
struct own_terms {
  using is_regularizer = void;
};

static_assert(gate_policy<no_gate> && gate_policy<linear_gate<>> && gate_policy<cosine_gate<>> &&
              gate_policy<gru_gate<>>);
static_assert(!gate_policy<softmax> && !gate_policy<int>);

static_assert(prior_policy<no_prior> && prior_policy<expert_mask> && prior_policy<both<expert_mask, own_prior>>);
static_assert(!prior_policy<softmax> && !prior_policy<prior_with_result> && !prior_policy<int>);

static_assert(elementwise_score<sigmoid> && summary_score<softmax> && score_policy<own_score>);
static_assert(!score_policy<top_k<>> && !score_policy<int> && !score_policy<no_group_score> &&
              !score_policy<float_only>);
static_assert(!elementwise_score<softmax> && !summary_score<sigmoid>);
static_assert(differentiable_score<softmax> && !differentiable_score<own_score>);
static_assert(strictly_increasing<softmax> && !strictly_increasing<relu> && !strictly_increasing<own_score>);
static_assert(sums_to_one<chain<soft_cap, softmax>> && !sums_to_one<sigmoid>);

static_assert(bias_policy<no_bias> && bias_policy<correction_bias<>> && bias_policy<modality_bias<>>);
static_assert(!bias_policy<bias_without_parameters> && !bias_policy<sigmoid> && !bias_policy<int>);

static_assert(token_choice<top_k<>> && token_choice<own_select> && !expert_choice<top_k<>>);
static_assert(!select_policy<select_without_keys> && !select_policy<softmax> && !select_policy<int>);
static_assert(dependence_of<top_k<>> == cross_token_dependence::none);

static_assert(weigh_policy<own_weigh> && differentiable_weigh<renormalize> && !differentiable_weigh<own_weigh>);
static_assert(takes_vectors<renormalize> && takes_vectors<on_input<keep_scores>> && !takes_vectors<own_weigh>);
static_assert(!weigh_policy<weigh_by_value> && !weigh_policy<int>);
static_assert(place_of<on_input<keep_scores>> == weight_place::input && place_of<keep_scores> == weight_place::output);
static_assert(absent_of<softmax_over_chosen> < 0 && absent_of<keep_scores> == 0);

static_assert(regularize_policy<no_terms> && regularize_policy<own_terms> && !regularize_policy<softmax>);

struct runs_without_workspace {
  offset_t workspace_bytes(offset_t bytes) const { return bytes; }
  status run(offset_t, auto const&) const noexcept { return {}; }
};
struct own_executor : runs_without_workspace {
  status run(offset_t rows, auto const& body, workspace w) const noexcept { return serial{}.run(rows, body, w); }
};
static_assert(executor<serial> && executor<row_range> && executor<row_by_row<serial>> && executor<own_executor>);
static_assert(!executor<runs_without_workspace> && !executor<softmax> && !executor<int>);
static_assert(lane_group<serial_group> && !lane_group<serial> && !lane_group<int>);

static_assert(any_router<router<>> && token_choice_router<router<>> && !expert_choice_router<router<>>);
static_assert(!any_router<softmax> && !token_choice_router<int>);

}  // namespace

TEST_CASE("concepts: the truth table compiles") { CHECK(true); }
