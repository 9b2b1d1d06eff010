// Decides whether a level routes right: routers, sizes, element types and odd rows, vector path against plain path.
#include <moeroute/presets.hpp>

#include "rows.hpp"

namespace levels {
namespace {

// A user's score, which the library does not know.
struct cubed {
  static constexpr bool strictly_increasing = true;
  template <class V>
  V operator()(V x) const {
    return math::mul(math::mul(x, x), x);
  }
};

template <class T, class Make>
void grid(report& to, char const* name, Make make) {
  three_digests d;
  for (index_t const experts : {1, 5, 8, 16, 17, 60, 64, 100, 128, 257, 512}) {
    rows<T> const z(experts, experts % 3);
    std::vector<float> const bias = noise_of(4, static_cast<std::size_t>(experts), .1f);
    for (index_t const k : {1, 2, 6, 8, 9, 17, 40})
      if (k <= experts) both_paths(to, name, make(row_view<float const>(bias), k), z, d);
  }
  d.tell(to, name);
}
template <class Make>
void group_grid(report& to, char const* name, Make make) {
  three_digests d;
  for (index_t const experts : {8, 60, 64, 160, 256}) {
    rows<float> const z(experts, 1);
    std::vector<float> const bias = noise_of(4, static_cast<std::size_t>(experts), .1f);
    for (index_t const groups : {2, 4, 5, 8, 16})
      for (index_t const k : {1, 6, 8, 20})
        if (experts % groups == 0 && experts / groups >= 2 && k <= (groups + 1) / 2 * (experts / groups))
          both_paths(to, name, make(row_view<float const>(bias), k, groups, (groups + 1) / 2), z, d);
  }
  d.tell(to, name);
}

}  // namespace

void route_grid(report& to) {
  using bias = row_view<float const>;
  grid<float>(to, "softmax", [](bias, index_t k) { return router{.select = top_k{k}}; });
  grid<float>(to, "softmax, renormalized",
              [](bias, index_t k) { return router{.select = top_k{k}, .weigh = renormalize{}}; });
  grid<float>(to, "sigmoid and bias, renormalized", [](bias b, index_t k) {
    return router{.score = sigmoid{}, .bias = correction_bias{b}, .select = top_k{k}, .weigh = renormalize{.scale = 2}};
  });
  grid<float>(to, "sqrt softplus and bias, p-norm", [](bias b, index_t k) {
    return router{.score = sqrt_softplus{}, .bias = correction_bias{b}, .select = top_k{k}, .weigh = p_norm{}};
  });
  grid<float>(to, "capped softmax",
              [](bias, index_t k) { return router{.score = chain{soft_cap{3.f}, softmax{}}, .select = top_k{k}}; });
  grid<float>(to, "logits, softmax over the chosen", [](bias, index_t k) {
    return router{.score = identity{}, .select = top_k{k}, .weigh = softmax_over_chosen{}};
  });
  grid<float>(to, "offset prior, a user's score", [](bias b, index_t k) {
    return router{.prior = logit_offset{b, .7f}, .score = cubed{}, .select = top_k{k}};
  });
  grid<bf16>(to, "bf16 softmax", [](bias, index_t k) { return router{.select = top_k{k}}; });
  grid<fp16>(to, "fp16 sigmoid and bias", [](bias b, index_t k) {
    return router{.score = sigmoid{}, .bias = correction_bias{b}, .select = top_k{k}};
  });
  group_grid(to, "sigmoid, groups by two",
             [](bias b, index_t k, index_t groups, index_t top) { return presets::deepseek_v3(b, k, groups, top); });
  group_grid(to, "softmax, groups by one",
             [](bias, index_t k, index_t groups, index_t top) { return presets::deepseek_v2(k, groups, top); });
}

}  // namespace levels
