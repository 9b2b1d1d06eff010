#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include <moeroute/moeroute.hpp>

#include "support/inputs.hpp"
#include "support/run.hpp"

using namespace moeroute;

namespace {

// A user's score whose rough form is off by all it may, in a direction that depends on the logit's bits.
template <int Stated>  // percent of the error that is stated
struct off {
  static constexpr float distance = 1e-3f, error = distance * Stated / 100;
  template <class V>
  V operator()(V x) const {
    return math::sigmoid(x);
  }
  template <class V>
  V approx(V x) const {
    using I = typename math::bits_of<V>::type;
    V const high = V(.999f * distance);
    return math::sigmoid(x) + math::where((math::as<I>(x) & I(1)) == I(0), high, -high);
  }
};

// Ids and weights without the scores of all experts, which would ask for exact keys.
struct choice {
  std::vector<index_t> ids;
  std::vector<float> weights;
};
template <class X, class R>
choice chosen(X const& x, R const& r, std::vector<float> const& z, index_t experts) {
  offset_t const tokens = static_cast<offset_t>(z.size()) / experts, k = r.select.experts_per_token();
  choice c{std::vector<index_t>(static_cast<std::size_t>(tokens * k), 77),
           std::vector<float>(static_cast<std::size_t>(tokens * k), -7)};
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(x, r, tokens, experts)), std::byte{0xff});
  route(x, r, batch<>{.logits = {z.data(), tokens, experts}},
        routing_view<>{{c.ids.data(), tokens, k}, {c.weights.data(), tokens, k}}, workspace(space));
  return c;
}
// Each row in a call of its own.
template <class R>
choice chosen_alone(R const& r, std::vector<float> const& z, index_t experts) {
  choice all;
  for (std::size_t at = 0; at < z.size(); at += static_cast<std::size_t>(experts)) {
    choice const one = chosen(serial{}, r, std::vector<float>(&z[at], &z[at] + experts), experts);
    all.ids.insert(all.ids.end(), one.ids.begin(), one.ids.end());
    all.weights.insert(all.weights.end(), one.weights.begin(), one.weights.end());
  }
  return all;
}
template <class R>
bool same(R const& r, std::vector<float> const& z, index_t experts) {
  choice const slow = chosen(row_by_row{serial{}}, r, z, experts);
  auto const as_slow = [&](choice const& c) { return c.ids == slow.ids && run::same_bits(c.weights, slow.weights); };
  return as_slow(chosen(serial{}, r, z, experts)) && as_slow(chosen_alone(r, z, experts));
}

// Rows that break routers, and rows whose keys lie nearer and nearer to each other.
std::vector<float> rows_for(index_t experts) {
  std::vector<float> z;
  auto const more = [&](auto const& row) { z.insert(z.end(), row.begin(), row.end()); };
  auto const n = static_cast<std::size_t>(experts);
  for (auto const& row : inputs::adversarial(n)) more(row);
  more(inputs::normal(n * 60, 9, 2));
  for (float scale : {.1f, 1e-2f, 1e-3f, 1e-4f, 1e-5f, 1e-6f})
    for (float about : {0.f, 2.f, -3.f, 12.f, -20.f}) {
      auto row = inputs::normal(n * 4, 5, scale);
      for (auto& x : row) x += about;
      more(row);
    }
  auto tied = inputs::normal(n * 20, 11);
  for (auto& x : tied) x = std::round(x * 8) / 8;
  more(tied);
  return z;
}

template <class Score>
auto grouped(row_view<float const> bias, index_t k, index_t groups) {
  return router{.score = Score{},
                .bias = correction_bias{bias},
                .select = group_limited_top_k<>{.k = k, .groups = groups, .top_groups = (groups + 1) / 2},
                .weigh = renormalize{.scale = 2.5f}};
}

}  // namespace

#if defined(MOEROUTE_SIMD)

TEST_CASE("promise P7 rough keys: ids and weights have the bits of the plain path, near keys, ties, NaN, infinities") {
  static_assert(simd::has_rough_keys<decltype(grouped<sigmoid>({}, 8, 8))>);
  static_assert(!simd::has_rough_keys<router<>> && !simd::has_rough_keys<decltype(grouped<sqrt_softplus>({}, 8, 8))>);
  static_assert(!simd::has_rough_keys<decltype(router{.score = sigmoid{}, .select = top_k{8}})>);  // ranks logits
  for (index_t experts : {64, 96, 160, 256, 416}) {
    auto const n = static_cast<std::size_t>(experts);
    std::vector<float> const z = rows_for(experts);
    std::vector<std::vector<float>> biases{inputs::normal(n, 4, .1f), std::vector<float>(n), inputs::normal(n, 6, 300)};
    for (float bad : {-infinity<float>, infinity<float>, not_a_number<float>, 1e30f, -1e30f}) {
      biases.push_back(inputs::normal(n, 4, 1e-3f));
      for (std::size_t e = 3; e < n; e += 7) biases.back()[e] = bad;
    }
    for (auto const& bias : biases) {
      row_view<float const> const b(bias);
      CAPTURE(experts);
      CAPTURE(bias[3]);
      for (index_t k : {1, 6, 8, 16, 17}) {
        CAPTURE(k);
        for (index_t groups : {1, 4, 8, 16}) {
          CAPTURE(groups);
          if (k > experts / 2) continue;
          CHECK(same(grouped<sigmoid>(b, k, groups), z, experts));
          CHECK(same(grouped<off<100>>(b, k, groups), z, experts));
        }
        CHECK(same(router{.score = off<100>{}, .bias = correction_bias{b}, .select = top_k{k}}, z, experts));
      }
    }
    CHECK(same(router{.score = off<100>{}, .select = group_limited_top_k<>{.k = 7, .groups = 8, .top_groups = 3}}, z,
               experts));
  }
}

TEST_CASE("rough keys: open groups few and many, with parts that tell a bound and without") {
  for (index_t experts : {128, 200, 256}) {
    std::vector<float> const z = rows_for(experts), bias = inputs::normal(static_cast<std::size_t>(experts), 4, .1f);
    for (index_t top : {1, 2, 3, 4, 5, 8})
      for (index_t k : {1, 2, 5, 8, 16}) {
        CAPTURE(top);
        CAPTURE(k);
        auto r = grouped<sigmoid>(bias, k, 8);
        r.select.top_groups = top;
        if (k <= top * (experts / 8)) CHECK(same(r, z, experts));
      }
  }
}

TEST_CASE("rough keys: an error that is not stated changes ids, so the margin is what keeps them") {
  std::vector<float> const z = inputs::normal(256 * 400, 3), bias = inputs::normal(256, 4, .1f);
  CHECK(same(grouped<off<100>>(bias, 8, 8), z, 256));
  CHECK_FALSE(same(grouped<off<1>>(bias, 8, 8), z, 256));
  CHECK(same(router{.score = off<100>{}, .bias = correction_bias{bias}, .select = top_k{8}}, z, 256));
  CHECK_FALSE(same(router{.score = off<1>{}, .bias = correction_bias{bias}, .select = top_k{8}}, z, 256));
}

// Bit q: row q of four is not served.
unsigned doubt_of(std::vector<float> const& z, std::vector<float> const& bias) {
  std::vector<float> w(32);
  std::vector<index_t> ids(32);
  auto const r = grouped<sigmoid>(bias, 8, 8);
  route_row<std::remove_const_t<decltype(r)>, float, float, index_t, float> const body{
      r, batch<>{.logits = {z.data(), 4, 256}}, routing_view<>{{ids.data(), 4, 8}, {w.data(), 4, 8}}};
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, 4, 256)));
  offset_t const token[] = {0, 1, 2, 3};
  return simd::route_by_rough_keys(body, token, simd::rows_at_once, aligned_scratch(workspace(space)));
}
// Of ordinary rows, but the second has one logit for all experts.
unsigned doubt_with(std::vector<float> const& bias) {
  std::vector<float> z = inputs::normal(256 * 4, 3);
  for (std::size_t e = 0; e < 256; ++e) z[256 + e] = .5f;
  return doubt_of(z, bias);
}

TEST_CASE("rough keys: sorted rows are served, where one group has all of the best") {
  std::vector<float> up = inputs::normal(256 * 4, 3);
  for (auto row = up.begin(); row != up.end(); row += 256) std::sort(row, row + 256);
  CHECK(doubt_of(up, std::vector<float>(256)) == 0);
  CHECK(doubt_of({up.rbegin(), up.rend()}, std::vector<float>(256)) == 0);
}

TEST_CASE("rough keys: ordinary rows are served, rows in doubt and those of large keys are handed back") {
  constexpr unsigned all = (1u << simd::rows_at_once) - 1;
  static_assert(simd::rough_margin<sigmoid> > 2 * sigmoid::error && simd::rough_margin<sigmoid> < 3 * sigmoid::error);
  CHECK(doubt_with(std::vector<float>(256)) == (2u & all));
  CHECK(doubt_with(inputs::normal(256, 4, 1e-6f)) == (2u & all));
  for (float away :
       {-simd::largest_key, -1e30f, -infinity<float>, not_a_number<float>}) {  // experts that are never chosen
    std::vector<float> bias(256);
    bias[255] = away;
    CHECK(doubt_with(bias) == (2u & all));
  }
  for (float large : {simd::largest_key + 1, 1e30f, infinity<float>}) {
    std::vector<float> bias(256);
    bias[255] = large;
    CHECK(doubt_with(bias) == all);
    CHECK(doubt_with(std::vector<float>(256, large)) == all);
    CHECK(doubt_with(std::vector<float>(256, -large)) == all);
  }
}

#endif
