// Decides whether experts choose as the papers say: exact loads, weights by axis, scopes that isolate, gradients.
#include <moeroute/route_experts.hpp>

#include <algorithm>
#include <cmath>

#include "support/choice.hpp"

using namespace choice_test;

namespace {

template <class V>
struct picks {
  offset_t capacity;
  std::vector<offset_t> tokens;
  std::vector<V> weights;
  offset_t token(offset_t row, offset_t j) const { return tokens[static_cast<std::size_t>(row * capacity + j)]; }
  V weight(offset_t row, offset_t j) const { return weights[static_cast<std::size_t>(row * capacity + j)]; }
  offset_t load(offset_t row) const {
    offset_t n = 0;
    for (offset_t j = 0; j < capacity; ++j) n += token(row, j) >= 0;
    return n;
  }
};
template <class X, class R, class V>
picks<V> choose(X const& x, R const& r, batch<V> const& in, offset_t segments, offset_t capacity) {
  auto const experts = static_cast<index_t>(in.logits.cols);
  auto const places = static_cast<std::size_t>(segments * experts * capacity);
  picks<V> out{capacity, std::vector<offset_t>(places, 77), std::vector<V>(places, V(77))};
  auto work = memory(route_experts_workspace_bytes<X, R, V>(x, r, in.logits.rows, experts, segments, capacity));
  route_experts(x, r, in,
                expert_routing_view<V>{{out.tokens.data(), segments * experts, capacity},
                                       {out.weights.data(), segments * experts, capacity}},
                workspace(work));
  return out;
}
template <class R>
picks<double> choose(R const& r, std::vector<double> const& z, offset_t experts, offset_t capacity) {
  offset_t const tokens = static_cast<offset_t>(z.size()) / experts;
  return choose(serial{}, r, batch<double>{.logits = {z.data(), tokens, experts}}, 1, capacity);
}
template <class R>
void check_gradient_of_experts(R const& r, std::vector<double> z, batch<double> in, offset_t experts, offset_t segments,
                               offset_t capacity) {
  offset_t const tokens = static_cast<offset_t>(z.size()) / experts;
  in.logits = {z.data(), tokens, experts};
  auto const here = choose(serial{}, r, in, segments, capacity);
  auto const d = normal_numbers(here.weights.size(), 9);
  std::vector<double> found(z.size(), 77.);
  auto work = memory(route_experts_workspace_bytes<serial, R, double>(
      serial{}, r, tokens, static_cast<index_t>(experts), segments, capacity));
  route_experts_backward(serial{}, r, in, matrix_view<offset_t const>{here.tokens.data(), segments * experts, capacity},
                         matrix_view<double const>{d.data(), segments * experts, capacity},
                         matrix_view<double>{found.data(), tokens, experts}, workspace(work));
  auto const loss = [&] {
    auto const there = choose(serial{}, r, in, segments, capacity);
    REQUIRE(there.tokens == here.tokens);
    double sum = 0;
    for (std::size_t i = 0; i < d.size(); ++i) sum += d[i] * there.weights[i];
    return sum;
  };
  double const h = 1e-5;
  for (std::size_t i = 0; i < z.size(); ++i) {
    double const kept = z[i];
    z[i] = kept + h;
    double const up = loss();
    z[i] = kept - h;
    double const down = loss();
    z[i] = kept;
    CHECK(found[i] == doctest::Approx((up - down) / (2 * h)).epsilon(1e-6).scale(1));
  }
}
std::vector<double> softmax_rows(std::vector<double> z, offset_t experts) {
  for (std::size_t t = 0; t < z.size(); t += static_cast<std::size_t>(experts)) {
    double sum = 0;
    for (std::size_t e = t; e < t + static_cast<std::size_t>(experts); ++e) sum += z[e] = std::exp(z[e]);
    for (std::size_t e = t; e < t + static_cast<std::size_t>(experts); ++e) z[e] /= sum;
  }
  return z;
}

}  // namespace

TEST_CASE("S014 preset P35 expert choice: exact loads, best tokens of every column, weights are the probabilities") {
  offset_t const tokens = 40, experts = 8;
  auto const z = normal_numbers(40 * 8, 1);
  router const r{.select = top_tokens<>{.capacity_factor = 2}};
  CHECK(r.select.tokens_per_expert(tokens, 8) == 10);
  auto const out = choose(r, z, experts, 10);
  auto const p = softmax_rows(z, experts);
  offset_t total = 0;
  for (offset_t e = 0; e < experts; ++e) {
    std::vector<offset_t> want(40);
    for (offset_t t = 0; t < tokens; ++t) want[static_cast<std::size_t>(t)] = t;
    auto const at = [&](offset_t t) { return p[static_cast<std::size_t>(t * experts + e)]; };
    std::stable_sort(want.begin(), want.end(), [&](offset_t a, offset_t b) { return at(a) > at(b); });
    for (offset_t j = 0; j < 10; ++j) {
      CHECK(out.token(e, j) == want[static_cast<std::size_t>(j)]);
      CHECK(out.weight(e, j) == doctest::Approx(at(want[static_cast<std::size_t>(j)])).epsilon(1e-12));
    }
    total += out.load(e);
  }
  CHECK(total == tokens * 2);
}

TEST_CASE("S014 expert choice: rounding, bounds, a token without any expert") {
  top_tokens<> const s{.capacity_factor = 1};
  CHECK(s.tokens_per_expert(7, 4) == 2);  // 1.75
  CHECK(s.tokens_per_expert(5, 4) == 1);  // 1.25
  CHECK(s.tokens_per_expert(1, 8) == 1);  // at least 1
  CHECK(s.tokens_per_expert(0, 8) == 0);
  CHECK(top_tokens<>{.capacity_factor = 100}.tokens_per_expert(6, 4) == 6);  // at most all
  auto z = normal_numbers(21 * 4, 2);
  for (std::size_t e = 0; e < 4; ++e) z[e] = 0;  // token 0: uniform 1/4, below every best
  for (std::size_t t = 1; t < 21; ++t) z[4 * t + t % 4] += 9;
  auto const out = choose(router{.select = s}, z, 4, 5);
  CHECK(std::count(out.tokens.begin(), out.tokens.end(), 0) == 0);
}

TEST_CASE("S014 expert choice: the causality probe shows that a later token changes an earlier choice") {
  auto z = normal_numbers(16 * 4, 3);
  router const r{.select = top_tokens<>{}};
  static_assert(router_dependence<decltype(r)> == cross_token_dependence::whole_batch);
  auto const before = choose(r, z, 4, 4);
  z[15 * 4] = 30;  // the last token now wants expert 0
  auto const after = choose(r, z, 4, 4);
  CHECK(before.token(0, 3) != after.token(0, 3));
  CHECK(after.token(0, 0) == 15);
}

TEST_CASE("S002 pMoE: l patches of every sample, weights over the picked patches sum to 1, samples do not meet") {
  offset_t const samples = 3, patches = 6, experts = 2, l = 4;
  auto z = normal_numbers(3 * 6 * 2, 4);
  std::vector<index_t> sample;
  for (index_t i = 0; i < 18; ++i) sample.push_back(i / 6);
  router const r{.score = identity{},
                 .select = top_tokens<choice_scope::sequence>{.fixed_count = l},
                 .weigh = softmax_over_chosen{}};
  static_assert(router_dependence<decltype(r)> == cross_token_dependence::within_group);
  batch<double> in{.logits = {z.data(), 18, experts}, .sequence = sample};
  auto const out = choose(serial{}, r, in, samples, l);
  for (offset_t row = 0; row < samples * experts; ++row) {
    CHECK(out.load(row) == l);
    double sum = 0;
    for (offset_t j = 0; j < l; ++j) {
      sum += out.weight(row, j);
      CHECK(out.token(row, j) / patches == row / experts);
    }
    CHECK(sum == doctest::Approx(1).epsilon(1e-12));
  }
  std::vector<double> moved(z.begin() + 24, z.end());  // samples in the order 2, 0, 1
  moved.insert(moved.end(), z.begin(), z.begin() + 24);
  in.logits.data = moved.data();
  auto const other = choose(serial{}, r, in, samples, l);
  for (offset_t s = 0; s < samples; ++s)
    for (offset_t i = 0; i < experts * l; ++i) {
      auto const a = static_cast<std::size_t>(s * experts * l + i),
                 b = static_cast<std::size_t>((s + 1) % 3 * experts * l + i);
      CHECK(out.weights[a] == other.weights[b]);
      CHECK(out.tokens[a] % patches == other.tokens[b] % patches);
    }
  router const separate{.score = identity{}, .select = r.select, .weigh = keep_scores{}};
  check_gradient_of_experts(r, z, {.sequence = sample}, experts, samples, l);
  check_gradient_of_experts(separate, z, {.sequence = sample}, experts, samples, l);
}

TEST_CASE("P16 S014 isolation groups: tokens of one group never change what another group gets") {
  offset_t const tokens = 30, experts = 4;
  auto z = normal_numbers(30 * 4, 5);
  std::vector<index_t> group;
  for (index_t i = 0; i < 30; ++i) group.push_back(i * 7 % 3);  // interleaved
  router const r{.select = top_tokens<choice_scope::group>{.capacity_factor = 2}};
  batch<double> const in{.logits = {z.data(), tokens, experts}, .group = group};
  auto const before = choose(serial{}, r, in, 3, 5);
  for (unsigned attack = 0; attack < 50; ++attack) {
    auto const noise = normal_numbers(z.size(), 100 + attack, 5);
    for (std::size_t t = 0; t < 30; ++t)
      for (std::size_t e = 0; e < 4; ++e)
        if (group[t] != 1) z[4 * t + e] = noise[4 * t + e];
    auto const after = choose(serial{}, r, in, 3, 5);
    for (std::size_t i = 4 * 5; i < 8 * 5; ++i) {
      REQUIRE(after.tokens[i] == before.tokens[i]);
      REQUIRE(after.weights[i] == before.weights[i]);
    }
  }
}

TEST_CASE("P9 S014 padding is never chosen, takes no place and changes nothing") {
  auto z = normal_numbers(24 * 4, 6);
  router const r{.select = top_tokens<>{.capacity_factor = 1}};
  auto const alone = choose(serial{}, r, batch<double>{.logits = {z.data(), 16, 4}}, 1, 4);
  std::vector<std::uint8_t> valid(24, 0);
  for (std::size_t t = 0; t < 16; ++t) valid[t] = 1;
  auto const padded = choose(serial{}, r, batch<double>{.logits = {z.data(), 24, 4}, .valid = valid}, 1, 4);
  CHECK(alone.tokens == padded.tokens);
  CHECK(alone.weights == padded.weights);
  check_gradient_of_experts(r, z, {.valid = valid}, 4, 1, 4);
}

TEST_CASE("S088 preset P35 token axis: the score is a softmax over the tokens of a column") {
  auto const z = normal_numbers(12 * 3, 7);
  router const r{.select = top_tokens<>{.fixed_count = 12, .axis = score_axis::tokens}};
  auto const out = choose(r, z, 3, 12);
  for (offset_t e = 0; e < 3; ++e) {
    double sum = 0, all = 0;
    for (std::size_t t = 0; t < 12; ++t) all += std::exp(z[3 * t + static_cast<std::size_t>(e)]);
    for (offset_t j = 0; j < 12; ++j) {
      sum += out.weight(e, j);
      CHECK(out.weight(e, j) == doctest::Approx(std::exp(z[static_cast<std::size_t>(3 * out.token(e, j) + e)]) / all));
    }
    CHECK(sum == doctest::Approx(1).epsilon(1e-12));
  }
  check_gradient_of_experts(router{.select = top_tokens<>{.fixed_count = 5, .axis = score_axis::tokens}}, z, {}, 3, 1,
                            5);
}

TEST_CASE("S016 union of experts: tokens offer themselves to their own top K, order inside an expert ascends") {
  offset_t const tokens = 30, experts = 4;
  auto const z = normal_numbers(30 * 4, 8);
  top_tokens<> const own{.fixed_count = 30, .within = 2, .order = pick_order::position};
  auto const out =
      choose(router{.select = own, .weigh = renormalize{.scale = 3, .epsilon = 1e-6f}}, z, experts, tokens);
  auto const token_choice_of = run(router{.select = top_k{2}}, z, experts);
  for (index_t e = 0; e < experts; ++e) {
    double sum = 0;
    for (offset_t j = 0, before = -1; j < out.load(e); before = out.token(e, j++)) {
      CHECK(out.token(e, j) > before);
      CHECK(token_choice_of.chose(out.token(e, j), e));
      sum += out.weight(e, j);
    }
    offset_t offers = 0;
    for (offset_t t = 0; t < tokens; ++t) offers += token_choice_of.chose(t, e);
    CHECK(out.load(e) == offers);  // L = the largest count: nobody is left out
    CHECK(sum == doctest::Approx(3).epsilon(1e-4));
  }
  auto const everybody = choose(router{.select = top_tokens<>{.fixed_count = 30, .within = 4}}, z, experts, tokens);
  for (offset_t e = 0; e < experts; ++e) CHECK(everybody.load(e) == tokens);  // K = E, full length: dense
  check_gradient_of_experts(router{.select = top_tokens<>{.fixed_count = 6, .within = 2}, .weigh = renormalize{}}, z,
                            {}, experts, 1, 6);
}

TEST_CASE("S123 ties: by index the place in the batch decides, by keyed hash the name of the token does") {
  std::vector<double> const z(12 * 2, 0.);
  auto const plain = choose(router{.select = top_tokens<>{.fixed_count = 3}}, z, 2, 3);
  CHECK(plain.tokens == std::vector<offset_t>{0, 1, 2, 0, 1, 2});
  router const hashed{.select = top_tokens<>{.fixed_count = 3, .ties = tie_rule::hashed, .secret = 42}};
  std::vector<offset_t> name(12), turned(12);
  for (std::size_t i = 0; i < 12; ++i)
    name[i] = 1000 + static_cast<offset_t>(i), turned[i] = 1000 + static_cast<offset_t>((i + 5) % 12);
  auto const a = choose(serial{}, hashed, batch<double>{.logits = {z.data(), 12, 2}, .token = name}, 1, 3);
  auto const b = choose(serial{}, hashed, batch<double>{.logits = {z.data(), 12, 2}, .token = turned}, 1, 3);
  CHECK(a.tokens != plain.tokens);
  for (std::size_t j = 0; j < 6; ++j)
    CHECK(name[static_cast<std::size_t>(a.tokens[j])] == turned[static_cast<std::size_t>(b.tokens[j])]);
}

TEST_CASE("S014 expert choice: lane groups and threads give the same bits") {
  auto f = narrow(normal_numbers(45 * 8, 9));
  f[3] = not_a_number<float>, f[12] = -infinity<float>, f[20] = infinity<float>;
  std::vector<index_t> group;
  for (index_t i = 0; i < 45; ++i) group.push_back(i % 4);
  auto const check = [&](auto const& r, offset_t segments) {
    batch<float> const in{.logits = {f.data(), 45, 8}, .group = group};
    auto const a = choose(serial{}, r, in, segments, 10);
    auto const same = [&](auto const& x) {
      auto const b = choose(x, r, in, segments, 10);
      CHECK(a.tokens == b.tokens);
      CHECK(same_bits(a.weights, b.weights));
    };
    same(lockstep{.lanes = 4});
    same(lockstep{.lanes = 32});
    same(threads{3});
  };
  check(router{.select = top_tokens<>{.capacity_factor = 2}}, 1);
  check(router{.select = top_tokens<>{.fixed_count = 9, .axis = score_axis::tokens, .order = pick_order::position}}, 1);
  check(router{.select = top_tokens<choice_scope::group>{.capacity_factor = 2, .ties = tie_rule::hashed, .within = 3}},
        4);
}

TEST_CASE("P17 S014 expert choice: what does not fit is refused by name") {
  std::vector<double> const z(12 * 3, 0.);
  std::vector<offset_t> tokens(12);
  std::vector<double> weights(12);
  router const r{.select = top_tokens<choice_scope::group>{}};
  batch<double> in{.logits = {z.data(), 12, 3}};
  expert_routing_view<double> const out{{tokens.data(), 3, 4}, {weights.data(), 3, 4}};
  CHECK(try_route_experts(serial{}, r, in, out, {}).argument == std::string("batch.group size (the scope needs it)"));
  router const b{.select = top_tokens<>{.capacity_factor = -1}};
  CHECK(try_route_experts(serial{}, b, in, out, {}).argument == std::string("select.capacity_factor"));
  router const c{.select = top_tokens<>{}};
  CHECK(try_route_experts(serial{}, c, in, out, {}).code == errc::too_small);
  expert_routing_view<double> const odd{{tokens.data(), 4, 3}, {weights.data(), 4, 3}};
  CHECK(!try_route_experts(serial{}, c, in, odd, {}).ok());
}
