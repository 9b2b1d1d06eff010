// Decides whether the prefix of probability mass is cut where the papers cut it.
#include <moeroute/select/top_p.hpp>

#include <algorithm>
#include <cmath>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
auto dynamic_routing(float p, index_t most) {
  return router{.select = top_p{.p = p, .max_experts = most}, .weigh = keep_scores{}};
}
// Kept experts in descending probability, from the words of the paper.
std::vector<index_t> reference(std::vector<double> const& z, double p, bool keep_crossing, index_t least) {
  std::vector<index_t> order(z.size());
  for (std::size_t e = 0; e < z.size(); ++e) order[e] = static_cast<index_t>(e);
  auto const logit = [&](index_t e) { return z[static_cast<std::size_t>(e)]; };
  std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) { return logit(a) > logit(b); });
  double total = 0, sum = 0;
  for (double const x : z) total += std::exp(x);
  std::vector<index_t> kept;
  for (index_t const e : order) {
    double const q = std::exp(logit(e)) / total;
    if ((keep_crossing ? sum : sum + q) > p && static_cast<index_t>(kept.size()) >= least) break;
    kept.push_back(e);
    sum += q;
  }
  return kept;
}
}  // namespace

TEST_CASE("S013 top-p: one-hot gives one expert, uniform gives 5 strictly above one half and 4 at least") {
  std::vector<float> const one_hot{0, 0, 100, 0, 0, 0, 0, 0}, uniform(8, 0.f);
  auto r = dynamic_routing(.5f, 8);
  CHECK(run(r, one_hot, 8).count(0) == 1);
  CHECK(run(r, one_hot, 8).id(0, 0) == 2);
  CHECK(run(r, uniform, 8).count(0) == 5);
  r.select.passed = passing::at_least;
  CHECK(run(r, uniform, 8).count(0) == 4);
  r.select.boundary = crossing::drop;
  CHECK(run(r, uniform, 8).count(0) == 3);
  r.select.passed = passing::above;
  CHECK(run(r, uniform, 8).count(0) == 4);
}

TEST_CASE("S013 top-p: choice and raw probabilities equal the definition") {
  offset_t const tokens = 40, experts = 16;
  auto const z = normal_numbers(40 * 16, 3, 2);
  for (bool const keep : {true, false})
    for (index_t const least : {1, 3}) {
      router const r{
          .select = top_p{
              .p = .7f, .max_experts = 16, .min_experts = least, .boundary = keep ? crossing::keep : crossing::drop}};
      auto const out = run(r, z, experts);
      for (offset_t t = 0; t < tokens; ++t) {
        std::vector<double> const row(z.begin() + t * experts, z.begin() + (t + 1) * experts);
        auto const want = reference(row, static_cast<double>(.7f), keep, least);
        REQUIRE(out.count(t) == static_cast<index_t>(want.size()));
        double total = 0;
        for (double const x : row) total += std::exp(x);
        for (std::size_t j = 0; j < want.size(); ++j) {
          CHECK(out.id(t, static_cast<offset_t>(j)) == want[j]);
          CHECK(out.weight(t, static_cast<offset_t>(j)) ==
                doctest::Approx(std::exp(row[static_cast<std::size_t>(want[j])]) / total).epsilon(1e-12));
        }
      }
    }
}

TEST_CASE("S013 top-p: the mean count rises with the entropy") {
  double before = 0;
  for (double const scale : {4., 2., 1., .5, .1}) {
    auto const out = run(dynamic_routing(.4f, 16), normal_numbers(16 * 200, 5, scale), 16);
    double mean = 0;
    for (offset_t t = 0; t < 200; ++t) mean += out.count(t) / 200.;
    CHECK(mean > before);
    before = mean;
  }
}

TEST_CASE("S013 top-p: closed experts and NaN never fill up a prefix") {
  float const inf = infinity<float>, bad = not_a_number<float>;
  auto const out = run(dynamic_routing(1, 4), std::vector<float>{-inf, 1, bad, 1, -inf, -inf, -inf, -inf}, 4);
  CHECK(out.count(0) == 2);
  CHECK((out.id(0, 0) == 1 && out.id(0, 1) == 3));
  CHECK(out.count(1) == 0);
  for (offset_t j = 0; j < 4; ++j) CHECK(out.weight(1, j) == 0);
}

TEST_CASE("S013 top-p: gradient, lane groups, refusals") {
  check_gradient(dynamic_routing(.6f, 8), normal_numbers(6 * 8, 11), 8);
  auto const f = narrow(normal_numbers(33 * 40, 12, 1.5));
  check_same_on_every_group(dynamic_routing(.7f, 40), batch<float>{.logits = {f.data(), 33, 40}});
  CHECK(validate(dynamic_routing(.5f, 9), 8).argument == std::string("select.max_experts"));
  CHECK(!validate(dynamic_routing(-1, 8), 8).ok());
  CHECK(!validate(router{.select = top_p{.max_experts = 4, .min_experts = 5}}, 8).ok());
}
