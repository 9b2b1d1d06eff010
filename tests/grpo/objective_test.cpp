#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/grpo/objective.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

namespace {

struct counting {  // the rows an executor was asked for
  offset_t* rows;
  template <class Body>
  status run(offset_t n, Body const& body, workspace w) const noexcept {
    *rows += n;
    return lockstep{4}.run(n, body, w);
  }
  static offset_t workspace_bytes(offset_t scratch) { return lockstep{4}.workspace_bytes(scratch); }
};
struct problem {
  offset_t layers = 2, positions = 9;
  std::vector<double> now, old, reference, advantage{1.5, -.7, .4};
  std::vector<offset_t> offset{0, 4, 7, 9};
  std::vector<std::uint8_t> included{1, 1, 0, 1, 1, 1, 1, 0, 1};
  explicit problem(double spread = .3) {
    auto const a = inputs::normal(18, 3), b = inputs::normal(18, 4);
    for (std::size_t i = 0; i < 18; ++i) {
      old.push_back(-2 + .5 * static_cast<double>(a[i]));
      now.push_back(old[i] + spread * static_cast<double>(b[i]));
      reference.push_back(old[i] - .2 * static_cast<double>(b[17 - i]));
    }
  }
};
struct answer {
  std::vector<double> d;
  std::vector<objective_sums> rollout{3};
  objective_sums total;
};
template <class X>
answer solve(X const& x, policy_surrogate const& s, problem const& p, std::vector<double> const& now) {
  answer a;
  a.d.assign(18, 9.), a.rollout.resize(3);
  std::vector<objective_sums> total(1);
  auto const m = [&](std::vector<double> const& v) {
    return matrix_view<double const>{v.data(), p.layers, p.positions};
  };
  policy_objective(
      x, s,
      policy_batch<double>{m(now), m(p.old), m(p.reference), row_view<double const>(p.advantage),
                           segments(row_view<offset_t const>(p.offset)), row_view<std::uint8_t const>(p.included)},
      policy_gradient<double>{{a.d.data(), p.layers, p.positions}, a.rollout, total});
  a.total = total[0];
  return a;
}

// The formulas of the papers, term by term.
double plain(policy_surrogate const& s, problem const& p, std::vector<double> const& now) {
  double loss = 0, all = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    std::vector<std::size_t> terms;
    for (std::size_t l = 0; l < 2; ++l)
      for (auto t = static_cast<std::size_t>(p.offset[i]); t < static_cast<std::size_t>(p.offset[i + 1]); ++t)
        if (p.included[t] != 0) terms.push_back(l * 9 + t);
    double mean = 0, sum = 0;
    for (auto j : terms) mean += (now[j] - p.old[j]) / static_cast<double>(terms.size());
    double const a = p.advantage[i];
    for (auto j : terms) {
      double const r = std::exp(s.level == ratio_level::sequence ? mean : now[j] - p.old[j]);
      if (s.bound == ratio_bound::soft_gate) {
        double const tau = a > 0 ? s.tau_positive : s.tau_negative;
        sum -= a * 4 / tau / (1 + std::exp(-tau * (r - 1)));
      } else {
        sum -= std::min(r * a, std::clamp(r, 1 - s.clip_low, 1 + s.clip_high) * a);
      }
      double const x = p.reference[j] - now[j];
      if (s.kl == kl_estimator::k1) sum += s.kl_weight * -x;
      if (s.kl == kl_estimator::k2) sum += s.kl_weight * x * x / 2;
      if (s.kl == kl_estimator::k3) sum += s.kl_weight * (std::exp(x) - 1 - x);
    }
    all += static_cast<double>(terms.size());
    loss += s.average == term_average::per_term ? sum : sum / static_cast<double>(terms.size()) / 3;
  }
  return s.average == term_average::per_term ? loss / all : loss;
}
std::vector<policy_surrogate> all_forms() {
  std::vector<policy_surrogate> v{grpo_surrogate(), dapo_surrogate(), sapo_surrogate(), gspo_surrogate()};
  v.back().clip_low = .05, v.back().clip_high = .5;
  for (auto const k : {kl_estimator::k1, kl_estimator::k2, kl_estimator::k3}) {
    auto s = grpo_surrogate();
    s.kl = k, s.kl_weight = .3;
    v.push_back(s);
  }
  return v;
}

}  // namespace

TEST_CASE("objective: GRPO, DAPO, GSPO, SAPO and KL equal their formulas, gradients central differences below 1e-6") {
  problem const p;
  for (auto const& s : all_forms()) {
    auto const a = solve(serial{}, s, p, p.now);
    CHECK(a.total.loss == doctest::Approx(plain(s, p, p.now)).epsilon(1e-12));
    auto const want =
        reference::gradient([&](reference::row const& x) { return solve(serial{}, s, p, x).total.loss; }, p.now, 1e-5);
    for (std::size_t i = 0; i < 18; ++i) CHECK(std::fabs(a.d[i] - want[i]) < 1e-6 * std::max(1., std::fabs(want[i])));
    CHECK(a.total.terms == 14);
    for (std::size_t l = 0; l < 2; ++l) CHECK(a.d[l * 9 + 2] == 0);  // left out
  }
}

TEST_CASE("objective: at equal parameters every ratio is 1, a rollout contributes -A, nothing is clipped") {
  problem const p(0);
  for (auto const& s : {grpo_surrogate(), dapo_surrogate(), gspo_surrogate()}) {
    auto const a = solve(serial{}, s, p, p.now);
    CHECK(a.total.ratio == a.total.terms);
    CHECK(a.total.ratio_most == 1);
    CHECK(a.total.clipped == 0);
    CHECK(a.total.kl == 0);
    if (s.average == term_average::per_rollout)
      for (std::size_t i = 0; i < 3; ++i)
        CHECK(a.rollout[i].loss == doctest::Approx(-p.advantage[i] / 3).epsilon(1e-14));
  }
  problem equal(0);
  equal.advantage = {0, 0, 0};
  for (double const d : solve(serial{}, grpo_surrogate(), equal, equal.now).d) CHECK(d == 0);
}

TEST_CASE("objective: both edges of an asymmetric clip, on both signs of the advantage") {
  policy_surrogate s = grpo_surrogate();
  s.clip_low = .2, s.clip_high = .3;
  auto const slope = [&](double ratio, double a) { return detail::surrogate_term(s, ratio, a).slope; };
  CHECK(slope(1.29, 1) == doctest::Approx(-1.29));
  CHECK(slope(1.31, 1) == 0);
  CHECK(slope(.1, 1) == doctest::Approx(-.1));
  CHECK(slope(.81, -1) == doctest::Approx(.81));
  CHECK(slope(.79, -1) == 0);
  CHECK(slope(5, -1) == doctest::Approx(5));
  CHECK(detail::surrogate_term(s, 1.5, 1).clipped);
  CHECK(!detail::surrogate_term(s, 1.5, 0).clipped);
}

TEST_CASE("objective: statistics are the sums over the terms, and mergeable") {
  problem const p;
  auto const a = solve(serial{}, grpo_surrogate(), p, p.now);
  double ratio = 0, most = 0, clipped = 0;
  for (std::size_t l = 0; l < 2; ++l)
    for (std::size_t t = 0; t < 9; ++t) {
      if (p.included[t] == 0) continue;
      double const r = std::exp(p.now[l * 9 + t] - p.old[l * 9 + t]), adv = p.advantage[t < 4 ? 0 : (t < 7 ? 1 : 2)];
      ratio += r, most = std::max(most, r);
      clipped += (adv > 0 && r >= 1.2) || (adv < 0 && r <= .8);
    }
  CHECK(a.total.ratio == doctest::Approx(ratio).epsilon(1e-13));
  CHECK(a.total.ratio_most == doctest::Approx(most).epsilon(1e-13));
  CHECK(a.total.clipped == clipped);
  CHECK(clipped > 0);
  objective_sums merged;
  for (auto const& r : a.rollout) merged += r;
  CHECK(merged.loss == doctest::Approx(a.total.loss).epsilon(1e-13));
  CHECK(merged.ratio_most == a.total.ratio_most);
}

TEST_CASE("objective: the same bits for every lane group") {
  problem const p;
  for (auto const& s : all_forms()) {
    auto const want = solve(serial{}, s, p, p.now);
    auto const same = [&](auto const& x) {
      auto const got = solve(x, s, p, p.now);
      CHECK(run::same_bits(got.d, want.d));
      CHECK(run::same_bits(got.rollout, want.rollout));
      CHECK(got.total.loss == want.total.loss);
    };
    same(lockstep{3});
    same(lockstep{4});
    same(threads{2});
    same(lockstep_lanes::warp<lockstep_lanes::words<8>>{});
  }
}

TEST_CASE("objective: all positions included says the same as no list, in fewer rows of work") {
  problem listed;
  for (auto& x : listed.included) x = 1;
  problem all = listed;
  all.included.clear();
  for (auto const& s : all_forms()) {
    offset_t rows = 0;
    auto const a = solve(counting{&rows}, s, all, all.now), b = solve(serial{}, s, listed, listed.now);
    CHECK(rows == 4);  // three rollouts and the total
    CHECK(run::same_bits(a.d, b.d));
    CHECK(run::same_bits(a.rollout, b.rollout));
    CHECK(a.total.loss == b.total.loss);
    CHECK(a.total.log_ratio == b.total.log_ratio);
  }
}

TEST_CASE("promise P17: objective names what does not fit") {
  problem p;
  auto s = grpo_surrogate();
  s.kl = kl_estimator::k3;
  p.reference.clear();
  std::vector<objective_sums> rollout(3), total(1);
  matrix_view<double const> const m{p.now.data(), 2, 9};
  auto const r = try_policy_objective(
      serial{}, s,
      policy_batch<double>{
          m, m, {}, row_view<double const>(p.advantage), segments(row_view<offset_t const>(p.offset)), {}},
      policy_gradient<double>{{p.old.data(), 2, 9}, rollout, total});
  CHECK(std::string(message(r).c_str()) == "moeroute: reference rows = 0 must be 2");
}
