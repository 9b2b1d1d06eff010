#include <doctest/doctest.h>

#include <vector>

#include <moeroute/route.hpp>
#include <moeroute/select/hash.hpp>

#include "support/inputs.hpp"
#include "support/run.hpp"
#include "support/weighs.hpp"

using namespace moeroute;

namespace {
// A user's weights: of one number at a time, and of any V.
struct halved {
  void operator()(row_view<float> w) const {
    for (auto& x : w) x = x > .25f ? x / 2 : x;
  }
  void operator()(row_view<double> w) const {
    for (auto& x : w) x = x > .25 ? x / 2 : x;
  }
};
struct halved_side_by_side {
  static constexpr bool takes_vectors = true;
  template <class V>
  void operator()(row_view<V> w) const {
    for (auto& x : w) x = math::where(x > V(.25f), x / V(2), x);
  }
};

// Ids, weights and scores of all rows, gaps included, as bits.
template <class Id, class W, class X, class R>
std::vector<std::int64_t> routed(X const& x, R const& r, std::vector<float> const& z, offset_t tokens, index_t experts,
                                 offset_t gap) {
  offset_t const k = r.select.experts_per_token(), stride = k + gap, width = experts + gap;
  std::vector<Id> ids(static_cast<std::size_t>(tokens * stride), Id(7));
  std::vector<W> weights(ids.size(), W(7)), scores(static_cast<std::size_t>(tokens * width), W(7));
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(x, r, tokens, experts)));
  route(x, r, batch<>{.logits = {z.data(), tokens, experts, width}},
        routing_view<Id, W>{{ids.data(), tokens, k, stride},
                            {weights.data(), tokens, k, stride},
                            {scores.data(), tokens, experts, width}},
        workspace(space));
  std::vector<std::int64_t> all(ids.begin(), ids.end());
  for (auto const* list : {&weights, &scores})
    for (W const w : *list) all.push_back(math::as<std::int64_t>(static_cast<double>(w)));
  return all;
}
template <class Weigh>
void check_weights(Weigh const& weigh) {
  for (index_t experts : {3, 8, 11, 16}) {
    std::vector<float> z;
    for (auto const& row : inputs::adversarial(inputs::normal(static_cast<std::size_t>(experts), 9)))
      for (int twice = 0; twice < 3; ++twice) z.insert(z.end(), row.begin(), row.end());
    std::vector<float> const more = inputs::normal(static_cast<std::size_t>(70 * (experts + 3)), 10);
    z.insert(z.end(), more.begin(), more.end());
    for (index_t k : {1, 2, 3, 5})
      for (offset_t gap : {0, 3})
        if (k <= experts) {
          offset_t const tokens = static_cast<offset_t>(z.size()) / (experts + gap);
          auto const same = [&](auto const& r) {
            CHECK(routed<index_t, float>(serial{}, r, z, tokens, experts, gap) ==
                  routed<index_t, float>(row_by_row{serial{}}, r, z, tokens, experts, gap));
            CHECK(routed<std::int64_t, double>(serial{}, r, z, tokens, experts, gap) ==
                  routed<std::int64_t, double>(row_by_row{serial{}}, r, z, tokens, experts, gap));
          };
          same(router{.score = softmax{}, .select = top_k{k}, .weigh = weigh});
          same(router{.score = identity{}, .select = top_k{k}, .weigh = weigh});
        }
  }
}
}  // namespace

TEST_CASE(
    "across tokens: weights of all policies and of a user's, side by side and one by one, have the bits of a row") {
  every_weigh([](auto const& w) { check_weights(w); });
  check_weights(on_input{sigmoid_of_chosen{.scale = 2}});
  check_weights(constant_weight{});
  check_weights(halved{});
  check_weights(halved_side_by_side{});
}

TEST_CASE("promise P7 across tokens: any number of tokens, strides, padding rows, a bias that differs by modality") {
  std::vector<float> const z = inputs::normal(40 * 16, 5), table = inputs::normal(2 * 16, 6, .5f);
  for (index_t experts : {4, 7, 8, 13, 16})
    for (offset_t tokens : {1, 2, 15, 16, 17, 33, 40}) {
      auto const n = static_cast<std::size_t>(tokens);
      std::vector<index_t> modality(n);
      std::vector<std::uint8_t> valid(n);
      for (std::size_t t = 0; t < n; ++t) modality[t] = t > 20 ? 1 : 0, valid[t] = t % 7 != 3;
      router const r{.score = sigmoid{},
                     .bias = modality_bias<>{{table.data(), 2, experts}},
                     .select = top_k{3},
                     .weigh = renormalize{}};
      auto const go = [&](auto x) {
        std::vector<index_t> ids(3 * n, -7);
        std::vector<float> weights(3 * n, -7);
        batch<> const in{.logits = {z.data(), tokens, experts, 16}, .modality = modality, .valid = valid};
        std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(x, r, tokens, experts)));
        route(x, r, in, routing_view<>{{ids.data(), tokens, 3}, {weights.data(), tokens, 3}}, workspace(space));
        for (float w : weights) ids.push_back(math::as<index_t>(w));
        return ids;
      };
      CHECK(go(serial{}) == go(row_by_row{serial{}}));
    }
}
