// Decides whether the owning conveniences give what the verbs on views give, and own what they need.
#include <doctest/doctest.h>

#include <cmath>
#include <utility>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/routing.hpp>
#include <moeroute/select/top_tokens.hpp>

#include "support/travel.hpp"

using namespace moeroute;

TEST_CASE("routing: the README's walk, one run an expert, against plain sums") {
  offset_t const tokens = 30, width = 20;
  index_t const experts = 6;
  auto const logit = as<float>(drawn(tokens * experts, 3)), hidden = as<float>(drawn(tokens * width, 4));
  router const r{.score = softmax{}, .select = top_k{2}, .weigh = renormalize{}};
  routing routed(tokens, r);
  route(threads{2}, r, {.logits = as_matrix(logit, tokens, experts)}, routed);
  dispatch_plan const plan = make_plan(routed, experts, {.align = 4});
  std::vector<float> grouped(static_cast<std::size_t>(plan.rows() * width)),
      output(static_cast<std::size_t>(tokens * width));
  auto const rows_view = as_matrix(grouped, plan.rows(), width);
  permute(threads{2}, plan, as_matrix(hidden, tokens, width), rows_view);
  offset_t covered = 0;
  index_t last = -1;
  for (auto [expert, rows] : plan.runs()) {
    CHECK(expert > last);
    last = expert;
    CHECK(rows.count > 0);
    covered += rows.count;
    auto const mine = rows_view.middle_rows(rows.first, rows.count);
    for (offset_t i = 0; i < mine.rows; ++i)
      for (auto& v : mine[i]) v *= static_cast<float>(expert + 1);
  }
  CHECK(covered == plan.rows());
  combine(threads{2}, plan, rows_view, as_matrix(output, tokens, width));
  for (offset_t t = 0; t < tokens; ++t)
    for (offset_t d = 0; d < width; ++d) {
      double sum = 0;
      for (std::size_t c = static_cast<std::size_t>(2 * t); c < static_cast<std::size_t>(2 * t + 2); ++c)
        sum += static_cast<double>(routed.weights[c]) * (routed.ids[c] + 1) *
               static_cast<double>(hidden[static_cast<std::size_t>(t * width + d)]);
      CHECK(static_cast<double>(output[static_cast<std::size_t>(t * width + d)]) == doctest::Approx(sum).epsilon(1e-5));
    }
}

TEST_CASE("routing: a weight on the input goes into the rows, and combine adds them as they are") {
  std::vector<float> const logit{3, 1, 0, 2, 5, 4}, hidden{1, 2, 3, 4};
  router const r{.score = identity{}, .select = top_k{1}, .weigh = on_input{sigmoid_of_chosen{}}};
  routing routed(2, r);
  route(serial{}, r, {.logits = as_matrix(logit, 2, 3)}, routed);
  CHECK(routed.place == weight_place::input);
  auto const plan = make_plan(routed, 3);
  std::vector<float> grouped(4), y(4);
  permute(serial{}, plan, as_matrix(hidden, 2, 2), as_matrix(grouped, 2, 2));
  for (std::size_t i = 0; i < 4; ++i) CHECK(grouped[i] == hidden[i] * routed.weights[i / 2]);
  combine(serial{}, plan, as_matrix(grouped, 2, 2), as_matrix(y, 2, 2));
  CHECK(y == grouped);
}

TEST_CASE("promise P14: from the output back to the logits, weight on the output and on the input, by differences") {
  offset_t const tokens = 7, width = 5;
  index_t const experts = 4;
  auto logit = as<float>(drawn(tokens * experts, 3));
  auto const hidden = as<float>(drawn(tokens * width, 4)), d_y = as<float>(drawn(tokens * width, 6));
  auto const check = [&](auto const& r) {
    auto const x = threads{2};
    std::vector<float> grouped, y(hidden.size()), d_rows, d_hidden(hidden.size()), d_logits(logit.size());
    routing routed(tokens, r);
    dispatch_plan plan;
    auto const forward = [&] {
      route(x, r, {.logits = as_matrix(std::as_const(logit), tokens, experts)}, routed);
      plan = make_plan(routed, experts);
      grouped.resize(static_cast<std::size_t>(plan.rows() * width));
      permute(x, plan, as_matrix(hidden, tokens, width), as_matrix(grouped, plan.rows(), width));
      for (auto [expert, rows] : plan.runs())
        for (auto& v : row_view<float>(grouped.data() + rows.first * width, rows.count * width))
          v *= static_cast<float>(expert + 1);
      combine(x, plan, as_matrix(grouped, plan.rows(), width), as_matrix(y, tokens, width));
      double loss = 0;
      for (std::size_t i = 0; i < y.size(); ++i) loss += static_cast<double>(y[i]) * static_cast<double>(d_y[i]);
      return loss;
    };
    static_cast<void>(forward());
    auto const chosen = routed.ids;
    std::vector<float> d_w(routed.weights.size(), 99.f);
    d_rows.resize(grouped.size());
    combine_backward(x, plan, as_matrix(std::as_const(grouped), plan.rows(), width), as_matrix(d_y, tokens, width),
                     as_matrix(d_rows, plan.rows(), width), as_matrix(d_w, tokens, 2));
    for (auto [expert, rows] : plan.runs())
      for (auto& v : row_view<float>(d_rows.data() + rows.first * width, rows.count * width))
        v *= static_cast<float>(expert + 1);
    permute_backward(x, plan, as_matrix(hidden, tokens, width), as_matrix(std::as_const(d_rows), plan.rows(), width),
                     as_matrix(d_hidden, tokens, width), as_matrix(d_w, tokens, 2));
    route_backward(x, r, {.logits = as_matrix(std::as_const(logit), tokens, experts)}, routed,
                   as_matrix(std::as_const(d_w), tokens, 2), as_matrix(d_logits, tokens, experts));
    for (std::size_t i = 0; i < logit.size(); ++i) {
      float const before = logit[i];
      logit[i] = before + 1e-2f;
      double const up = forward();
      bool same = routed.ids == chosen;
      logit[i] = before - 1e-2f;
      double const down = forward();
      same = same && routed.ids == chosen;
      logit[i] = before;
      if (same)
        CHECK(std::fabs((up - down) / 2e-2 - static_cast<double>(d_logits[i])) <
              5e-3 * (1 + std::fabs(static_cast<double>(d_logits[i]))));
    }
  };
  check(router{.score = sigmoid{}, .select = top_k{2}});
  check(router{.score = identity{}, .select = top_k{2}, .weigh = on_input{sigmoid_of_chosen{}}});
}

TEST_CASE("routing: expert choice is ragged, and its plan gives every expert its tokens") {
  offset_t const tokens = 24;
  index_t const experts = 4;
  auto const logit = as<float>(drawn(tokens * experts, 8));
  auto const check = [&](auto const& r, batch<> const& in, offset_t each) {
    routing routed(tokens, r);
    route(serial{}, r, in, routed);
    CHECK(routed.offsets.back() == std::ssize(routed.ids));
    auto const plan = make_plan(threads{2}, routed, experts);
    for (auto const n : plan.counts) CHECK(n == each);
    CHECK(plan.rows() == each * experts);
    std::vector<float> const one(static_cast<std::size_t>(tokens), 1.f);
    std::vector<float> grouped(static_cast<std::size_t>(plan.rows())), y(static_cast<std::size_t>(tokens));
    permute(serial{}, plan, as_matrix(one, tokens, 1), as_matrix(grouped, plan.rows(), 1));
    combine(serial{}, plan, as_matrix(grouped, plan.rows(), 1), as_matrix(y, tokens, 1));
    for (offset_t t = 0; t < tokens; ++t) {
      float sum = 0;
      for (auto c = routed.offsets[static_cast<std::size_t>(t)]; c < routed.offsets[static_cast<std::size_t>(t) + 1];
           ++c)
        sum += routed.weights[static_cast<std::size_t>(c)];
      CHECK(static_cast<double>(y[static_cast<std::size_t>(t)]) == doctest::Approx(static_cast<double>(sum)));
    }
  };
  batch<> const in{.logits = as_matrix(logit, tokens, experts)};
  check(router{.select = top_tokens{.capacity_factor = 2}}, in, 12);
  std::vector<index_t> group(static_cast<std::size_t>(tokens));
  for (std::size_t t = 0; t < group.size(); ++t) group[t] = static_cast<index_t>(t % 3);
  batch<> grouped_in = in;
  grouped_in.group = group;
  check(router{.select = top_tokens<choice_scope::group>{.fixed_count = 2}}, grouped_in, 6);
}

TEST_CASE("routing: a plan with a capacity drops, and owns its arrays after the routing is gone") {
  std::vector<int> const ids{0, 0, 0, 1, 0, 1};
  dispatch_plan plan;
  {
    routing routed;
    routed.tokens = 6, routed.k = 1, routed.ids = ids, routed.weights.assign(6, .5f);
    plan = make_plan(serial{}, routed, 2, {},
                     capacity_options<>{.rule = {.formula = capacity_formula::given, .slots = 2}});
  }
  CHECK(plan.counts == std::vector<offset_t>{4, 2});
  CHECK(plan.kept == std::vector<offset_t>{2, 2});
  CHECK(plan.slot_of_choice == std::vector<offset_t>{0, 1, dropped_slot, 2, dropped_slot, 3});
  std::vector<float> x{1, 2, 3, 4, 5, 6}, grouped(4), y(6, 9.f);
  permute(serial{}, plan, as_matrix(x, 6, 1), as_matrix(grouped, 4, 1));
  combine(serial{}, plan, as_matrix(grouped, 4, 1), as_matrix(y, 6, 1));
  CHECK(y == std::vector<float>{.5f, 1, 0, 2, 0, 3});
  dispatch_plan const copy = plan;
  plan = {};
  CHECK(copy.view().slot_of_choice[5] == 3);
}

TEST_CASE("promise P17: the conveniences throw what the verbs name") {
  routing routed;
  routed.tokens = 1, routed.k = 2, routed.ids = {0, 7}, routed.weights = {1, 1};
  CHECK_THROWS_WITH_AS(make_plan(routed, 4),
                       "moeroute: choices.ids (an id that is not no_expert) = 7 must be at least 0 and below 4", error);
  CHECK_THROWS_AS(make_plan(routed, 0), error);
  std::vector<float> const logit(8);
  router const r{.select = top_k{2}};
  routing wrong(3, r);
  CHECK_THROWS_WITH_AS(route(serial{}, r, {.logits = as_matrix(logit, 2, 4)}, wrong),
                       "moeroute: out.ids rows = 3 must be 2", error);
}
