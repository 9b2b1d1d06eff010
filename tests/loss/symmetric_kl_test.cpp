// Decides whether the two passes of THOR are drawn uniformly and paid for where they disagree.
#include <moeroute/loss/symmetric_kl.hpp>
#include <moeroute/select/noisy_top_k.hpp>

#include <algorithm>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S090 THOR: uniform over the open experts, the same for the same seed and step") {
  std::vector<float> z(16000 * 6, 0.f);
  for (std::size_t i = 2; i < z.size(); i += 6) z[i] = -infinity<float>;
  uniform_random chance{.random = {.seed = 3}};
  auto const a = run(router{.select = chance}, z, 6);
  double chi = 0;
  for (index_t e = 0; e < 6; ++e) {
    auto const n = static_cast<double>(std::count(a.ids.begin(), a.ids.end(), e));
    if (e == 2) CHECK(n == 0);
    else chi += (n - 3200) * (n - 3200) / 3200;
  }
  CHECK(chi < 18.5);  // 4 degrees of freedom, 0.1 %
  CHECK(a.ids == run(router{.select = chance}, z, 6).ids);
  chance.random.step = 1;
  CHECK(a.ids != run(router{.select = chance}, z, 6).ids);
}

TEST_CASE("S090 THOR: one draw for a batch, one for a sequence; lane groups") {
  std::vector<float> const z(40 * 8, 0.f);
  std::vector<index_t> sequence;
  for (index_t i = 0; i < 40; ++i) sequence.push_back(i / 10);
  batch<float> const in{.logits = {z.data(), 40, 8}, .sequence = sequence};
  uniform_random chance{.per = granularity::batch};
  auto const whole = run(serial{}, router{.select = chance}, in);
  for (offset_t t = 0; t < 40; ++t) CHECK(whole.id(t, 0) == whole.id(0, 0));
  chance.per = granularity::sequence;
  auto const each = run(serial{}, router{.select = chance}, in);
  bool differ = false;
  for (offset_t t = 0; t < 40; ++t) {
    CHECK(each.id(t, 0) == each.id(t / 10 * 10, 0));
    differ = differ || each.id(t, 0) != each.id(0, 0);
  }
  CHECK(differ);
  check_same_on_every_group(router{.select = chance}, in);
}

TEST_CASE("S090 symmetric KL: 0 when passes agree, the identity of its two halves, gradient") {
  std::vector<double> p{.5, .3, .2, .1, .1, .8}, q{.4, .4, .2, .3, .3, .4};
  matrix_view<double const> const a{p.data(), 2, 3}, b{q.data(), 2, 3};
  symmetric_kl const loss{.alpha = 2};
  CHECK(loss(a, a) == 0);
  double kl = 0;
  for (std::size_t i = 0; i < 6; ++i) kl += p[i] * std::log(p[i] / q[i]) + q[i] * std::log(q[i] / p[i]);
  CHECK(loss(a, b) == doctest::Approx(kl));
  std::vector<double> dp(6), dq(6);
  loss(a, b, {dp.data(), 2, 3}, {dq.data(), 2, 3});
  for (std::size_t i = 0; i < 6; ++i)
    for (auto [v, d] : {std::pair{&p, &dp}, std::pair{&q, &dq}}) {
      double const kept = (*v)[i];
      (*v)[i] = kept + 1e-6;
      double const up = loss(a, b);
      (*v)[i] = kept - 1e-6;
      double const down = loss(a, b);
      (*v)[i] = kept;
      CHECK((*d)[i] == doctest::Approx((up - down) / 2e-6).epsilon(1e-6));
    }
}
