#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/grpo/log_prob.hpp>
#include <moeroute/prior/noise.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

namespace {

using numbers = reference::row;

// The equations, with the sums written out.
double log_sum(numbers const& z, std::vector<int> const& without) {
  double top = -reference::inf, total = 0;
  auto const out = [&](std::size_t e) {
    return std::find(without.begin(), without.end(), static_cast<int>(e)) != without.end();
  };
  for (std::size_t e = 0; e < z.size(); ++e)
    if (!out(e)) top = std::max(top, z[e]);
  for (std::size_t e = 0; e < z.size(); ++e)
    if (!out(e)) total += std::exp(z[e] - top);
  return top + std::log(total);
}
double ordered(numbers const& z, std::vector<int> const& ids) {
  double lp = 0;
  for (std::size_t j = 0; j < ids.size(); ++j)
    lp += z[static_cast<std::size_t>(ids[j])] - log_sum(z, {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(j)});
  return lp;
}
double plain(probability_of what, numbers z, std::vector<int> ids, double temperature) {
  for (auto& x : z) x /= temperature;
  if (what == probability_of::ordered) return ordered(z, ids);
  if (what == probability_of::set) {
    double p = 0;
    std::sort(ids.begin(), ids.end());
    do p += std::exp(ordered(z, ids));
    while (std::next_permutation(ids.begin(), ids.end()));
    return std::log(p);
  }
  double lp = 0;
  for (int e : ids) lp += z[static_cast<std::size_t>(e)] - log_sum(z, {});
  return what == probability_of::product ? lp : lp / static_cast<double>(ids.size());
}

template <class V, class X, class Prior>
std::vector<V> log_prob(X const& x, Prior const& prior, route_measure m, std::vector<V> const& z, offset_t experts,
                        std::vector<index_t> const& ids, batch<V> in = {}) {
  offset_t const tokens = static_cast<offset_t>(z.size()) / experts, k = static_cast<offset_t>(ids.size()) / tokens;
  std::vector<V> out(static_cast<std::size_t>(tokens), V(9));
  std::vector<std::byte> space(static_cast<std::size_t>(route_log_prob_workspace_bytes<X, V>(
                                   x, m, static_cast<index_t>(experts), static_cast<index_t>(k))),
                               std::byte{0xff});
  in.logits = {z.data(), tokens, experts};
  route_log_prob(x, prior, m, in, matrix_view<index_t const>{ids.data(), tokens, k}, row_view<V>(out),
                 workspace(space));
  return out;
}
template <class V, class X, class Prior>
std::vector<V> gradient(X const& x, Prior const& prior, route_measure m, std::vector<V> const& z, offset_t experts,
                        std::vector<index_t> const& ids, std::vector<V> const& d, batch<V> in = {}) {
  offset_t const tokens = static_cast<offset_t>(z.size()) / experts, k = static_cast<offset_t>(ids.size()) / tokens;
  std::vector<V> out(z.size(), V(9));
  std::vector<std::byte> space(static_cast<std::size_t>(route_log_prob_workspace_bytes<X, V>(
                                   x, m, static_cast<index_t>(experts), static_cast<index_t>(k))),
                               std::byte{0xff});
  in.logits = {z.data(), tokens, experts};
  route_log_prob_backward(x, prior, m, in, matrix_view<index_t const>{ids.data(), tokens, k}, row_view<V const>(d),
                          matrix_view<V>{out.data(), tokens, experts}, workspace(space));
  return out;
}
std::vector<double> wide(std::vector<float> const& x) { return {x.begin(), x.end()}; }
std::vector<index_t> some_ids(std::size_t tokens, int experts, int k, unsigned seed) {
  std::mt19937 g(seed);
  std::vector<index_t> out;
  for (std::size_t t = 0; t < tokens; ++t) {
    std::vector<int> e(static_cast<std::size_t>(experts));
    std::iota(e.begin(), e.end(), 0);
    std::shuffle(e.begin(), e.end(), g);
    out.insert(out.end(), e.begin(), e.begin() + k);
  }
  return out;
}
probability_of const forms[] = {probability_of::ordered, probability_of::product, probability_of::per_expert_mean,
                                probability_of::set};

}  // namespace

TEST_CASE("log_prob: every form equals the sums written out, its gradient central differences below 1e-6") {
  for (auto const what : forms)
    for (auto const& [experts, k] : {std::pair{6, 6}, {8, 2}, {5, 1}, {16, 4}}) {
      for (float const temperature : {1.f, 2.5f}) {
        route_measure const m{what, temperature};
        auto const z = wide(inputs::normal(static_cast<std::size_t>(experts), 5u + static_cast<unsigned>(k), 2));
        auto const ids = some_ids(1, experts, k, 3);
        auto const f = [&](numbers const& x) { return log_prob(serial{}, no_prior{}, m, x, experts, ids)[0]; };
        CHECK(f(z) == doctest::Approx(plain(what, z, ids, static_cast<double>(temperature))).epsilon(1e-12));
        auto const got = gradient(serial{}, no_prior{}, m, z, experts, ids, {1.});
        auto const want = reference::gradient(f, z, 1e-5);
        double sum = 0;
        for (std::size_t e = 0; e < z.size(); ++e) {
          CHECK(std::fabs(got[e] - want[e]) < 1e-6 * std::max(1., std::fabs(want[e])));
          sum += got[e];
        }
        CHECK(std::fabs(sum) < 1e-12);
      }
    }
}

TEST_CASE("log_prob: probabilities of all ordered tuples sum to 1, and so do those of all sets") {
  auto const z = wide(inputs::normal(6, 8, 2));
  double tuples = 0, sets = 0;
  for (index_t a = 0; a < 6; ++a)
    for (index_t b = 0; b < 6; ++b)
      for (index_t c = 0; c < 6; ++c) {
        if (a == b || b == c || a == c) continue;
        tuples += std::exp(log_prob(serial{}, no_prior{}, {}, z, 6, {a, b, c})[0]);
        if (a < b && b < c) sets += std::exp(log_prob(serial{}, no_prior{}, {probability_of::set}, z, 6, {a, b, c})[0]);
      }
  CHECK(tuples == doctest::Approx(1).epsilon(1e-12));
  CHECK(sets == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("log_prob: two experts as a set are p q / (1 - p) + p q / (1 - q)") {
  auto const z = wide(inputs::normal(8, 9));
  auto const p = reference::softmax(z);
  double const a = p[3], b = p[5];
  CHECK(log_prob(serial{}, no_prior{}, {probability_of::set}, z, 8, {3, 5})[0] ==
        doctest::Approx(std::log(a * b / (1 - a) + a * b / (1 - b))).epsilon(1e-12));
}

TEST_CASE("log_prob: stable where a subtraction would lose everything") {
  // The first choice holds all mass but e^-60: 1 - p is 0 in double, the log-probability is not.
  std::vector<double> const z{60, 0, -1, -2};
  std::vector<float> const narrow(z.begin(), z.end());
  for (auto const what : {probability_of::ordered, probability_of::set}) {
    double const want = ordered(z, {0, 1, 2});
    double const second_first = what == probability_of::set ? 0. : want;
    double const got = log_prob(serial{}, no_prior{}, {what}, z, 4, {0, 1, 2})[0];
    if (what == probability_of::ordered) CHECK(got == doctest::Approx(second_first).epsilon(1e-12));
    CHECK(static_cast<double>(log_prob(serial{}, no_prior{}, {what}, narrow, 4, {0, 1, 2})[0]) ==
          doctest::Approx(got).epsilon(1e-5));
  }
  // Logits far outside the range of exp; float carries them to 2^-12.
  std::vector<float> const far{-3000, -3001, -9000, 4000};
  CHECK(static_cast<double>(log_prob(serial{}, no_prior{}, {}, far, 4, {3, 0})[0]) ==
        doctest::Approx(-std::log1p(std::exp(-1.))).epsilon(1e-3));
  CHECK(static_cast<double>(log_prob(serial{}, no_prior{}, {probability_of::set}, far, 4, {0, 3})[0]) ==
        doctest::Approx(-std::log1p(std::exp(-1.))).epsilon(1e-3));
}

TEST_CASE("log_prob: closed experts get exactly zero, a route over one is impossible and passes no gradient") {
  std::vector<std::uint8_t> const open{1, 1, 0, 1, 1, 0};
  expert_mask const prior{row_view<std::uint8_t const>(open)};
  auto const z = wide(inputs::normal(12, 4));
  for (auto const what : forms) {
    auto const got = gradient(serial{}, prior, {what}, z, 6, {4, 0, 2, 1}, {1., 1.});
    CHECK(got[2] == 0);
    CHECK(got[5] == 0);
    CHECK(got[4] != 0);
    CHECK(log_prob(serial{}, prior, {what}, z, 6, {4, 0, 2, 1})[1] == -infinity<double>);
    for (std::size_t e = 6; e < 12; ++e) CHECK(got[e] == 0);
  }
}

TEST_CASE("log_prob: empty places end a route; padding counts nothing; NaN is a closed expert") {
  auto const z = wide(inputs::normal(8, 4));
  CHECK(log_prob(serial{}, no_prior{}, {}, z, 4, {2, no_expert, 1, 3})[0] ==
        log_prob(serial{}, no_prior{}, {}, z, 4, {2, 1})[0]);
  CHECK(log_prob(serial{}, no_prior{}, {}, z, 4, {no_expert, no_expert, 1, 3})[0] == 0);
  std::vector<std::uint8_t> const valid{0, 1};
  batch<double> in;
  in.valid = row_view<std::uint8_t const>(valid);
  CHECK(log_prob(serial{}, no_prior{}, {}, z, 4, {2, 0, 1, 3}, in)[0] == 0);
  auto const d = gradient(serial{}, no_prior{}, {}, z, 4, {2, 0, 1, 3}, {1., 1.}, in);
  for (std::size_t e = 0; e < 4; ++e) CHECK(d[e] == 0);
  auto broken = z;
  broken[1] = not_a_number<double>;
  auto closed = z;
  closed[1] = -infinity<double>;
  CHECK(log_prob(serial{}, no_prior{}, {}, broken, 4, {2, 0, 1, 3})[0] ==
        log_prob(serial{}, no_prior{}, {}, closed, 4, {2, 0, 1, 3})[0]);
}

TEST_CASE("log_prob: the slope of a prior is passed on") {
  auto const z = wide(inputs::normal(6, 14));
  logit_jitter<> const prior{.epsilon = .4f};
  std::vector<index_t> const ids{3, 1};
  auto const f = [&](numbers const& x) { return log_prob(serial{}, prior, {}, x, 6, ids)[0]; };
  auto const got = gradient(serial{}, prior, {}, z, 6, ids, {1.});
  auto const want = reference::gradient(f, z, 1e-5);
  for (std::size_t e = 0; e < 6; ++e) CHECK(std::fabs(got[e] - want[e]) < 1e-6);
}

TEST_CASE_TEMPLATE("log_prob: the same bits for every lane group", V, float, double) {
  auto const raw = inputs::normal(7 * 11, 21, 3);
  std::vector<V> z(raw.begin(), raw.end());
  z[3] = -infinity<V>, z[20] = not_a_number<V>;
  auto const ids = some_ids(7, 11, 4, 6);
  std::vector<V> const d{1, -2, 0, V(.5), 1, 1, 3};
  for (auto const what : forms) {
    route_measure const m{what};
    auto const forward = log_prob(serial{}, no_prior{}, m, z, 11, ids);
    auto const back = gradient(serial{}, no_prior{}, m, z, 11, ids, d);
    auto const same = [&](auto const& x) {
      CHECK(run::same_bits(log_prob(x, no_prior{}, m, z, 11, ids), forward));
      CHECK(run::same_bits(gradient(x, no_prior{}, m, z, 11, ids, d), back));
    };
    same(lockstep{3});
    same(lockstep{4});
    same(threads{2});
    same(lockstep_lanes::warp<lockstep_lanes::words<8>>{});
  }
}

TEST_CASE("promise P17: log_prob names what does not fit") {
  std::vector<float> z(8), out(1);
  std::vector<index_t> ids(22);
  batch<> const in{.logits = {z.data(), 2, 4}};
  auto const s = try_route_log_prob(serial{}, no_prior{}, {}, in, matrix_view<index_t const>{ids.data(), 2, 2},
                                    row_view<float>(out), {});
  CHECK(std::string(message(s).c_str()) == "moeroute: log_prob size = 1 must be 2");
  auto const big = try_route_log_prob(serial{}, no_prior{}, {probability_of::set}, in,
                                      matrix_view<index_t const>{ids.data(), 2, 11}, row_view<float>(z.data(), 2), {});
  CHECK(std::string(message(big).c_str()) == "moeroute: measure.of = set: k = 11 must be at most 10");
}
