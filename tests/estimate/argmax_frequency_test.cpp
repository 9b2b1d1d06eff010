// Decides whether the gate comes to the frequency with which each expert is best.
#include <moeroute/estimate/argmax_frequency.hpp>

#include "support/choice.hpp"

using namespace choice_test;

TEST_CASE("S181 PMOE: one weight vector descends to the argmax frequencies; gradient to the gate alone") {
  auto const q = normal_numbers(2000 * 3, 1);
  std::vector<double> frequency(3);
  for (std::size_t t = 0; t < 2000; ++t) {
    std::size_t best = 0;
    for (std::size_t e = 1; e < 3; ++e) best = q[3 * t + e] > q[3 * t + best] ? e : best;
    frequency[best] += 1. / 2000;
  }
  for (auto const form : {frequency_loss::squared, frequency_loss::cross_entropy}) {
    std::vector<double> w{.8, .1, .1};
    for (int step = 0; step < 400; ++step) {
      std::vector<double> rows, d(6000);
      for (std::size_t t = 0; t < 2000; ++t) rows.insert(rows.end(), w.begin(), w.end());
      argmax_frequency{.form = form}({rows.data(), 2000, 3}, {q.data(), 2000, 3}, {d.data(), 2000, 3});
      for (std::size_t i = 0; i < 6000; ++i) w[i % 3] -= .05 * d[i];
    }
    for (std::size_t e = 0; e < 3; ++e) CHECK(w[e] == doctest::Approx(frequency[e]).epsilon(1e-3));
  }
}

TEST_CASE("S181 PMOE: gradients by finite differences, 0 at the label, NaN never wins") {
  std::vector<double> w{.5, .2, .3, .1, .6, .3};
  std::vector<double> const q{1, 2, not_a_number<double>, 3, 0, 0};
  for (auto const form : {frequency_loss::squared, frequency_loss::cross_entropy}) {
    argmax_frequency const loss{.form = form, .alpha = 2};
    std::vector<double> d(6);
    loss({w.data(), 2, 3}, {q.data(), 2, 3}, {d.data(), 2, 3});
    for (std::size_t i = 0; i < 6; ++i) {
      double const kept = w[i];
      w[i] = kept + 1e-6;
      double const up = loss({w.data(), 2, 3}, {q.data(), 2, 3});
      w[i] = kept - 1e-6;
      double const down = loss({w.data(), 2, 3}, {q.data(), 2, 3});
      w[i] = kept;
      CHECK(d[i] == doctest::Approx((up - down) / 2e-6).epsilon(1e-6));
    }
  }
  std::vector<double> const exact{0, 1, 0, 1, 0, 0};
  CHECK(argmax_frequency{}({exact.data(), 2, 3}, {q.data(), 2, 3}) == 0);
}
