// Decides whether the pair of GShard is the best and the best of the rest, and the second follows its law of chance.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/route.hpp>
#include <moeroute/select/second_of_rest.hpp>

using namespace moeroute;

namespace {
template <class X, class R>
std::vector<index_t> pair_of(X const& x, R const& r, std::vector<float> const& logits, offset_t tokens,
                             index_t experts) {
  std::vector<index_t> ids(static_cast<std::size_t>(2 * tokens));
  std::vector<float> weights(ids.size());
  std::vector<std::byte> w(static_cast<std::size_t>(route_workspace_bytes(x, r, tokens, experts)));
  route(x, r, {.logits = {logits.data(), tokens, experts}},
        routing_view<>{{ids.data(), tokens, 2}, {weights.data(), tokens, 2}}, w);
  return ids;
}
}  // namespace

TEST_CASE("P31: without noise the pair is the top two; with given noise the second is the best of logits + noise") {
  std::vector<float> const logits{1, 4, 3, 2, -INFINITY, 0, -INFINITY, -INFINITY, NAN, 2, 2, 1},
      noise{9, 9, 0, 2, 9, 9, 9, 9, 0, 0, 0, 5};
  auto const plain = pair_of(serial{}, router{.select = second_of_rest<>{}}, logits, 3, 4);
  CHECK(plain == std::vector<index_t>{1, 2, 1, 0, 1, 2});
  second_of_rest const noisy{given_noise<float>{{noise.data(), 3, 4}}};
  std::vector<index_t> const want{1, 0, 1, 0, 1, 3};
  CHECK(pair_of(serial{}, router{.select = noisy}, logits, 3, 4) == want);
  CHECK(pair_of(lockstep{3}, router{.select = noisy}, logits, 3, 4) == want);
}

TEST_CASE("P31: Gumbel noise draws the second in proportion to exp(z) among the rest") {
  offset_t const n = 20000;
  std::vector<float> logits;
  for (offset_t t = 0; t < n; ++t) logits.insert(logits.end(), {3.f, 1.f, 0.f, 2.f});
  auto const ids = pair_of(threads{2}, router{.select = second_of_rest{drawn_gumbel{}}}, logits, n, 4);
  double count[4] = {};
  for (std::size_t t = 0; t < static_cast<std::size_t>(n); ++t) {
    CHECK(ids[2 * t] == 0);
    ++count[ids[2 * t + 1]];
  }
  double const sum = std::exp(1.) + 1 + std::exp(2.);
  double const p[4] = {0, std::exp(1.) / sum, 1 / sum, std::exp(2.) / sum};
  for (int e = 0; e < 4; ++e)  // five standard deviations
    CHECK(std::fabs(count[e] / static_cast<double>(n) - p[e]) <
          5 * std::sqrt(p[e] * (1 - p[e]) / static_cast<double>(n)) + 1e-12);
}

TEST_CASE("P31: the second choice stays with probability min(1, g2 / threshold), the first always; P20") {
  offset_t const n = 20000;
  for (float const threshold : {0.5f, 0.2f})
    for (float const g2 : {0.f, 0.1f, 0.3f, 0.5f}) {
      std::vector<index_t> ids;
      std::vector<float> weights;
      std::vector<offset_t> names;
      for (offset_t t = 0; t < n; ++t)
        ids.insert(ids.end(), {3, 1}), weights.insert(weights.end(), {1 - g2, g2}), names.push_back(n - 1 - t);
      auto copy = ids;
      auto copied = weights;
      thin_choices(threads{2}, {.threshold = threshold}, matrix_view<index_t>(ids.data(), n, 2),
                   matrix_view<float>(weights.data(), n, 2));
      thin_choices(serial{}, {.threshold = threshold}, matrix_view<index_t>(copy.data(), n, 2),
                   matrix_view<float>(copied.data(), n, 2), names);
      double kept = 0;
      for (std::size_t t = 0; t < static_cast<std::size_t>(n); ++t) {
        REQUIRE(ids[2 * t] == 3);
        REQUIRE(
            (ids[2 * t + 1] == 1 ? weights[2 * t + 1] == g2 : ids[2 * t + 1] == no_expert && weights[2 * t + 1] == 0));
        REQUIRE(ids[2 * t + 1] == copy[2 * (static_cast<std::size_t>(n) - 1 - t) + 1]);  // by name, not by place
        kept += ids[2 * t + 1] == 1;
      }
      double const p = std::min(1., static_cast<double>(g2) / static_cast<double>(threshold));
      CHECK(std::fabs(kept / static_cast<double>(n) - p) <=
            5 * std::sqrt(p * (1 - p) / static_cast<double>(n)) + 1e-12);
    }
}
