#include <doctest/doctest.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <thread>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/moeroute.hpp>

#include "support/allocations.hpp"
#include "support/inputs.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

namespace {

std::vector<float> flatten(std::vector<std::vector<float>> const& rows) {
  std::vector<float> x;
  for (auto const& r : rows) x.insert(x.end(), r.begin(), r.end());
  return x;
}

// Calls f with a router of every kind that fits `experts`, and a name.
template <class F>
void for_each_router(index_t experts, row_view<float const> bias, F f) {
  for (index_t k : {index_t{1}, index_t{2}, index_t{6}, experts}) {
    if (k > experts) continue;
    f("softmax keep", router{.select = top_k{k}});
    f("softmax renormalize", router{.select = top_k{k}, .weigh = renormalize{}});
    f("softmax bias",
      router{.bias = correction_bias{bias}, .select = top_k{k}, .weigh = renormalize{.epsilon = 0, .floor = 1e-12f}});
    f("top-k softmax", router{.score = identity{}, .select = top_k{k}, .weigh = softmax_over_chosen{}});
    f("sigmoid bias",
      router{
          .score = sigmoid{}, .bias = correction_bias{bias}, .select = top_k{k}, .weigh = renormalize{.scale = 2.5f}});
    f("sqrt softplus",
      router{.score = sqrt_softplus{}, .bias = correction_bias{bias}, .select = top_k{k}, .weigh = p_norm{}});
    f("capped", router{.score = chain{soft_cap{3.f}, softmax{}}, .select = top_k{k}});
    f("relu", router{.score = relu{}, .select = top_k{k}});
    f("magnitude", router{.score = identity{}, .select = magnitude_top_k{k}, .weigh = sigmoid_of_chosen{}});
    if (experts % 4 == 0 && k <= experts / 2) {
      f("groups by best", router{.select = group_limited_top_k<best_of_group>{.k = k, .groups = 4, .top_groups = 2}});
      f("groups by share", router{.score = sigmoid{},
                                  .bias = correction_bias{bias},
                                  .select = group_limited_top_k<sum_of_share>{.k = k, .groups = 4, .top_groups = 2}});
      if (experts >= 8)
        f("groups by two", router{.score = sigmoid{},
                                  .bias = correction_bias{bias},
                                  .select = group_limited_top_k<>{.k = k, .groups = 4, .top_groups = 2},
                                  .weigh = renormalize{}});
    }
  }
}

}  // namespace

TEST_CASE("promise P1 P3: ids in range and distinct, weights finite, over adversarial rows") {
  for (index_t experts : {1, 2, 3, 5, 7, 60, 72, 257}) {
    std::vector<float> const bias = inputs::normal(static_cast<std::size_t>(experts), 4, .1f);
    std::vector<float> const logits = flatten(inputs::adversarial(static_cast<std::size_t>(experts)));
    for_each_router(experts, row_view<float const>(bias), [&](char const* name, auto const& r) {
      CAPTURE(name);
      auto const out = run::route(serial{}, r, logits, experts);
      for (std::size_t t = 0; t < out.ids.size() / static_cast<std::size_t>(out.k); ++t) {
        std::set<index_t> seen;
        for (std::size_t j = 0; j < static_cast<std::size_t>(out.k); ++j) {
          index_t const id = out.id(t, j);
          REQUIRE(id >= 0);
          REQUIRE(id < experts);
          REQUIRE(seen.insert(id).second);
          bool const raw = std::string(name) == "top-k softmax" || std::string(name) == "relu" ||
                           std::string(name) == "sqrt softplus";
          float const w = out.weight(t, j);
          if (!raw) REQUIRE(std::isfinite(w));
        }
      }
    });
  }
}

TEST_CASE("promise P3: NaN ranks last, and the row still routes among its finite experts") {
  float const nan = not_a_number<float>;
  std::vector<float> const z{nan, 1, 2, nan, 0, -infinity<float>};
  auto const out = run::route(serial{}, router{.select = top_k{6}}, z, 6);
  CHECK(out.ids == std::vector<index_t>{2, 1, 4, 5, 0, 3});
  double const total = std::exp(1.) + std::exp(2.) + 1;
  CHECK(out.weight(0, 0) == doctest::Approx(std::exp(2.) / total));
  CHECK(out.weight(0, 3) == 0.f);
  CHECK(out.weight(0, 4) == 0.f);

  auto const propagated = run::route(serial{}, router{.select = top_k{2}}, z, 6, {.nan = nan_rule::propagate});
  CHECK(propagated.ids == std::vector<index_t>{2, 1});
  CHECK(std::isnan(propagated.weights[0]));
  auto const dropped = run::route(serial{}, router{.select = top_k{2}}, z, 6, {.nan = nan_rule::drop_row});
  CHECK(dropped.ids == std::vector<index_t>{no_expert, no_expert});
  CHECK(dropped.weights == std::vector<float>{0, 0});

  std::vector<float> bias(6, 100.f);
  auto const biased =
      run::route(serial{}, router{.score = sigmoid{}, .bias = correction_bias{bias}, .select = top_k{6}}, z, 6);
  CHECK(biased.ids == std::vector<index_t>{2, 1, 4, 5, 0, 3});  // a bias opens nobody
}

TEST_CASE("promise P2: +inf experts come first and share the mass; underflowing probabilities still rank") {
  float const inf = infinity<float>;
  auto const out = run::route(serial{}, router{.select = top_k{3}}, std::vector<float>{0, inf, 5, inf}, 4);
  CHECK(out.ids == std::vector<index_t>{1, 3, 2});
  CHECK(out.weights == std::vector<float>{.5f, .5f, 0.f});
  auto const deep = run::route(serial{}, router{.select = top_k{3}}, std::vector<float>{500, -300, -200, -400}, 4);
  CHECK(deep.ids == std::vector<index_t>{0, 2, 1});
}

TEST_CASE("promise P2 P4: ids and weights of every router equal the double oracle") {
  index_t const experts = 64;
  std::vector<float> const bias = inputs::normal(64, 5, .2f), logits = inputs::normal(64 * 200, 6, 2);
  auto const check = [&](auto const& r, auto oracle) {
    auto const out = run::route(serial{}, r, logits, experts);
    for (std::size_t t = 0; t < 200; ++t) {
      reference::row z(logits.begin() + static_cast<std::ptrdiff_t>(64 * t),
                       logits.begin() + static_cast<std::ptrdiff_t>(64 * t + 64));
      reference::choice const want = oracle(z);
      for (std::size_t j = 0; j < want.id.size(); ++j) {
        REQUIRE(out.id(t, j) == want.id[j]);
        REQUIRE(std::fabs(static_cast<double>(out.weight(t, j)) - want.weight[j]) <=
                4e-6 * std::fabs(want.weight[j]) + 1e-30);
      }
    }
  };
  auto const plus_bias = [&](reference::row s) {
    for (std::size_t e = 0; e < s.size(); ++e) s[e] += static_cast<double>(bias[e]);
    return s;
  };
  check(router{.select = top_k{6}}, [](auto z) { return reference::top_k(z, reference::softmax(z), 6); });
  check(router{.select = top_k{6}, .weigh = renormalize{.epsilon = 0}}, [](auto z) {
    auto c = reference::top_k(z, reference::softmax(z), 6);
    reference::renormalize(c.weight, 1, 0);
    return c;
  });
  check(router{.score = identity{}, .select = top_k{6}, .weigh = softmax_over_chosen{}}, [](auto z) {
    auto c = reference::top_k(z, z, 6);
    c.weight = reference::softmax(c.weight);
    return c;
  });
  check(router{.score = sigmoid{},
               .bias = correction_bias{bias},
               .select = group_limited_top_k{.k = 6, .groups = 8, .top_groups = 3},
               .weigh = renormalize{.scale = 2.5f}},
        [&](auto z) {
          auto const s = reference::map(z, reference::sigmoid);
          auto c = reference::top_k(reference::limit_groups(plus_bias(s), 8, 3, 2), s, 6);
          reference::renormalize(c.weight, 2.5, 1e-20);
          return c;
        });
  check(router{.select = group_limited_top_k<best_of_group>{.k = 6, .groups = 8, .top_groups = 3},
               .weigh = keep_scores{.scale = 16}},
        [](auto z) {
          auto const s = reference::softmax(z);
          auto c = reference::top_k(reference::limit_groups(s, 8, 3, 1), s, 6);
          for (auto& w : c.weight) w *= 16;
          return c;
        });
  check(router{.score = sqrt_softplus{}, .bias = correction_bias{bias}, .select = top_k{6}, .weigh = renormalize{}},
        [&](auto z) {
          auto const s = reference::map(z, [](double x) { return std::sqrt(reference::softplus(x)); });
          auto c = reference::top_k(plus_bias(s), s, 6);
          reference::renormalize(c.weight, 1, 1e-20);
          return c;
        });
  check(router{.score = chain{soft_cap{2.f}, softmax{}}, .select = top_k{6}}, [](auto z) {
    return reference::top_k(z, reference::softmax(reference::map(z, [](double x) { return 2 * std::tanh(x / 2); })), 6);
  });
  check(router{.score = chain{temperature{.5f}, softmax{}},
               .bias = correction_bias{bias},
               .select = top_k{6},
               .weigh = p_norm{.p = 3}},
        [&](auto z) {
          auto const s = reference::softmax(reference::map(z, [](double x) { return x / .5; }));
          auto c = reference::top_k(plus_bias(s), s, 6);
          double n = 0;
          for (double w : c.weight) n += w * w * w;
          for (double& w : c.weight) w /= std::cbrt(n);
          return c;
        });
  check(router{.score = identity{}, .select = magnitude_top_k{6}, .weigh = keep_scores{}},
        [](auto z) { return reference::top_k(reference::map(z, [](double x) { return std::fabs(x); }), z, 6); });
}

TEST_CASE("promise P4: the weight comes from the unbiased score, never from (score + bias) - bias") {
  std::vector<float> const z{-18.42f, 3, 4, 5}, bias{12, 0, 0, 0};  // sigmoid(-18.42) = 1e-8
  auto const out =
      run::route(serial{}, router{.score = sigmoid{}, .bias = correction_bias{bias}, .select = top_k{2}}, z, 4);
  CHECK(out.id(0, 0) == 0);
  CHECK(out.weight(0, 0) == doctest::Approx(reference::sigmoid(-18.42)).epsilon(1e-6));
  CHECK(out.weight(0, 0) > 0.f);
}

TEST_CASE("promise P5: renormalized rows sum to the scale, applied once") {
  std::vector<float> const logits = inputs::normal(128 * 50, 8, 3);
  for (index_t k : {1, 2, 8, 128})
    for (float scale : {1.f, 2.5f}) {
      auto const out = run::route(
          serial{}, router{.score = sigmoid{}, .select = top_k{k}, .weigh = renormalize{.scale = scale}}, logits, 128);
      for (std::size_t t = 0; t < 50; ++t) {
        double sum = 0;
        for (std::size_t j = 0; j < static_cast<std::size_t>(k); ++j) sum += static_cast<double>(out.weight(t, j));
        CHECK(std::fabs(sum - static_cast<double>(scale)) <=
              static_cast<double>(k + 2) * 6e-8 * static_cast<double>(scale));
      }
    }
}

TEST_CASE("promise P6: adding a constant to all logits changes nothing under softmax") {
  std::vector<float> logits = inputs::normal(64 * 40, 9);
  for (auto& x : logits) x = std::round(x * 64) / 64;  // the shift is exact
  auto const r = router{.select = top_k{6}, .weigh = renormalize{}};
  auto const before = run::route(serial{}, r, logits, 64);
  for (float shift : {-100.f, -7.f, 64.f}) {
    std::vector<float> moved = logits;
    for (auto& x : moved) x += shift;
    auto const after = run::route(serial{}, r, moved, 64);
    CHECK(after.ids == before.ids);
    CHECK(run::same_bits(after.weights, before.weights));
  }
}

TEST_CASE("promise P7: serial, threads and lockstep of 2, 3, 4, 8, 32 lanes give the same bits, 20 runs alike") {
  for (index_t experts : {1, 5, 33, 64}) {
    std::vector<float> const bias = inputs::normal(static_cast<std::size_t>(experts), 4, .1f);
    std::vector<float> const logits = flatten(inputs::adversarial(static_cast<std::size_t>(experts)));
    for_each_router(experts, row_view<float const>(bias), [&](char const* name, auto const& r) {
      CAPTURE(name);
      auto const want = run::route(serial{}, r, logits, experts);
      std::vector<float> const d_weights = inputs::normal(want.weights.size(), 3);
      auto const d_want = run::route_backward(serial{}, r, logits, experts, want.ids, d_weights);
      auto const same = [&](auto const& x) {
        auto const got = run::route(x, r, logits, experts);
        REQUIRE(got.ids == want.ids);
        REQUIRE(run::same_bits(got.weights, want.weights));
        REQUIRE(run::same_bits(got.scores, want.scores));
        REQUIRE(run::same_bits(run::route_backward(x, r, logits, experts, want.ids, d_weights), d_want));
      };
      for (index_t lanes : {2, 3, 4, 8, 32}) same(lockstep{lanes});
    });
  }
  std::vector<float> const logits = inputs::normal(256 * 16, 2);
  auto const first = run::route(threads{2}, router{.select = top_k{8}}, logits, 256);
  CHECK(run::same_bits(run::route(serial{}, router{.select = top_k{8}}, logits, 256).weights, first.weights));
  thread_team const team(2);
  CHECK(run::same_bits(run::route(team, router{.select = top_k{8}}, logits, 256).weights, first.weights));
  for (int i = 0; i < 20; ++i)
    CHECK(run::same_bits(run::route(threads{2}, router{.select = top_k{8}}, logits, 256).weights, first.weights));
}

TEST_CASE("promise P8: a row alone, in any batch, at any position, has the same bits") {
  std::vector<float> const bias = inputs::normal(64, 4, .1f), logits = inputs::normal(64 * 30, 11);
  auto const r = presets::deepseek_v3(row_view<float const>(bias), 6, 8, 3);
  auto const whole = run::route(serial{}, r, logits, 64);
  std::vector<std::size_t> order(30);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  std::vector<float> shuffled;
  for (std::size_t t : order)
    shuffled.insert(shuffled.end(), logits.begin() + static_cast<std::ptrdiff_t>(64 * t),
                    logits.begin() + static_cast<std::ptrdiff_t>(64 * t + 64));
  auto const moved = run::route(threads{3}, r, shuffled, 64);
  for (std::size_t i = 0; i < 30; ++i) {
    std::vector<float> const alone(shuffled.begin() + static_cast<std::ptrdiff_t>(64 * i),
                                   shuffled.begin() + static_cast<std::ptrdiff_t>(64 * i + 64));
    auto const single = run::route(serial{}, r, alone, 64);
    for (std::size_t j = 0; j < 6; ++j) {
      CHECK(moved.id(i, j) == whole.id(order[i], j));
      CHECK(moved.weight(i, j) == whole.weight(order[i], j));
      CHECK(single.weight(0, j) == whole.weight(order[i], j));
    }
  }
}

TEST_CASE("promise P8: permuting the experts permutes the ids (rows without ties)") {
  std::vector<float> const logits = inputs::normal(32 * 20, 12);
  std::vector<std::size_t> place(32);
  std::iota(place.begin(), place.end(), std::size_t{0});
  std::shuffle(place.begin(), place.end(), std::mt19937(2));
  std::vector<float> moved(logits.size());
  for (std::size_t t = 0; t < 20; ++t)
    for (std::size_t e = 0; e < 32; ++e) moved[32 * t + place[e]] = logits[32 * t + e];
  auto const a = run::route(serial{}, router{.select = top_k{5}}, logits, 32),
             b = run::route(serial{}, router{.select = top_k{5}}, moved, 32);
  for (std::size_t i = 0; i < a.ids.size(); ++i)
    CHECK(b.ids[i] == static_cast<index_t>(place[static_cast<std::size_t>(a.ids[i])]));
  CHECK(run::same_bits(a.weights, b.weights));  // the exact sum does not know the order
}

TEST_CASE("promise P12: logits beyond 2^31 elements, through a stride that repeats one row") {
  std::vector<float> const row = inputs::normal(4096, 14);
  offset_t const tokens = offset_t{1} << 20;  // 2^32 elements
  auto const r = router{.select = top_k{2}};
  std::vector<index_t> ids(2);
  std::vector<float> weights(2);
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, tokens, 4096)));
  batch<> const in{.logits = {row.data(), tokens, 4096, 0}};
  routing_view<index_t, float> const out{{ids.data(), tokens, 2, 2}, {weights.data(), tokens, 2, 2}};
  // Only the last row runs: its offsets are what is tested, and they lie past 2^31 where the output stride is 2.
  route_row<std::remove_const_t<decltype(r)>, float, float, index_t, float> const body{
      r, in, {{ids.data() - 2 * (tokens - 1), tokens, 2, 2}, {weights.data() - 2 * (tokens - 1), tokens, 2, 2}}};
  body(serial_group{}, tokens - 1, aligned_scratch(workspace(space)));
  auto const want = reference::order(reference::row(row.begin(), row.end()));
  CHECK(ids[0] == want[0]);
  CHECK(ids[1] == want[1]);
  CHECK(validate(r, in, out).ok());
}

TEST_CASE("promise P13: route and its backward allocate nothing; garbage workspace; bytes grow with sizes") {
  std::vector<float> const bias = inputs::normal(64, 4), logits = inputs::normal(64 * 10, 15);
  auto const r = presets::deepseek_v3(row_view<float const>(bias), 6, 8, 3);
  std::vector<index_t> ids(60);
  std::vector<float> weights(60), grad(640);
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, 10, 64)), std::byte{0xff});
  thread_team const team(2);
  std::vector<std::byte> team_space(static_cast<std::size_t>(route_workspace_bytes(team, r, 10, 64)), std::byte{0xff});
  routing_view<index_t, float> const out{{ids.data(), 10, 6}, {weights.data(), 10, 6}};
  long const before = allocations::count;
  route(serial{}, r, {.logits = {logits.data(), 10, 64}}, out, workspace(space));
  route_backward(serial{}, r, {.logits = {logits.data(), 10, 64}}, out.ids, out.weights,
                 matrix_view<float>(grad.data(), 10, 64), workspace(space));
  route(team, r, {.logits = {logits.data(), 10, 64}}, out, workspace(team_space));
  CHECK(allocations::count == before);
  offset_t last = 0;
  for (index_t experts : {1, 2, 63, 64, 65, 1000})
    for (offset_t tokens : {1, 10}) {
      offset_t const bytes = route_workspace_bytes(serial{}, r, tokens, experts);
      CHECK(bytes >= last);
      last = bytes;
    }
}

TEST_CASE("promise P17: every wrong argument is named with both numbers, and nothing is written") {
  std::vector<float> z(32);
  std::vector<index_t> ids(16, 77);
  std::vector<float> w(16, 7);
  std::vector<std::byte> space(8192);
  auto const fails = [&](auto const& r, batch<> in, routing_view<index_t, float> out, workspace m, char const* words) {
    status const s = try_route(serial{}, r, in, out, m);
    CHECK_FALSE(s.ok());
    std::string const said = message(s).c_str();
    CAPTURE(said);
    CHECK(said.find(words) != std::string::npos);
    CHECK(ids == std::vector<index_t>(16, 77));
    CHECK_THROWS_AS(route(serial{}, r, in, out, m), error);
  };
  batch<> const good{.logits = {z.data(), 4, 8}};
  routing_view<index_t, float> const out{{ids.data(), 4, 2}, {w.data(), 4, 2}};
  auto const r = router{.select = top_k{2}};
  CHECK(validate(r, good, out).ok());
  fails(router{.select = top_k{9}}, good, out, space, "select.k = 9 must be at most 8");
  fails(router{.select = top_k{0}}, good, out, space, "select.k = 0 must be at least 1");
  fails(r, {.logits = {z.data(), 4, 8, -1}}, out, space, "batch.logits");
  fails(r, good, {{ids.data(), 3, 2}, {w.data(), 4, 2}}, space, "out.ids rows = 3 must be 4");
  fails(r, good, {{ids.data(), 4, 2}, {w.data(), 4, 3}}, space, "out.weights columns = 3 must be 2");
  fails(r, good, {{ids.data(), 4, 2, 1}, {w.data(), 4, 2}}, space, "out.ids = 1 (row stride) must be at least 2");
  fails(r, {.logits = {z.data(), 4, 8}, .valid = row_view<std::uint8_t const>(nullptr, 3)}, out, space,
        "batch.valid size = 3 must be 0 or 4");
  fails(r, good, out, workspace(space.data(), 10), "workspace bytes = 10 must be at least");
  fails(router{.score = sigmoid{}, .bias = correction_bias{row_view<float const>(z.data(), 7)}, .select = top_k{2}},
        good, out, space, "bias.per_expert size = 7 must be 8");
  fails(router{.select = group_limited_top_k<best_of_group>{.k = 2, .groups = 3, .top_groups = 1}}, good, out, space,
        "select.groups = 3 must be a divisor of 8");
  fails(router{.select = group_limited_top_k<best_of_group>{.k = 2, .groups = 8, .top_groups = 1}}, good, out, space,
        "select.k = 2 must be at most 1");
  fails(router{.score = chain{temperature{0.f}, softmax{}}, .select = top_k{2}}, good, out, space, "temperature");
  fails(router{.prior = expert_mask{row_view<std::uint8_t const>(nullptr, 5)}, .select = top_k{2}}, good, out, space,
        "prior.open size = 5 must be 8");
  std::vector<std::uint8_t> small(8);
  std::vector<float> wide(300);
  CHECK(validate(r, batch<>{.logits = {wide.data(), 1, 300}},
                 routing_view<std::uint8_t, float>{{small.data(), 1, 2}, {w.data(), 1, 2}})
            .code == errc::bad_shape);
}

TEST_CASE("route: empty batches, one expert, strides, ids and logits of every type") {
  auto const r = router{.select = top_k{2}, .weigh = renormalize{}};
  CHECK(run::route(serial{}, r, std::vector<float>{}, 8).ids.empty());
  CHECK(run::route(serial{}, router{.select = top_k{1}}, std::vector<float>{3, -1}, 1).weights ==
        std::vector<float>{1, 1});

  std::vector<float> const logits = inputs::normal(20 * 7, 18);
  std::vector<float> const wide = [&] {
    std::vector<float> x(20 * 9, not_a_number<float>);
    for (std::size_t t = 0; t < 20; ++t)
      std::copy_n(logits.begin() + static_cast<std::ptrdiff_t>(7 * t), 7,
                  x.begin() + static_cast<std::ptrdiff_t>(9 * t));
    return x;
  }();
  auto const want = run::route(serial{}, r, logits, 7);
  std::vector<std::uint8_t> ids(20 * 5, 200);
  std::vector<double> weights(20 * 3, -1);
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, 20, 7)));
  route(serial{}, r, batch<float>{.logits = {wide.data(), 20, 7, 9}},
        routing_view<std::uint8_t, double>{{ids.data(), 20, 2, 5}, {weights.data(), 20, 2, 3}}, workspace(space));
  for (std::size_t t = 0; t < 20; ++t)
    for (std::size_t j = 0; j < 2; ++j) {
      CHECK(ids[5 * t + j] == want.id(t, j));
      CHECK(weights[3 * t + j] == static_cast<double>(want.weight(t, j)));
    }
  CHECK(ids[2] == 200);  // nothing outside the view

  std::vector<Eigen::bfloat16> half;
  std::vector<float> rounded;
  for (float x : logits) half.emplace_back(x), rounded.push_back(static_cast<float>(half.back()));
  auto const a = run::route(serial{}, r, half, 7), b = run::route(serial{}, r, rounded, 7);
  CHECK(a.ids == b.ids);  // widened, never rounded again
  CHECK(run::same_bits(a.weights, b.weights));
}

TEST_CASE("promise P16 P18: rows know nothing of each other, and one router serves many threads at once") {
  static_assert(router_dependence<router<>> == cross_token_dependence::none);
  std::vector<float> const bias = inputs::normal(64, 4, .1f), logits = inputs::normal(64 * 40, 19);
  auto const r = presets::deepseek_v3(row_view<float const>(bias), 6, 8, 3);
  auto const want = run::route(serial{}, r, logits, 64);
  std::vector<int> right(4);
  std::vector<std::thread> all;
  for (std::size_t i = 0; i < 4; ++i)
    all.emplace_back([&, i] {
      for (int n = 0; n < 5; ++n) {
        auto const out = run::route(serial{}, r, logits, 64);
        right[i] += out.ids == want.ids && run::same_bits(out.weights, want.weights);
      }
    });
  for (auto& t : all) t.join();
  CHECK(right == std::vector<int>(4, 5));
}

TEST_CASE("priors: closed experts are never chosen while open ones are left, and get no weight or gradient") {
  std::vector<std::uint8_t> const open{1, 0, 1, 1, 0, 1}, pools{1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1};
  std::vector<float> const logits = inputs::normal(6 * 50, 20), bias{0, 9, 0, 0, 9, 0};
  auto const masked = router{.prior = expert_mask{row_view<std::uint8_t const>(open)},
                             .score = sigmoid{},
                             .bias = correction_bias{bias},
                             .select = top_k{4}};
  auto const out = run::route(serial{}, masked, logits, 6);
  for (index_t id : out.ids) CHECK(open[static_cast<std::size_t>(id)] == 1);
  auto const grad = run::route_backward(serial{}, masked, logits, 6, out.ids, std::vector<float>(200, 1.f));
  for (std::size_t i = 0; i < grad.size(); ++i)
    if (open[i % 6] == 0) CHECK(grad[i] == 0.f);

  std::vector<index_t> modality(50);
  for (std::size_t t = 0; t < 50; ++t) modality[t] = static_cast<index_t>(t % 2);
  auto const pooled =
      router{.prior = modality_mask{matrix_view<std::uint8_t const>(pools.data(), 2, 6)}, .select = top_k{3}};
  auto const split = run::route(serial{}, pooled, logits, 6, {.modality = row_view<index_t const>(modality)});
  for (std::size_t i = 0; i < split.ids.size(); ++i) CHECK(split.ids[i] / 3 == modality[i / 3]);

  std::vector<float> const offset{0, 0, 100, 0, 0, 0};
  auto const steered = router{
      .prior = both{expert_mask{row_view<std::uint8_t const>(open)}, logit_offset{row_view<float const>(offset)}},
      .select = top_k{1}};
  for (index_t id : run::route(serial{}, steered, logits, 6).ids) CHECK(id == 2);
}
