// Decides whether SparseMixer-v2 masks, samples, weighs and differentiates as its formulas say.
#include <cmath>

#include <moeroute/estimate/sparsemixer.hpp>

#include "support/choice.hpp"

using namespace choice_test;

namespace {

struct result {
  std::vector<index_t> ids;
  std::vector<double> weights, factor;
  std::vector<std::uint8_t> kept;
};
template <class X>
result mix(X const& x, sparsemixer_v2 const& how, std::vector<double> const& z, offset_t experts,
           row_view<offset_t const> token = {}) {
  offset_t const tokens = static_cast<offset_t>(z.size()) / experts;
  auto const places = static_cast<std::size_t>(tokens * how.k);
  result r{std::vector<index_t>(places), std::vector<double>(places), std::vector<double>(places),
           std::vector<std::uint8_t>(places * static_cast<std::size_t>(experts))};
  auto work = memory(sparsemixer_workspace_bytes<X, double>(x, how, static_cast<index_t>(experts)));
  route_sparsemixer(x, how, batch<double>{.logits = {z.data(), tokens, experts}, .token = token},
                    sparsemixer_view<double>{{r.ids.data(), tokens, how.k},
                                             {r.weights.data(), tokens, how.k},
                                             {r.factor.data(), tokens, how.k},
                                             {r.kept.data(), tokens * how.k, experts}},
                    workspace(work));
  return r;
}
std::vector<double> pull(sparsemixer_v2 const& how, std::vector<double> const& z, offset_t experts,
                         std::vector<index_t> const& ids, std::vector<double> const& d) {
  offset_t const tokens = static_cast<offset_t>(z.size()) / experts;
  std::vector<double> out(z.size(), 77.);
  auto work = memory(sparsemixer_workspace_bytes<serial, double>(serial{}, how, static_cast<index_t>(experts)));
  route_sparsemixer_backward(serial{}, how, batch<double>{.logits = {z.data(), tokens, experts}},
                             matrix_view<index_t const>{ids.data(), tokens, how.k},
                             matrix_view<double const>{d.data(), tokens, how.k},
                             matrix_view<double>{out.data(), tokens, experts}, workspace(work));
  return out;
}

}  // namespace

TEST_CASE("S085 preset P28 SparseMixer: evaluation is two masked argmax passes, the second differs from the first") {
  auto const z = normal_numbers(40 * 16, 1, 3);
  auto const out = mix(serial{}, {.jitter_eps = .1f}, z, 16);
  auto const plain = run(router{.select = top_k{2}}, z, 16);
  for (std::size_t t = 0; t < 40; ++t) {
    CHECK(out.ids[2 * t] == plain.ids[2 * t]);
    CHECK(out.ids[2 * t + 1] == plain.ids[2 * t + 1]);
    for (std::size_t j = 0; j < 2; ++j) {
      double top = -1e300, sum = 0;
      auto const gone = [&](std::size_t e) { return j == 1 && static_cast<index_t>(e) == out.ids[2 * t]; };
      for (std::size_t e = 0; e < 16; ++e) top = gone(e) ? top : std::fmax(top, z[16 * t + e]);
      for (std::size_t e = 0; e < 16; ++e) {
        double const x = z[16 * t + e];
        bool const keep = !gone(e) && !((top - x) / std::fmax(std::fabs(x), top) > 2 * static_cast<double>(.1f));
        CHECK(keep == (out.kept[(2 * t + j) * 16 + e] != 0));
        if (keep) sum += std::exp(x - top);
      }
      CHECK(out.weights[2 * t + j] == doctest::Approx(1 / sum).epsilon(1e-9));
      CHECK(out.factor[2 * t + j] == 1);
    }
  }
}

TEST_CASE(
    "S085 SparseMixer: training draws stay inside the mask with the softmax's frequencies; third of the time rule") {
  std::vector<double> const row{2, 1.8, 1.7, 1.5, .2, -1};
  std::size_t const n = 40000;
  std::vector<double> z;
  for (std::size_t i = 0; i < n; ++i) z.insert(z.end(), row.begin(), row.end());
  sparsemixer_v2 const how{.jitter_eps = .2f, .pick = sampling::drawn, .random = {.seed = 5}};
  auto const out = mix(serial{}, how, z, 6);
  std::vector<double> first(6);
  double sum = 0, small = 0, others = 0;
  for (std::size_t e = 0; e < 4; ++e) sum += std::exp(row[e]);
  for (std::size_t i = 0; i < n; ++i) {
    CHECK(out.ids[2 * i] != out.ids[2 * i + 1]);
    ++first[static_cast<std::size_t>(out.ids[2 * i])];
    if (out.ids[2 * i] != 0) ++others, small += out.factor[2 * i] < .5;
    else CHECK(out.factor[2 * i] == 1);
    CHECK(out.kept[2 * i * 6 + static_cast<std::size_t>(out.ids[2 * i])] == 1);
  }
  for (std::size_t e = 0; e < 6; ++e) {
    double const p = e < 4 ? std::exp(row[e]) / sum : 0, nn = static_cast<double>(n);
    CHECK(std::fabs(first[e] - nn * p) <= 4.5 * std::sqrt(nn * p * (1 - p)));
  }
  CHECK(std::fabs(small - .75 * others) <= 4.5 * std::sqrt(others * .75 * .25));
}

TEST_CASE("S085 SparseMixer: evaluation gradient by finite differences; training backward leaves the factor out") {
  auto z = normal_numbers(5 * 8, 7);
  sparsemixer_v2 const how{.jitter_eps = .3f};
  auto const here = mix(serial{}, how, z, 8);
  auto const d = normal_numbers(10, 8);
  auto const found = pull(how, z, 8, here.ids, d);
  double const h = 1e-6;
  for (std::size_t i = 0; i < z.size(); ++i) {
    auto const loss = [&](double shift) {
      double const kept = z[i];
      z[i] = kept + shift;
      auto const there = mix(serial{}, how, z, 8);
      z[i] = kept;
      REQUIRE(there.kept == here.kept);
      double sum = 0;
      for (std::size_t j = 0; j < 10; ++j) sum += d[j] * there.weights[j];
      return sum;
    };
    CHECK(found[i] == doctest::Approx((loss(h) - loss(-h)) / (2 * h)).epsilon(1e-6).scale(1));
  }
  auto trained = how;
  trained.pick = sampling::drawn;
  auto const same = pull(trained, z, 8, here.ids, d);
  for (std::size_t i = 0; i < z.size(); ++i) CHECK(same[i] == found[i]);
}

TEST_CASE("S085 SparseMixer: the mean of the estimator is the gradient of the expected cubic loss") {
  // One pick, output pi_e f_e, loss L(y) = y^3 + 2 y^2 - y. Radau's two points integrate L' exactly:
  // E[estimate] = sum_e dpi_e (L(pi_e f_e) - L(0)) for every e but the argmax, which takes one Euler step.
  std::vector<double> const row{.5, .2, -.3, .1}, f{1.5, -2, 2.5, 1};
  double const pi_sum = [&] {
    double s = 0;
    for (double x : row) s += std::exp(x);
    return s;
  }();
  std::vector<double> pi(4), want(4), mean(4);
  for (std::size_t e = 0; e < 4; ++e) pi[e] = std::exp(row[e]) / pi_sum;
  auto const loss = [](double y) { return y * y * y + 2 * y * y - y; };
  auto const slope = [](double y) { return 3 * y * y + 4 * y - 1; };
  for (std::size_t e = 0; e < 4; ++e) {
    double const y = pi[e] * f[e], step = e == 0 ? y * slope(y) : loss(y);
    for (std::size_t i = 0; i < 4; ++i) want[i] += step * pi[e] * ((e == i) - pi[i]);
  }
  std::size_t const n = 200000;
  std::vector<double> z, d(n);
  for (std::size_t i = 0; i < n; ++i) z.insert(z.end(), row.begin(), row.end());
  sparsemixer_v2 const how{.k = 1, .jitter_eps = 100, .pick = sampling::drawn, .random = {.seed = 3}, .third = 1.f / 3};
  auto const out = mix(serial{}, how, z, 4);
  for (std::size_t i = 0; i < n; ++i) {
    double const fe = f[static_cast<std::size_t>(out.ids[i])];
    d[i] = slope(out.weights[i] * fe) * fe;
  }
  auto const g = pull(how, z, 4, out.ids, d);
  for (std::size_t i = 0; i < z.size(); ++i) mean[i % 4] += g[i] / static_cast<double>(n);
  for (std::size_t i = 0; i < 4; ++i) CHECK(mean[i] == doctest::Approx(want[i]).epsilon(.01).scale(1));
}

TEST_CASE("S085 SparseMixer: lane groups agree, closed rows choose nobody, refusals") {
  auto z = normal_numbers(20 * 9, 11);
  for (std::size_t e = 0; e < 9; ++e) z[e] = e == 3 ? 1 : -infinity<double>;
  z[9] = not_a_number<double>;
  sparsemixer_v2 const how{.jitter_eps = .5f, .pick = sampling::drawn};
  auto const a = mix(serial{}, how, z, 9), b = mix(lockstep{.lanes = 4}, how, z, 9),
             c = mix(lockstep{.lanes = 32}, how, z, 9);
  CHECK(a.ids == b.ids);
  CHECK(a.ids == c.ids);
  CHECK(same_bits(a.weights, b.weights));
  CHECK(same_bits(a.weights, c.weights));
  CHECK(a.ids[0] == 3);
  CHECK(a.ids[1] == no_expert);
  CHECK(a.weights[1] == 0);
  CHECK(!sparsemixer_v2{.k = 5}.validate(4).ok());
  CHECK(!sparsemixer_v2{.jitter_eps = -1}.validate(4).ok());
}
