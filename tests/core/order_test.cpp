#include <doctest/doctest.h>

#include <iterator>

#include <moeroute/core/order.hpp>

using namespace moeroute;

TEST_CASE_TEMPLATE("promise P2 order: keys as numbers, zeros equal, NaN least", V, float, double) {
  V const inf = infinity<V>, nan = not_a_number<V>, tiny = std::numeric_limits<V>::denorm_min();
  V const ascending[] = {-inf, std::numeric_limits<V>::lowest(), V(-1), -tiny, V(0), tiny,
                         V(1), std::numeric_limits<V>::max(),    inf};
  for (std::size_t i = 0; i + 1 < std::size(ascending); ++i)
    CHECK(order_key(ascending[i]) < order_key(ascending[i + 1]));
  CHECK(order_key(V(-0.)) == order_key(V(0)));
  CHECK(order_key(nan) < order_key(-inf));
  CHECK(order_key(-nan) < order_key(-inf));
  for (V x : ascending) CHECK(from_order_key<V>(order_key(x)) == x);
  CHECK(is_nan(from_order_key<V>(order_key(nan))));
}

TEST_CASE("promise P2 order: ties go to the lower id") {
  using r = ranked<std::int32_t>;
  CHECK(beats(r{5, 1}, r{5, 2}));
  CHECK_FALSE(beats(r{5, 2}, r{5, 1}));
  CHECK(beats(r{6, 9}, r{5, 1}));
  CHECK_FALSE(beats(r{5, 1}, r{5, 1}));
  CHECK(beats(r{least<std::int32_t>, 0}, r{}));  // even a NaN beats nobody
}
