// SMoES: sums as integers.
#include <cmath>

#include "fixture.hpp"

using namespace smoes_test;

TEST_CASE_TEMPLATE("SMoES ticks: to nearest, order free, near the true sum", V, float, double) {
  auto const x = numbers(1).units<V>(1, 5000);
  std::int64_t forward = 0, backward = 0;
  long double exact = 0;
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    forward += ticks<V>::of(x.values[i]), backward += ticks<V>::of(x.values[x.values.size() - 1 - i]);
    exact += x.values[i];
  }
  CHECK(forward == backward);
  CHECK(std::fabs(double(static_cast<long double>(forward) / ticks<V>::unit - exact)) <= 5000 * .5 / ticks<V>::unit);
  CHECK(ticks<V>::of(V(1)) == static_cast<std::int64_t>(ticks<V>::unit));
  CHECK(ticks<V>::of(V(0)) == 0);
  CHECK(ticks<V>::value(ticks<V>::of(V(.375))) == V(.375));
}
