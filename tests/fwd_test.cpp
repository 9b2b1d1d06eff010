// Decides whether the forward declarations are enough to name everything, and say the same as the definitions.
#include <moeroute/fwd.hpp>

namespace {

// A user's header that only names our types.
template <class T>
concept complete = requires { sizeof(T); };
static_assert(!complete<moeroute::router<>> && !complete<moeroute::batch<>> && !complete<moeroute::routing_view<>>);
static_assert(!complete<moeroute::plan_view<>> && !complete<moeroute::status> && !complete<moeroute::routing>);
moeroute::index_t chosen_of(moeroute::router<> const&, moeroute::routing& out);
moeroute::index_t k_of(moeroute::top_k<> const&);

}  // namespace

#include <moeroute/moeroute.hpp>

#include <moeroute/cpu/threads.hpp>

#include <doctest/doctest.h>

using namespace moeroute;

namespace {
index_t k_of(top_k<> const& select) { return select.experts_per_token(); }
index_t chosen_of(router<> const& r, routing& out) {
  std::vector<float> const logits{1, 3, 2};
  route(serial{}, r, {.logits = {logits.data(), 1, 3}}, out);
  return out.ids[0];
}
}  // namespace

TEST_CASE(
    "fwd: default arguments are those of the definitions, functions declared over them can be "
    "called") {
  static_assert(
      std::same_as<decltype(router{}),
                   router<no_gate, no_prior, softmax, no_bias, top_k<fixed_index<2>>, keep_scores, no_terms>>);
  static_assert(std::same_as<batch<>, batch<float, float>> &&
                std::same_as<routing_view<>, routing_view<index_t, float>>);
  static_assert(std::same_as<plan_view<>, plan_view<offset_t>> && std::same_as<choices_view<>, choices_view<index_t>>);
  static_assert(std::same_as<linear_gate<>, linear_gate<float, plain_gemm>> &&
                std::same_as<replay<>, replay<top_k<>, index_t>>);
  static_assert(std::same_as<correction_bias<>, correction_bias<float>> &&
                std::same_as<group_limited_top_k<>, group_limited_top_k<sum_of_top>>);
  static_assert(executor<threads> && executor<serial> && executor<row_range>);
  routing out(1, router{});
  CHECK(chosen_of(router{}, out) == 1);
  CHECK(k_of(top_k{.k = 5}) == 5);
}
