// Decides whether the Dirichlet prior loss is right: central differences, the value that draws of the prior
// have, closed form for two experts, any lane group.
#include <cmath>

#include "promise14.hpp"

#include <moeroute/loss/dirichlet_prior.hpp>

using namespace p14;

namespace {

struct result {
  double loss = 0;
  std::vector<double> d;
};
template <class X>
result run(X const& x, dirichlet_prior const& term, tokens<double> const& t) {
  result r{0, std::vector<double>(t.logits.size())};
  dirichlet_prior_loss(x, term, router<>{}, t.view(), &r.loss, matrix_view<double>(r.d.data(), t.count, t.experts),
                       workspace(memory()));
  return r;
}
double gradient_error_of(dirichlet_prior const& term, tokens<double> t) {
  auto const r = run(serial{}, term, t);
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < r.d.size(); ++i) {
    double const z = t.logits[i], h = 1e-5;
    t.logits[i] = z + h;
    double const up = run(serial{}, term, t).loss;
    t.logits[i] = z - h;
    double const down = run(serial{}, term, t).loss;
    t.logits[i] = z;
    worst = std::max(worst, std::fabs(r.d[i] - (up - down) / (2 * h)));
    largest = std::max(largest, std::fabs(r.d[i]));
  }
  CHECK(largest > 0);
  return worst / largest;
}

}  // namespace

TEST_CASE(
    "promise P14: Dirichlet prior loss (S115), symmetric and asymmetric, sum and mean, one "
    "modality") {
  std::vector<float> const even(6, .75f), uneven{.2f, .4f, 1.f, 1.5f, 3.f, .9f};
  auto const t = sample(21, 6, 2);
  CHECK(gradient_error_of({.alpha = even, .lambda = .5}, t) < 1e-6);
  CHECK(gradient_error_of({.alpha = uneven, .mean = true}, t) < 1e-6);
  CHECK(gradient_error_of({.alpha = uneven, .by = segment_by::modality, .only = 1}, t) < 1e-6);
  CHECK(run(serial{}, {.alpha = even, .mean = true}, t).loss ==
        doctest::Approx(run(serial{}, {.alpha = even}, t).loss / (21 * 6)));
}
TEST_CASE("promise P14: Dirichlet prior loss, lockstep groups and threads give the bits of serial") {
  std::vector<float> const even(6, .75f);
  auto const t = sample(21, 6, 2);
  auto const a = run(serial{}, {.alpha = even}, t);
  for (index_t lanes : {2, 3, 16}) {
    auto const b = run(lockstep{lanes}, {.alpha = even}, t);
    CHECK(a.loss == b.loss);
    CHECK(a.d == b.d);
  }
  CHECK(run(threads{3}, {.alpha = even}, t).d == a.d);
}
TEST_CASE(
    "promise P9: padding changes nothing in the Dirichlet prior loss, no tokens give 0, bad logits "
    "stay finite") {
  std::vector<float> const even(6, .75f);
  auto t = sample(21, 6, 2);
  auto const a = run(serial{}, {.alpha = even}, t);
  auto padded = t;
  padded.valid.assign(21, 1);
  for (int i = 0; i < 50; ++i) {
    padded.valid.push_back(0), padded.sequence.push_back(0), padded.modality.push_back(0), ++padded.count;
    padded.logits.insert(padded.logits.end(), 6, std::nan(""));
  }
  auto b = run(serial{}, {.alpha = even}, padded);
  CHECK(a.loss == doctest::Approx(b.loss).epsilon(1e-14));
  b.d.resize(a.d.size());
  CHECK(a.d == b.d);
  CHECK(run(serial{}, {.alpha = even}, t.rows(0, 0)).loss == 0);
  for (std::size_t e = 0; e < 6; ++e) t.logits[e] = -infinity<double>, t.logits[6 + e] = e == 0 ? 1e4 : -1e4;
  t.logits[12] = std::nan("");
  auto const bad = run(serial{}, {.alpha = even}, t);
  CHECK(std::isfinite(bad.loss));
  for (double x : bad.d) CHECK(std::isfinite(x));
}
TEST_CASE("S115: draws of the prior cost E n / (6 (n + 1)) on average, collapsed routing far more") {
  offset_t const n = 30;
  std::vector<float> const flat{1, 1};  // E = 2: p uniform on (0, 1), F(p) = p
  std::mt19937 rng(2);
  std::uniform_real_distribution<double> u(1e-9, 1);
  double sum = 0, closed = 0;
  int const batches = 600;
  for (int i = 0; i < batches; ++i) {
    tokens<double> t{n, 2, 1, {}, std::vector<index_t>(30), {}, {}, {}};
    std::vector<double> p;
    for (offset_t j = 0; j < n; ++j) {
      double const x = u(rng);
      p.push_back(x);
      t.logits.push_back(std::log(x / (1 - x))), t.logits.push_back(0);
      t.sequence.push_back(0), t.modality.push_back(0);
    }
    std::sort(p.begin(), p.end());
    for (std::size_t j = 0; j < p.size(); ++j)
      closed += 2 * std::pow(static_cast<double>(j + 1) / 31 - p[j], 2) / batches;
    sum += run(serial{}, {.alpha = flat}, t).loss / batches;
  }
  CHECK(sum == doctest::Approx(closed).epsilon(1e-10));
  CHECK(sum == doctest::Approx(2. * 30 / (6 * 31)).epsilon(.06));
  tokens<double> collapsed{n, 2, 1, {}, std::vector<index_t>(30), std::vector<index_t>(30), std::vector<index_t>(30),
                           {}};
  for (offset_t j = 0; j < n; ++j) collapsed.logits.push_back(9), collapsed.logits.push_back(0);
  CHECK(run(serial{}, {.alpha = flat}, collapsed).loss > 10 * sum);
}
TEST_CASE("S115: equal probabilities rank by token") {
  std::vector<float> const flat{1, 1};
  tokens<double> const t{
      3, 2, 1, std::vector<double>(6), std::vector<index_t>(3), std::vector<index_t>(3), std::vector<index_t>(3), {}};
  double loss = 0;
  std::vector<double> d(6), cdf(6);
  dirichlet_prior_loss(serial{}, dirichlet_prior{.alpha = flat}, router<>{}, t.view(), &loss, matrix_view<double>{},
                       workspace(memory()), 1., matrix_view<double>(cdf.data(), 3, 2),
                       matrix_view<double>(d.data(), 2, 3));
  for (std::size_t e = 0; e < 2; ++e) {
    CHECK(d[3 * e] == doctest::Approx(.5));  // rank 1 of 3: 1/4 against F = 1/2
    CHECK(d[3 * e + 1] == doctest::Approx(0));
    CHECK(d[3 * e + 2] == doctest::Approx(-.5));
  }
  CHECK(loss == doctest::Approx(2 * 2. / 16));
  CHECK(cdf[0] == doctest::Approx(.5));
}
