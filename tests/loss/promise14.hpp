// Decides what every loss term is asked (promise P14): central differences in double, shards that merge bit
// for bit, padding that changes nothing, lockstep groups that give the bits of serial, a gradient that is there.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/loss/observe.hpp>

namespace p14 {

using namespace moeroute;

template <class T>
struct tokens {
  offset_t count = 0;
  index_t experts = 0, k = 0;
  std::vector<T> logits;
  std::vector<index_t> ids, sequence, modality;
  std::vector<std::uint8_t> valid;  // empty: all

  batch<T> view() const {
    batch<T> b;
    b.logits = matrix_view<T const>{logits.data(), count, experts};
    b.sequence = sequence, b.modality = modality, b.valid = valid;
    return b;
  }
  matrix_view<index_t const> choices() const { return {ids.data(), count, k}; }
  tokens rows(offset_t first, offset_t n) const {
    auto const cut = [&](auto const& v, offset_t width) {
      auto const at = v.begin() + first * width;
      return std::decay_t<decltype(v)>(at, at + n * width);
    };
    tokens out{n, experts, k, cut(logits, experts), cut(ids, k), cut(sequence, 1), cut(modality, 1), {}};
    if (!valid.empty()) out.valid = cut(valid, 1);
    return out;
  }
  template <class U>
  tokens<U> as() const {
    return {count, experts, k, std::vector<U>(logits.begin(), logits.end()), ids, sequence, modality, valid};
  }
};

// Normal logits with a tilt towards low ids, chosen by plain top-k.
inline tokens<double> sample(offset_t n, index_t experts, index_t k, double tilt = 1, unsigned seed = 7) {
  tokens<double> t{n, experts, k, {}, std::vector<index_t>(static_cast<std::size_t>(n * k)), {}, {}, {}};
  std::mt19937 rng(seed);
  std::normal_distribution<double> normal;
  for (offset_t i = 0; i < n; ++i) {
    t.sequence.push_back(static_cast<index_t>(i % 3));
    t.modality.push_back(static_cast<index_t>(i % 2));
    for (index_t e = 0; e < experts; ++e) t.logits.push_back(normal(rng) - tilt * e / experts);
    std::vector<index_t> order(static_cast<std::size_t>(experts));
    for (index_t e = 0; e < experts; ++e) order[static_cast<std::size_t>(e)] = e;
    double const* const z = t.logits.data() + i * experts;
    std::sort(order.begin(), order.end(), [&](index_t a, index_t b) { return z[a] > z[b] || (z[a] == z[b] && a < b); });
    for (index_t j = 0; j < k; ++j) t.ids[static_cast<std::size_t>(i * k + j)] = order[static_cast<std::size_t>(j)];
  }
  return t;
}

inline std::vector<std::byte>& memory() {
  static std::vector<std::byte> bytes(std::size_t{1} << 22);
  return bytes;
}

// Exactly the bytes a verb asks for, with garbage in them (promise P13).
inline std::vector<std::byte> poisoned(offset_t bytes) {
  return std::vector<std::byte>(static_cast<std::size_t>(bytes), std::byte{0xAB});
}

template <class X, class P, class R, class T>
std::vector<wide_sum> sums_of(X const& x, P const& term, R const& r, tokens<T> const& t) {
  std::vector<wide_sum> s(static_cast<std::size_t>(term.sums(t.experts)));
  auto w = poisoned(observe_workspace_bytes<X, P, T>(x, term, t.count, t.experts));
  observe(x, term, r, t.view(), t.choices(), row_view<wide_sum>(s), workspace(w));
  return s;
}
template <class P, class R, class T>
double value_of(P const& term, R const& r, tokens<T> const& t) {
  return loss_value(term, t.experts, sums_of(serial{}, term, r, t));
}
template <class X, class P, class R, class T>
std::vector<T> gradient_of(X const& x, P const& term, R const& r, tokens<T> const& t, std::vector<wide_sum> const& sums,
                           double scale = 1) {
  std::vector<T> d(t.logits.size());
  auto w = poisoned(add_gradient_workspace_bytes<X, P, T>(x, term, t.count, t.experts));
  add_gradient(x, term, r, t.view(), t.choices(), row_view<wide_sum const>(sums),
               matrix_view<T>(d.data(), t.count, t.experts), workspace(w), scale);
  return d;
}

// Largest |analytic - central difference| over all logits, relative to the largest gradient.
template <class P, class R>
double gradient_error(P const& term, R const& r, tokens<double> t, double h = 1e-5) {
  auto const d = gradient_of(serial{}, term, r, t, sums_of(serial{}, term, r, t));
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < d.size(); ++i) {
    double const z = t.logits[i];
    t.logits[i] = z + h;
    double const up = value_of(term, r, t);
    t.logits[i] = z - h;
    double const down = value_of(term, r, t);
    t.logits[i] = z;
    worst = std::max(worst, std::fabs(d[i] - (up - down) / (2 * h)));
    largest = std::max(largest, std::fabs(d[i]));
  }
  CHECK(largest > 0);
  return worst / largest;
}

template <class P, class R>
void check(P const& term, R const& r, tokens<double> const& t, double h = 1e-5) {
  CHECK(gradient_error(term, r, t, h) < 1e-6);

  auto const whole = sums_of(serial{}, term, r, t);
  auto const d = gradient_of(serial{}, term, r, t, whole);
  double const value = loss_value(term, t.experts, whole);
  CHECK(std::isfinite(value));

  SUBCASE("shards merge to the bits of the whole, in any order") {
    offset_t const a = t.count / 3, b = t.count / 2;
    auto merged = sums_of(serial{}, term, r, t.rows(b, t.count - b));
    merge_sums(merged, sums_of(serial{}, term, r, t.rows(0, a)));
    merge_sums(merged, sums_of(serial{}, term, r, t.rows(a, b - a)));
    CHECK(merged == whole);
  }
  SUBCASE("threads and lockstep groups give the bits of serial") {
    for (index_t lanes : {2, 3, 8, 32}) {
      auto const s = sums_of(lockstep{lanes}, term, r, t);
      CHECK(s == whole);
      CHECK(gradient_of(lockstep{lanes}, term, r, t, s) == d);
      double v = 0;
      std::vector<std::byte> none;
      CHECK(try_loss_value(lockstep{lanes}, term, t.experts, row_view<wide_sum const>(s), &v, workspace(none)).ok());
      CHECK(v == value);
    }
    CHECK(sums_of(threads{3}, term, r, t) == whole);
    CHECK(gradient_of(threads{3}, term, r, t, whole) == d);
    auto const f = t.template as<float>();
    auto const fs = sums_of(serial{}, term, r, f);
    CHECK(sums_of(lockstep{4}, term, r, f) == fs);
    CHECK(gradient_of(lockstep{4}, term, r, f, fs) == gradient_of(serial{}, term, r, f, fs));
    CHECK(loss_value(term, t.experts, fs) == doctest::Approx(value).epsilon(1e-4));
  }
  SUBCASE("promise P9: padding changes nothing") {
    auto padded = t;
    padded.valid.assign(static_cast<std::size_t>(t.count), 1);
    for (int i = 0; i < 40; ++i) {
      padded.valid.push_back(0), padded.sequence.push_back(0), padded.modality.push_back(0), ++padded.count;
      for (index_t e = 0; e < t.experts; ++e) padded.logits.push_back(e == 1 ? 1e30 : std::nan(""));
      for (index_t j = 0; j < t.k; ++j) padded.ids.push_back(j);
    }
    auto const s = sums_of(serial{}, term, r, padded);
    CHECK(s == whole);
    auto g = gradient_of(serial{}, term, r, padded, s);
    for (std::size_t i = d.size(); i < g.size(); ++i) CHECK(g[i] == 0);
    g.resize(d.size());
    CHECK(g == d);
  }
  SUBCASE("scale multiplies, the gradient is added to what is there") {
    auto twice = gradient_of(serial{}, term, r, t, whole, 2.);
    for (std::size_t i = 0; i < d.size(); ++i) CHECK(twice[i] == 2 * d[i]);
  }
  SUBCASE("no tokens: the loss is a number") {
    auto const none = t.rows(0, 0);
    CHECK(std::isfinite(value_of(term, r, none)));
  }
  SUBCASE("NaN, closed and infinite logits leave finite values and gradients") {
    auto bad = t;
    for (index_t e = 0; e < t.experts; ++e) bad.logits[static_cast<std::size_t>(e)] = -infinity<double>;
    bad.logits[static_cast<std::size_t>(t.experts)] = std::nan("");
    bad.logits[static_cast<std::size_t>(2 * t.experts)] = infinity<double>;
    for (index_t e = 0; e < t.experts; ++e)
      bad.logits[static_cast<std::size_t>(3 * t.experts + e)] = e % 2 == 0 ? 1e4 : -1e4;
    auto const s = sums_of(serial{}, term, r, bad);
    CHECK(std::isfinite(loss_value(term, t.experts, s)));
    bool finite = true;
    for (double x : gradient_of(serial{}, term, r, bad, s)) finite = finite && std::isfinite(x);
    CHECK(finite);
  }
}

// What most terms are tried on.
inline constexpr auto by_softmax = router<>{};
inline constexpr auto by_sigmoid = router<no_gate, no_prior, sigmoid>{};
// Equal logits, one choice a token, experts in turn: perfect balance.
inline tokens<double> flat(offset_t n, index_t experts) {
  tokens<double> t{n, experts, 1, std::vector<double>(static_cast<std::size_t>(n * experts)), {}, {}, {}, {}};
  for (offset_t i = 0; i < n; ++i)
    t.ids.push_back(static_cast<index_t>(i % experts)), t.sequence.push_back(0), t.modality.push_back(0);
  return t;
}

}  // namespace p14
