// Decides whether two-step routing stays in its groups, multiplies its weights and sends gradients to both steps.
#include <cmath>

#include <moeroute/prior/noise.hpp>
#include <moeroute/route_two_level.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {

struct levels {
  offset_t tokens, kg, k;
  std::vector<index_t> ids, groups;
  std::vector<double> weights, group_weights, inner_weights;
  two_level_view<double> view() {
    return {{ids.data(), tokens, kg * k},
            {weights.data(), tokens, kg * k},
            {groups.data(), tokens, kg},
            {group_weights.data(), tokens, kg},
            {inner_weights.data(), tokens, kg * k}};
  }
};
template <class X, class G, class R>
levels route_levels(X const& x, G const& group, R const& inner, std::vector<double> const& a,
                    std::vector<double> const& b, offset_t tokens, index_t groups, index_t width) {
  offset_t const kg = detail::groups_per_token(group), k = inner.select.experts_per_token();
  auto const n = static_cast<std::size_t>(tokens * kg * k), ng = static_cast<std::size_t>(tokens * kg);
  levels l{tokens,
           kg,
           k,
           std::vector<index_t>(n, 77),
           std::vector<index_t>(ng, 77),
           std::vector<double>(n, 77.),
           std::vector<double>(ng, 77.),
           std::vector<double>(n, 77.)};
  auto work = memory(two_level_workspace_bytes<X, G, R, double>(x, group, inner, groups, width));
  batch<double> in;
  if (!a.empty()) in.logits = {a.data(), tokens, groups};
  route_two_level(x, group, inner, in,
                  matrix_view<double const>{b.data(), tokens, static_cast<offset_t>(b.size()) / tokens}, width,
                  l.view(), workspace(work));
  return l;
}
template <class G, class R>
void check_two_level_gradient(G const& group, R const& inner, std::vector<double> a, std::vector<double> b,
                              offset_t tokens, index_t groups, index_t width) {
  auto here = route_levels(serial{}, group, inner, a, b, tokens, groups, width);
  auto const d = normal_numbers(here.weights.size(), 7);
  std::vector<double> d_a(a.size(), 77.), d_b(b.size(), 77.);
  auto work = memory(two_level_workspace_bytes<serial, G, R, double>(serial{}, group, inner, groups, width));
  batch<double> in;
  if (!a.empty()) in.logits = {a.data(), tokens, groups};
  offset_t const cols = static_cast<offset_t>(b.size()) / tokens;
  route_two_level_backward(serial{}, group, inner, in, matrix_view<double const>{b.data(), tokens, cols}, width,
                           here.view(), matrix_view<double const>{d.data(), tokens, here.kg * here.k},
                           matrix_view<double>{d_a.data(), a.empty() ? 0 : tokens, a.empty() ? 0 : groups},
                           matrix_view<double>{d_b.data(), tokens, cols}, workspace(work));
  auto const check = [&](std::vector<double>& z, std::vector<double> const& found) {
    for (std::size_t i = 0; i < z.size(); ++i) {
      auto const loss = [&](double h) {
        double const kept = z[i];
        z[i] = kept + h;
        auto const there = route_levels(serial{}, group, inner, a, b, tokens, groups, width);
        z[i] = kept;
        REQUIRE(there.ids == here.ids);
        double sum = 0;
        for (std::size_t j = 0; j < d.size(); ++j) sum += d[j] * there.weights[j];
        return sum;
      };
      CHECK(found[i] == doctest::Approx((loss(1e-5) - loss(-1e-5)) / 2e-5).epsilon(1e-6).scale(1));
    }
  };
  check(a, d_a);
  check(b, d_b);
}
router<no_gate, no_prior, softmax, no_bias, top_k<>> const top1{.select = {1}};

}  // namespace

TEST_CASE("S042 SMILE: the weight is the product; one node or one local expert is Switch") {
  auto const a = normal_numbers(30 * 3, 1), b = normal_numbers(30 * 4, 2), per_node = normal_numbers(30 * 12, 3);
  auto const node = run(top1, a, 3), local = run(top1, b, 4);
  auto const both_levels = route_levels(serial{}, top1, top1, a, b, 30, 3, 4);
  for (offset_t t = 0; t < 30; ++t) {
    CHECK(both_levels.ids[static_cast<std::size_t>(t)] == 4 * node.id(t, 0) + local.id(t, 0));
    CHECK(both_levels.weights[static_cast<std::size_t>(t)] ==
          doctest::Approx(node.weight(t, 0) * local.weight(t, 0)).epsilon(1e-12));
  }
  auto const one_node = route_levels(serial{}, top1, top1, std::vector<double>(30, .3), b, 30, 1, 4);
  CHECK(one_node.ids == local.ids);
  CHECK(one_node.weights == local.weights);
  auto const one_local = route_levels(serial{}, top1, top1, a, std::vector<double>(30, .3), 30, 3, 1);
  CHECK(one_local.ids == node.ids);
  CHECK(one_local.weights == node.weights);
  check_two_level_gradient(top1, top1, normal_numbers(15, 4), normal_numbers(20, 5), 5, 3, 4);
  check_two_level_gradient(top1, top1, normal_numbers(15, 4), normal_numbers(60, 5), 5, 3, 4);
}

TEST_CASE("S017 SAM: all k experts of a token live in one group; one group is top-k") {
  router const mixture{.score = identity{}, .select = top_k{3}, .weigh = softmax_over_chosen{}};
  auto const a = normal_numbers(40 * 4, 6), b = normal_numbers(40 * 20, 7);
  auto const out = route_levels(serial{}, top1, mixture, a, b, 40, 4, 5);
  for (std::size_t t = 0; t < 40; ++t) {
    double sum = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(out.ids[3 * t + j] / 5 == out.groups[t]);
      sum += out.inner_weights[3 * t + j];
    }
    CHECK(sum == doctest::Approx(1).epsilon(1e-12));
  }
  auto const plain = run(mixture, std::vector<double>(b.begin(), b.begin() + 200), 5);
  auto const one = route_levels(serial{}, top1, mixture, std::vector<double>(40, 1.),
                                std::vector<double>(b.begin(), b.begin() + 200), 40, 1, 5);
  CHECK(one.ids == plain.ids);
  CHECK(one.weights == plain.weights);
  check_two_level_gradient(top1, mixture, normal_numbers(20, 8), normal_numbers(100, 9), 5, 4, 5);
}

TEST_CASE(
    "S056 M6-T: one expert of every prototype, each with its own softmax; one prototype is "
    "Switch") {
  auto const b = normal_numbers(30 * 12, 10);
  auto const out = route_levels(serial{}, every_group{.groups = 3}, top1, {}, b, 30, 3, 4);
  for (std::size_t t = 0; t < 30; ++t)
    for (std::size_t z = 0; z < 3; ++z) {
      auto const* row = &b[12 * t + 4 * z];
      std::size_t best = 0;
      double sum = 0;
      for (std::size_t e = 0; e < 4; ++e) best = row[e] > row[best] ? e : best, sum += std::exp(row[e]);
      CHECK(out.ids[3 * t + z] == static_cast<index_t>(4 * z + best));
      CHECK(out.weights[3 * t + z] == doctest::Approx(std::exp(row[best]) / sum).epsilon(1e-12));
    }
  auto const one = route_levels(serial{}, every_group{.groups = 1}, top1, {}, b, 30, 1, 12);
  CHECK(one.ids == run(top1, b, 12).ids);
  check_two_level_gradient(every_group{.groups = 3}, top1, {}, normal_numbers(60, 11), 5, 3, 4);
}

TEST_CASE("S042 two levels: lane groups agree, shapes are checked") {
  router const inner{.select = top_k{2}};
  router const outer{.select = top_k{2}};
  auto const a = normal_numbers(25 * 3, 12), b = normal_numbers(25 * 12, 13);
  auto const one = route_levels(serial{}, outer, inner, a, b, 25, 3, 4);
  for (index_t const lanes : {3, 32}) {
    auto const other = route_levels(lockstep{.lanes = lanes}, outer, inner, a, b, 25, 3, 4);
    CHECK(one.ids == other.ids);
    CHECK(same_bits(one.weights, other.weights));
  }
  auto l = one;
  batch<double> const in{.logits = {a.data(), 25, 3}};
  CHECK(try_route_two_level(serial{}, outer, inner, in, matrix_view<double const>{b.data(), 25, 11}, 4, l.view(), {})
            .argument == std::string("inner logits columns (groups x width)"));
}

TEST_CASE("two levels: both routers see the modality of the token, forward and backward") {
  std::vector<std::uint8_t> const pools{1, 1, 0, 0, 1, 1};  // modality 0: experts 0, 1 of a group; modality 1: 1, 2
  std::vector<std::uint8_t> const group_pools{1, 1, 0, 0, 1, 1};
  router const group{.prior = modality_mask{{group_pools.data(), 2, 3}}, .select = top_k{2}};
  router const inner{.prior = modality_mask{{pools.data(), 2, 3}}, .select = top_k{2}};
  offset_t const tokens = 20;
  auto const a = normal_numbers(tokens * 3, 1), b = normal_numbers(tokens * 9, 2);
  std::vector<index_t> modality(tokens);
  for (std::size_t t = 0; t < modality.size(); ++t) modality[t] = t % 3 == 0 ? 1 : 0;
  batch<double> in{.logits = {a.data(), tokens, 3}, .modality = modality};
  std::vector<index_t> ids(80, 77), groups(40, 77);
  std::vector<double> w(80, 77.), gw(40, 77.), iw(80, 77.), d(80, 1.), d_a(60, 77.), d_b(180, 77.);
  two_level_view<double> const out{{ids.data(), tokens, 4},
                                   {w.data(), tokens, 4},
                                   {groups.data(), tokens, 2},
                                   {gw.data(), tokens, 2},
                                   {iw.data(), tokens, 4}};
  auto work =
      memory(two_level_workspace_bytes<serial, decltype(group), decltype(inner), double>(serial{}, group, inner, 3, 3));
  matrix_view<double const> const logits{b.data(), tokens, 9};
  route_two_level(serial{}, group, inner, in, logits, 3, out, workspace(work));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    index_t const m = modality[i / 4], g = ids[i] / 3, e = ids[i] % 3;
    CHECK((m == 0 ? g != 2 && e != 2 : g != 0 && e != 0));
  }
  route_two_level_backward(serial{}, group, inner, in, logits, 3, out, matrix_view<double const>{d.data(), tokens, 4},
                           matrix_view<double>{d_a.data(), tokens, 3}, matrix_view<double>{d_b.data(), tokens, 9},
                           workspace(work));
  double open_a = 0;
  for (std::size_t t = 0; t < 20; ++t) {
    CHECK(d_a[3 * t + (modality[t] == 0 ? 2 : 0)] == 0);
    for (std::size_t g = 0; g < 3; ++g) CHECK(d_b[9 * t + 3 * g + (modality[t] == 0 ? 2 : 0)] == 0);
    open_a += std::abs(d_a[3 * t + 1]);
  }
  CHECK(open_a > 0);
  modality[3] = 2;
  CHECK(
      std::string(message(try_route_two_level(serial{}, group, inner, in, logits, 3, out, workspace(work))).c_str()) ==
      "moeroute: batch.modality = 2 must be at most 1");
}

TEST_CASE("two levels: arrays with a row a token inside the inner router are read at the token's row, and checked") {
  offset_t const tokens = 12;
  auto const a = normal_numbers(tokens * 2, 5), b = normal_numbers(tokens * 6, 6);
  std::vector<double> pushed(static_cast<std::size_t>(tokens * 3), 0.);
  for (std::size_t t = 0; t < 12; ++t) pushed[3 * t + t % 3] = 50;
  router const group{.select = top_k{1}};
  using noise = gaussian_noise<given_noise<double>>;
  router const inner{.prior = noise{.deviation = 1, .over_experts = false, .source = {{pushed.data(), tokens, 3}}},
                     .select = top_k{1}};
  auto const out = route_levels(serial{}, group, inner, a, b, tokens, 2, 3);
  for (std::size_t t = 0; t < 12; ++t) CHECK(out.ids[t] % 3 == static_cast<index_t>(t % 3));
  router const few{.prior = noise{.source = {{pushed.data(), 4, 3}}}, .select = top_k{1}};
  CHECK_THROWS_WITH(route_levels(serial{}, group, few, a, b, tokens, 2, 3),
                    "moeroute: noise.value rows = 4 must be at least 12");
}
