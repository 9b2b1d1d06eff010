// Decides whether calibration text is chosen and weighed as MoEQuant (S169) says.
#include <moeroute/stats/calibration.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

using namespace moeroute;

namespace {
// log P(v | S) and sigma(S) of a toy model: any function of the sequence.
double toy(std::vector<index_t> const& s, row_view<double> log_prob) {
  double h = 1;
  for (index_t v : s) h = h * 1.7 + v;
  double sum = 0;
  for (offset_t v = 0; v < log_prob.size; ++v) sum += std::exp(log_prob[v] = std::sin(h * static_cast<double>(v + 1)));
  for (double& p : log_prob) p -= std::log(sum);
  return .5 + .4 * std::cos(3 * h);
}
}  // namespace

TEST_CASE("S169 MoEQuant: the deviation of use is 0 at uniform use and its formula elsewhere") {
  std::vector<std::int64_t> const even{5, 5, 5, 5, 0, 0, 0, 0}, odd{6, 2, 0, 0, 1, 1, 1, 1};
  CHECK(usage_deviation({even.data(), 2, 4}) == 0);
  double const first = std::sqrt((.5 * .5 + 0 + .25 * .25 * 2) / 4);
  CHECK(usage_deviation({odd.data(), 2, 4}) == doctest::Approx(first / 2).epsilon(1e-14));
}

TEST_CASE("S169 MoEQuant: a beam of one is greedy; a beam that holds everything finds the least cost there is") {
  std::vector<beam_branch> out;
  balanced_beam how{.width = 1, .length = 4, .tau = .7};
  REQUIRE(try_balanced_beam_search(how, 3, {2}, toy, out).ok());
  std::vector<index_t> greedy{2};
  std::vector<double> p(3);
  for (int l = 0; l < 4; ++l) {  // sigma and R are the branch's own: the likeliest symbol
    toy(greedy, row_view<double>{p.data(), 3});
    greedy.push_back(static_cast<index_t>(std::max_element(p.begin(), p.end()) - p.begin()));
  }
  CHECK(out.size() == 1);
  CHECK(out[0].sequence == greedy);

  how.width = 81;
  REQUIRE(try_balanced_beam_search(how, 3, {2}, toy, out).ok());
  CHECK(out.size() == 81);
  double least = infinity<double>;
  std::vector<index_t> best;
  for (int code = 0; code < 81; ++code) {  // every sequence of four, its cost by the definition
    std::vector<index_t> s{2};
    double r = 0, cost = 0;
    for (int l = 0, rest = code; l < 4; ++l, rest /= 3) {
      double const sigma = toy(s, row_view<double>{p.data(), 3});
      r += p[static_cast<std::size_t>(rest % 3)];
      cost = -r / (l + 1) + sigma / .7;
      s.push_back(rest % 3);
    }
    if (cost < least) least = cost, best = s;
  }
  CHECK(out[0].cost == doctest::Approx(least).epsilon(1e-14));
  CHECK(out[0].sequence == best);
  for (std::size_t i = 1; i < out.size(); ++i) CHECK(out[i - 1].cost <= out[i].cost);
  CHECK(try_balanced_beam_search({.width = 0}, 3, {}, toy, out).argument == std::string("beam.width"));
  CHECK(try_balanced_beam_search({.tau = 0}, 3, {}, toy, out).argument == std::string("beam.tau"));
}

TEST_CASE("S169 MoEQuant: weights of 1 give the plain Gram matrix; twice the weight is the row twice") {
  std::vector<float> const x{1, 2, 3, -1, 0, 2}, twice{1, 2, 3, -1, 0, 2, -1, 0, 2};
  std::vector<double> plain(9), ones(9), weighted(9), repeated(9);
  std::vector<double> const one(2, 1.), c{1, 2};
  matrix_view<float const> const rows{x.data(), 2, 3};
  REQUIRE(try_weighted_gram<float>(rows, {}, matrix_view<double>{plain.data(), 3, 3}).ok());
  REQUIRE(try_weighted_gram<float>(rows, row_view<double const>(one), matrix_view<double>{ones.data(), 3, 3}).ok());
  REQUIRE(try_weighted_gram<float>(rows, row_view<double const>(c), matrix_view<double>{weighted.data(), 3, 3}).ok());
  REQUIRE(try_weighted_gram<float>({twice.data(), 3, 3}, {}, matrix_view<double>{repeated.data(), 3, 3}).ok());
  CHECK(plain == std::vector<double>{2, 2, 1, 2, 4, 6, 1, 6, 13});
  CHECK(ones == plain);
  CHECK(weighted == repeated);
  CHECK(try_weighted_gram<float>(rows, {}, matrix_view<double>{plain.data(), 2, 3}).argument == std::string("h rows"));
}
