#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include <moeroute/core/math.hpp>

using namespace moeroute;

namespace {

template <class V>
long double ulps(V got, long double want) {
  V const w = static_cast<V>(want);
  if (std::isinf(w)) return got == w ? 0.L : 1e9L;
  long double const unit = static_cast<long double>(std::nextafter(std::fabs(w), std::numeric_limits<V>::infinity())) -
                           static_cast<long double>(std::fabs(w));
  return std::fabs((static_cast<long double>(got) - want) / unit);
}

template <class V, class F, class G, class Draw>
long double worst(F f, G g, Draw draw) {
  std::mt19937_64 bits(5);
  long double most = 0;
  for (int i = 0; i < 200000; ++i) {
    V const x = draw(bits);
    most = std::max(most, ulps<V>(f(x), g(static_cast<long double>(x))));
  }
  return most;
}
template <class V>
auto between(V low, V high) {
  return [=](std::mt19937_64& g) { return std::uniform_real_distribution<V>(low, high)(g); };
}
template <class V>
auto magnitudes(int low, int high) {
  return [=](std::mt19937_64& g) {
    V const m = std::uniform_real_distribution<V>(V(.5), V(1))(g);
    return std::ldexp(m, std::uniform_int_distribution<int>(low, high)(g));
  };
}

}  // namespace

TEST_CASE_TEMPLATE("math: errors in ulp are as stated", V, float, double) {
  bool const f = sizeof(V) == 4;
  V const low = f ? V(-103) : V(-740), high = f ? V(88.7) : V(709);
  CHECK(worst<V>([](V x) { return math::exp(x); }, [](long double x) { return expl(x); }, between<V>(low, high)) <=
        1.1L);
  CHECK(worst<V>([](V x) { return math::log(x); }, [](long double x) { return logl(x); },
                 magnitudes<V>(f ? -148 : -1060, f ? 120 : 1000)) <= 2);
  CHECK(worst<V>([](V x) { return math::log(x); }, [](long double x) { return logl(x); }, between<V>(V(.5), V(2))) <=
        2);
  CHECK(worst<V>([](V x) { return math::sigmoid(x); }, [](long double x) { return 1 / (1 + expl(-x)); },
                 between<V>(low / 2, high)) <= 2.5L);
  CHECK(worst<V>([](V x) { return math::softplus(x); }, [](long double x) { return log1pl(expl(x)); },
                 between<V>(low / 2, 80)) <= 3);
  CHECK(worst<V>([](V x) { return math::tanh(x); }, [](long double x) { return tanhl(x); }, magnitudes<V>(-20, 5)) <=
        3);
  CHECK(worst<V>([](V x) { return -math::tanh(-x); }, [](long double x) { return tanhl(x); }, magnitudes<V>(-20, 5)) <=
        3);
}

TEST_CASE_TEMPLATE("math: edges", V, float, double) {
  V const inf = infinity<V>, nan = not_a_number<V>;
  CHECK(math::exp(inf) == inf);
  CHECK(math::exp(-inf) == V(0));
  CHECK(math::exp(V(0)) == V(1));
  CHECK(math::exp(V(1000)) == inf);
  CHECK(math::exp(V(-1000)) == V(0));
  CHECK(std::isnan(math::exp(nan)));
  CHECK(math::log(V(0)) == -inf);
  CHECK(math::log(inf) == inf);
  CHECK(math::log(V(1)) == V(0));
  CHECK(std::isnan(math::log(V(-1))));
  CHECK(std::isnan(math::log(nan)));
  CHECK(math::sigmoid(-inf) == V(0));
  CHECK(math::sigmoid(inf) == V(1));
  CHECK(math::sigmoid(V(0)) == V(.5));
  CHECK(math::softplus(-inf) == V(0));
  CHECK(math::softplus(inf) == inf);
  CHECK(math::tanh(inf) == V(1));
  CHECK(math::tanh(-inf) == V(-1));
  CHECK(math::softplus(V(-80)) > V(0));  // the tail does not vanish
  CHECK(math::sigmoid(V(-80)) > V(0));
}

TEST_CASE_TEMPLATE("math: monotone where order depends on it", V, float, double) {
  std::mt19937_64 g(3);
  auto const draw = between<V>(V(-30), V(30));
  for (int i = 0; i < 100000; ++i) {
    V const x = draw(g), y = std::nextafter(x, infinity<V>) + std::fabs(x) * V(sizeof(V) == 4 ? 4e-7 : 1e-15);
    REQUIRE(math::exp(y) >= math::exp(x));
    REQUIRE(math::sigmoid(y) >= math::sigmoid(x));
    V const step = std::max(std::fabs(x), V(1)) * V(sizeof(V) == 4 ? 2e-6 : 4e-15);  // 3 ulp apart and more
    REQUIRE(math::softplus(x + step) >= math::softplus(x));
  }
}
