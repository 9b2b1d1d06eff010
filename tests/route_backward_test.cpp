// Decides whether the gradient of a route is the derivative of its weights.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/moeroute.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

TEST_CASE(
    "promise P14: route_backward matches finite differences in double, for every differentiable "
    "router") {
  index_t const experts = 12;
  std::vector<float> const bias = inputs::normal(12, 4, .3f);
  std::vector<float> const noise = inputs::normal(12 * 3, 16);
  std::vector<double> const logits(noise.begin(), noise.end());
  auto const check = [&](auto const& r) {
    auto const out = run::route(serial{}, r, logits, experts);
    std::vector<double> d_weights(out.weights.size());
    for (std::size_t i = 0; i < d_weights.size(); ++i) d_weights[i] = std::sin(1. + static_cast<double>(i));
    auto const got = run::route_backward(serial{}, r, logits, experts, out.ids, d_weights);
    auto const want = reference::gradient(
        [&](reference::row const& z) {
          auto const moved = run::route(serial{}, r, std::vector<double>(z), experts);
          REQUIRE(moved.ids == out.ids);
          double sum = 0;
          for (std::size_t i = 0; i < d_weights.size(); ++i) sum += d_weights[i] * moved.weights[i];
          return sum;
        },
        logits);
    double norm = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(std::fabs(got[i] - want[i]) < 2e-7);
      norm += std::fabs(got[i]);
    }
    CHECK(norm > 1e-3);
  };
  correction_bias<float> const b{row_view<float const>(bias)};
  check(router{.select = top_k{3}});
  check(router{.select = top_k{3}, .weigh = renormalize{.scale = 2}});
  check(router{.select = top_k{3}, .weigh = renormalize{.epsilon = .1f}});
  check(router{.select = top_k{3}, .weigh = renormalize{.epsilon = 0, .floor = 10}});
  check(router{.select = top_k{1}, .weigh = renormalize{.keep_single = true}});
  check(router{.select = top_k{3}, .weigh = p_norm{.p = 3}});
  check(router{.select = top_k{3}, .weigh = p_norm{.p = 0, .scale = 3}});
  check(router{.score = sigmoid{}, .bias = b, .select = top_k{3}, .weigh = renormalize{.scale = 2.5f}});
  check(router{.score = sigmoid{},
               .bias = b,
               .select = group_limited_top_k{.k = 3, .groups = 3, .top_groups = 2},
               .weigh = p_norm{}});
  check(router{.score = sqrt_softplus{}, .select = top_k{3}, .weigh = renormalize{}});
  check(router{.score = relu{}, .select = top_k{4}});
  check(router{.score = identity{}, .select = top_k{3}, .weigh = softmax_over_chosen{.scale = 2}});
  check(router{.score = identity{}, .select = top_k{3}, .weigh = sigmoid_of_chosen{.scale = 2}});
  check(router{.score = identity{}, .select = magnitude_top_k{3}, .weigh = p_norm{.p = 1}});
  check(router{.score = chain{soft_cap{2.f}, softmax{}}, .select = top_k{3}});
  check(router{.score = chain{temperature{.7f}, sigmoid{}}, .select = top_k{3}, .weigh = renormalize{}});
  check(router{.score = chain{temperature{.7f}, chain{soft_cap{2.f}, softmax{}}}, .bias = b, .select = top_k{3}});
}

TEST_CASE(
    "promise P14: one expert with renormalization gives the router no gradient, and validation "
    "says so") {
  auto const r = router{.select = top_k{1}, .weigh = renormalize{.epsilon = 0}};
  std::vector<float> const logits = inputs::normal(8 * 4, 17);
  auto const out = run::route(serial{}, r, logits, 8);
  for (float g : run::route_backward(serial{}, r, logits, 8, out.ids, std::vector<float>(4, 1.f)))
    CHECK(std::fabs(g) < 1e-7f);
  status const s = validate_for_training(r, 8);
  CHECK_FALSE(s.ok());
  CHECK(std::string(message(s).c_str()).find("no task gradient") != std::string::npos);
  CHECK(validate_for_training(router{.select = top_k{2}, .weigh = renormalize{}}, 8).ok());
  CHECK(validate_for_training(router{.select = top_k{1}}, 8).ok());
}

TEST_CASE("route_backward: accumulates when asked, and sums the gradients of repeated ids") {
  std::vector<double> const logits{.3, -.2, .9, .1};
  auto const r = router{.select = top_k{2}};
  std::vector<index_t> const ids{2, 2};
  std::vector<double> const d{1, 2}, once{3, 0};
  auto const twice = run::route_backward(serial{}, r, logits, 4, ids, d);
  auto const single = run::route_backward(serial{}, r, logits, 4, std::vector<index_t>{2, no_expert}, once);
  for (std::size_t e = 0; e < 4; ++e) CHECK(twice[e] == doctest::Approx(single[e]));
  std::vector<double> grad(4, 5.);
  std::vector<std::byte> space(4096);
  route_backward(serial{}, r, batch<double>{.logits = {logits.data(), 1, 4}},
                 matrix_view<index_t const>(ids.data(), 1, 2), matrix_view<double const>(d.data(), 1, 2),
                 matrix_view<double>(grad.data(), 1, 4), workspace(space), true);
  for (std::size_t e = 0; e < 4; ++e) CHECK(grad[e] == doctest::Approx(5 + twice[e]));
}

namespace {
struct log_of_logit {  // a score of -inf for an open expert
  template <class V>
  V operator()(V x) const {
    return math::where(x > V(0), math::log(x), V(-infinity<math::scalar_t<V>>));
  }
  template <class V>
  V derivative(V x, V s) const {
    return s > V(-1e30f) ? V(1) / x : V(0);
  }
};
}  // namespace

TEST_CASE("route_backward: scores kept in d_logits change no bit, against the ways that keep none") {
  for (index_t const experts : {16, 48, 20}) {
    auto logits = inputs::normal(static_cast<std::size_t>(experts) * 24, 9, 2.f);
    for (std::size_t i = 0; i < logits.size(); i += 13) logits[i] = i % 2 == 0 ? -infinity<float> : not_a_number<float>;
    for (std::size_t e = 0; e < static_cast<std::size_t>(experts); ++e) logits[e] = -infinity<float>;
    logits[static_cast<std::size_t>(experts) + 3] = infinity<float>;
    auto const check = [&](auto const& r) {
      auto const out = run::route(serial{}, r, logits, experts);
      auto const d = inputs::normal(out.weights.size(), 10);
      auto const got = run::route_backward(serial{}, r, logits, experts, out.ids, d);
      CHECK(run::same_bits(got, run::route_backward(lockstep{4}, r, logits, experts, out.ids, d)));
      std::vector<float> added(logits.size());  // 0 + d: one lane, no scores kept
      auto const k = static_cast<offset_t>(r.select.experts_per_token());
      std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, 24, experts)));
      route_backward(serial{}, r, batch<>{.logits = {logits.data(), 24, experts}},
                     matrix_view<index_t const>(out.ids.data(), 24, k), matrix_view<float const>(d.data(), 24, k),
                     matrix_view<float>(added.data(), 24, experts), workspace(space), true);
      for (std::size_t i = 0; i < got.size(); ++i) CHECK((got[i] == added[i] || (is_nan(got[i]) && is_nan(added[i]))));
    };
    check(router{.select = top_k{3}});
    check(router{.select = top_k{3}, .weigh = renormalize{}});
    check(router{.score = sigmoid{}, .select = top_k{3}, .weigh = renormalize{}});
    check(router{.score = sqrt_softplus{}, .select = top_k{3}});
    check(router{.score = identity{}, .select = top_k{3}, .weigh = softmax_over_chosen{}});
    check(router{.score = chain{soft_cap{3.f}, softmax{}}, .select = top_k{3}});
    check(router{.score = log_of_logit{}, .select = top_k{3}, .weigh = softmax_over_chosen{}});
  }
}
