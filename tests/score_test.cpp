#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/score.hpp>

#include "support/inputs.hpp"
#include "support/reference.hpp"

using namespace moeroute;

namespace {
template <class S>
std::vector<double> scores(S const& s, std::vector<double> const& z) {
  memory_row<double const> const row{z.data(), static_cast<index_t>(z.size())};
  auto const m = summarize(s, serial_group{}, row);
  std::vector<double> out;
  for (double x : z) out.push_back(score_of(s, m, x));
  return out;
}
// sum of d_e score_e, its gradient by pull_back against central differences.
template <class S>
void check_gradient(S const& s) {
  auto const noise = inputs::normal(7, 2);
  std::vector<double> const z(noise.begin(), noise.end()), d{1, -2, .5, 3, 0, -1, 2};
  memory_row<double const> const row{z.data(), 7};
  auto const m = summarize(s, serial_group{}, row);
  auto const y = scores(s, z);
  double dot = 0;
  for (std::size_t e = 0; e < 7; ++e) dot += y[e] * d[e];
  auto const want = reference::gradient(
      [&](auto const& x) {
        auto const v = scores(s, x);
        double sum = 0;
        for (std::size_t e = 0; e < 7; ++e) sum += v[e] * d[e];
        return sum;
      },
      z);
  for (std::size_t e = 0; e < 7; ++e) CHECK(std::fabs(pull_back(s, m, z[e], y[e], d[e], dot) - want[e]) < 1e-7);
}
}  // namespace

TEST_CASE("score: each map against its equation") {
  std::vector<double> const z{.3, -2, 5, 0};
  auto const is = [&](auto const& got, auto f) {
    for (std::size_t e = 0; e < 4; ++e) CHECK(got[e] == doctest::Approx(f(z[e])));
  };
  is(scores(sigmoid{}, z), reference::sigmoid);
  is(scores(sqrt_softplus{}, z), [](double x) { return std::sqrt(reference::softplus(x)); });
  is(scores(relu{}, z), [](double x) { return x > 0 ? x : 0; });
  is(scores(identity{}, z), [](double x) { return x; });
  is(scores(soft_cap{2}, z), [](double x) { return 2 * std::tanh(x / 2); });
  is(scores(temperature{.5f}, z), [](double x) { return 2 * x; });
  is(scores(chain{temperature{.5f}, sigmoid{}}, z), [](double x) { return reference::sigmoid(2 * x); });
  auto const p = scores(softmax{}, z), want = reference::softmax(z);
  for (std::size_t e = 0; e < 4; ++e) CHECK(p[e] == doctest::Approx(want[e]));
}

TEST_CASE("score: closed and infinite logits") {
  double const inf = infinity<double>;
  CHECK(scores(softmax{}, {-inf, -inf}) == std::vector<double>{0, 0});
  CHECK(scores(softmax{}, {-inf, 3}) == std::vector<double>{0, 1});
  CHECK(scores(softmax{}, {inf, 3, inf}) == std::vector<double>{.5, 0, .5});
  CHECK(scores(sigmoid{}, {-inf, inf}) == std::vector<double>{0, 1});
  CHECK(scores(sqrt_softplus{}, {-inf})[0] == 0);
  CHECK(scores(soft_cap{3}, {-inf})[0] == -inf);
  CHECK(scores(sqrt_softplus{}, {-80.})[0] == doctest::Approx(std::exp(-40.)));  // P09: stable in the tail
}

TEST_CASE("promise P14 score: pull_back matches finite differences") {
  check_gradient(softmax{});
  check_gradient(sigmoid{});
  check_gradient(sqrt_softplus{});
  check_gradient(relu{});
  check_gradient(identity{});
  check_gradient(soft_cap{2});
  check_gradient(chain{soft_cap{2}, softmax{}});
  check_gradient(chain{temperature{3}, chain{soft_cap{2}, sigmoid{}}});
}

TEST_CASE("score: ratios are the scores up to one factor") {
  std::vector<double> const z{.3, -2, 5, 0};
  memory_row<double const> const row{z.data(), 4};
  auto const whole = softmax{}.summarize(serial_group{}, row), ratios = softmax{}.summarize_ratios(serial_group{}, row);
  double const factor = softmax{}(ratios, z[0]) / softmax{}(whole, z[0]);
  for (double x : z) CHECK(softmax{}(ratios, x) == doctest::Approx(factor * softmax{}(whole, x)));
}

TEST_CASE("promise P17 score: parameters out of range are named") {
  CHECK_FALSE(soft_cap{0}.validate(8).ok());
  CHECK_FALSE(temperature{-1}.validate(8).ok());
  CHECK_FALSE(chain{temperature{0}, softmax{}}.validate(8).ok());
  CHECK(chain{temperature{1}, softmax{}}.validate(8).ok());
}
