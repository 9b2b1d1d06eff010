#include <doctest/doctest.h>

#include <moeroute/cuda.cuh>

#include <support/device.hpp>
#include <support/on_both.cuh>

using namespace moeroute;
using namespace moeroute::presets;
using namespace moeroute_test;

namespace {

constexpr offset_t tokens = 131;

// Every policy that holds no arrays, by the router it comes in.
template <class F>
void for_each_router(F const& visit) {
  visit("preset grok_served", grok_served());
  visit("preset deepseek_v2", deepseek_v2());
  visit("preset gpt_oss", gpt_oss());
  visit("preset llama4", llama4());
  visit("relu, above", router{.score = relu{}, .select = above{.max_experts = 12}});
  visit("top p", router{.select = top_p{.p = .7f}, .weigh = renormalize{}});
  visit("entropy switch", router{.select = entropy_switch{.base = top_p{.max_experts = 64}}});
  visit("ratio threshold", router{.select = ratio_threshold{}});
  visit("null experts", router{.select = null_experts{.nulls = 8, .base = top_k{4}}});
  visit("gumbel top k", router{.select = gumbel_top_k{.k = 4}});
  visit("multinomial", router{.select = multinomial{}});
  visit("uniform random", router{.select = uniform_random{.k = 1}, .weigh = constant_weight{}});
  visit("sqrt(softplus), group maximum",
        router{.score = sqrt_softplus{},
               .select = group_limited_top_k{.k = 6, .groups = 8, .top_groups = 3, .group_score = best_of_group{}}});
  visit("magnitude", router{.score = identity{}, .select = magnitude_top_k{5}});
}

}  // namespace

TEST_CASE("P7 every policy on a device equals one CPU lane") {
  if (no_device()) return;
  // The gradient does not depend on how experts were chosen: route.cu.
  for_each_router([](char const* name, auto const& r) { check_equal<float, false>(name, r, tokens, 64); });
}

TEST_CASE("P7 every score's gradient on a device equals one CPU lane") {
  if (no_device()) return;
  check_equal<float>("sigmoid", router{.score = sigmoid{}, .select = top_k{4}}, tokens, 64);
  check_equal<float>("sqrt(softplus)", router{.score = sqrt_softplus{}, .select = top_k{4}, .weigh = p_norm{}}, tokens,
                     64);
  check_equal<float>("soft cap, softmax", grok_served(), tokens, 64);
}

TEST_CASE("P7 double logits on a device equal one CPU lane") {
  if (no_device()) return;
  check_equal<double>("softmax, top 8", router{.select = top_k{8}, .weigh = renormalize{}}, tokens, 64);
}
