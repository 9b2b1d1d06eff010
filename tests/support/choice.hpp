// Decides how tests of selectors run a router: on vectors, on every CPU lane group, with central differences.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/route_backward.hpp>

namespace choice_test {

using namespace moeroute;

template <class V>
struct routed {
  offset_t tokens, k;
  std::vector<index_t> ids;
  std::vector<V> weights, scores;

  index_t id(offset_t t, offset_t j) const { return ids[static_cast<std::size_t>(t * k + j)]; }
  V weight(offset_t t, offset_t j) const { return weights[static_cast<std::size_t>(t * k + j)]; }
  V dense(offset_t t, index_t e) const {  // the weight of expert e, 0 if not chosen
    for (offset_t j = 0; j < k; ++j)
      if (id(t, j) == e) return weight(t, j);
    return 0;
  }
  index_t count(offset_t t) const {
    index_t n = 0;
    for (offset_t j = 0; j < k; ++j) n += id(t, j) != no_expert;
    return n;
  }
  bool chose(offset_t t, index_t e) const {
    for (offset_t j = 0; j < k; ++j)
      if (id(t, j) == e) return true;
    return false;
  }
};

inline std::vector<std::byte> memory(offset_t bytes) {  // garbage on purpose
  return std::vector<std::byte>(static_cast<std::size_t>(bytes), std::byte{0xFF});
}

template <class X, class R, class V>
routed<V> run(X const& x, R const& r, batch<V> const& in) {
  offset_t const tokens = in.logits.rows, k = r.select.experts_per_token();
  auto const places = static_cast<std::size_t>(tokens * k);
  routed<V> out{tokens, k, std::vector<index_t>(places, 77), std::vector<V>(places, V(77)),
                std::vector<V>(static_cast<std::size_t>(tokens * in.logits.cols))};
  auto work = memory(route_workspace_bytes<X, R, V>(x, r, tokens, static_cast<index_t>(in.logits.cols)));
  route(x, r, in,
        routing_view<index_t, V>{
            {out.ids.data(), tokens, k}, {out.weights.data(), tokens, k}, {out.scores.data(), tokens, in.logits.cols}},
        workspace(work));
  return out;
}
template <class R, class V>
routed<V> run(R const& r, std::vector<V> const& logits, offset_t experts) {
  offset_t const tokens = static_cast<offset_t>(logits.size()) / experts;
  return run(serial{}, r, batch<V>{.logits = {logits.data(), tokens, experts}});
}
template <class V>
bool same_bits(std::vector<V> const& a, std::vector<V> const& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(V)) == 0);
}
template <class R, class V>
void check_same_on_every_group(R const& r, batch<V> const& in) {
  auto const a = run(serial{}, r, in);
  auto const check = [&](auto const& x) {
    auto const b = run(x, r, in);
    CHECK(a.ids == b.ids);
    CHECK(same_bits(a.weights, b.weights));
  };
  check(lockstep{.lanes = 2});
  check(lockstep{.lanes = 5});
  check(lockstep{.lanes = 32});
  check(threads{3});
}

inline std::vector<double> normal_numbers(std::size_t n, unsigned seed, double scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> d(0, scale);
  std::vector<double> x(n);
  for (auto& v : x) v = d(random);
  return x;
}
inline std::vector<float> narrow(std::vector<double> const& x) { return std::vector<float>(x.begin(), x.end()); }

template <class R, class V>
std::vector<V> gradient(R const& r, batch<V> const& in, std::vector<index_t> const& ids, std::vector<V> const& d) {
  offset_t const tokens = in.logits.rows, k = r.select.experts_per_token();
  std::vector<V> out(static_cast<std::size_t>(tokens * in.logits.cols), V(77));
  auto work = memory(route_workspace_bytes<serial, R, V>(serial{}, r, tokens, static_cast<index_t>(in.logits.cols)));
  route_backward(serial{}, r, in, matrix_view<index_t const>{ids.data(), tokens, k},
                 matrix_view<V const>{d.data(), tokens, k}, matrix_view<V>{out.data(), tokens, in.logits.cols},
                 workspace(work));
  return out;
}
// The gradient of sum(d * weights) against central differences, where the choice does not move.
template <class R>
void check_gradient(R const& r, std::vector<double> logits, offset_t experts, batch<double> in = {},
                    double tolerance = 1e-6) {
  offset_t const tokens = static_cast<offset_t>(logits.size()) / experts;
  in.logits = {logits.data(), tokens, experts};
  auto const here = run(serial{}, r, in);
  auto const d = normal_numbers(here.weights.size(), 99);
  auto const found = gradient(r, in, here.ids, d);
  auto const loss = [&] {
    auto const there = run(serial{}, r, in);
    REQUIRE(there.ids == here.ids);
    double sum = 0;
    for (std::size_t i = 0; i < d.size(); ++i) sum += d[i] * there.weights[i];
    return sum;
  };
  double const h = 1e-5;
  double biggest = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    double const z = logits[i];
    logits[i] = z + h;
    double const up = loss();
    logits[i] = z - h;
    double const down = loss();
    logits[i] = z;
    CHECK(found[i] == doctest::Approx((up - down) / (2 * h)).epsilon(tolerance).scale(1));
    biggest = std::fmax(biggest, std::fabs(found[i]));
  }
  CHECK(biggest > 0);
}

}  // namespace choice_test
