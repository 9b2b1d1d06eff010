#include <doctest/doctest.h>

#include <string>
#include <type_traits>

#include <moeroute/presets.hpp>

using namespace moeroute;

namespace {
struct mine {
  template <class V>
  V operator()(V x) const {
    return x;
  }
};
struct all_empty_weigh {
  template <class V>
  void operator()(row_view<V>) const {}
};
}  // namespace

static_assert(std::is_trivially_copyable_v<decltype(presets::deepseek_v3({}))>);  // it is the kernel argument
static_assert(sizeof(router<no_gate, no_prior, softmax, no_bias, top_k<fixed_index<8>>, all_empty_weigh>) == 1);
static_assert(ranks_logits<router<>> && !ranks_logits<decltype(presets::deepseek_v3({}))>);

TEST_CASE("router: is a value that can be read and changed") {
  auto r = presets::deepseek_v3({});
  r.select.k = 6;
  r.weigh.scale = 1;
  CHECK(r.select.experts_per_token() == 6);
  CHECK(std::string(describe(r).c_str()) ==
        "score: sigmoid; select: top 6 inside the best 4 of 8 groups (group score: sum of top 2) of score + bias[e]; "
        "weight: scores divided by their sum + 1e-20");
  CHECK(std::string(describe(router{.score = mine{}, .select = top_k{2}}).c_str()) ==
        "score: (user policy); select: top 2 of score; weight: the score");
}

TEST_CASE("promise P17 router: validation names the field") {
  CHECK(validate(presets::mixtral(), 8).ok());
  CHECK(std::string(message(validate(presets::mixtral(9), 8)).c_str()).find("select.k = 9") != std::string::npos);
  CHECK_FALSE(validate(router<>{}, 0).ok());
  CHECK_FALSE(validate_for_training(presets::mixtral(1), 8).ok());
}
