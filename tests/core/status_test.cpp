#include <doctest/doctest.h>

#include <string>

#include <moeroute/core/status.hpp>
#include <moeroute/core/view.hpp>

using namespace moeroute;

TEST_CASE("promise P17 status: names the argument and both numbers; the first failure wins") {
  checks c;
  c.must_be("a", 3, 3).at_most("select.k", 9, 8).at_least("b", 0, 1);
  CHECK(c.result().code == errc::bad_value);
  CHECK(std::string(message(c.result()).c_str()) == "moeroute: select.k = 9 must be at most 8");
  CHECK(std::string(message(status{}).c_str()) == "ok");
  CHECK_THROWS_WITH_AS(throw_if_bad(c.result()), "moeroute: select.k = 9 must be at most 8", error);
  CHECK_NOTHROW(throw_if_bad(status{}));
}

TEST_CASE("promise P17 status: divisors, strides, optional rows") {
  float x[12]{};
  CHECK_FALSE(checks{}.divides("g", 5, 12).result().ok());
  CHECK_FALSE(checks{}.divides("g", 0, 12).result().ok());
  CHECK(checks{}.divides("g", 4, 12).result().ok());
  CHECK(checks{}.strided("m", matrix_view<float>(x, 3, 4)).result().ok());
  CHECK(checks{}.strided("m", matrix_view<float>(x, 1, 4, 0)).result().ok());
  CHECK(checks{}.strided("m", matrix_view<float>(x, 3, 4, 3)).result().code == errc::bad_stride);
  CHECK(checks{}.readable("m", matrix_view<float>(x, 3, 4, 0)).result().ok());
  CHECK(checks{}.readable("m", matrix_view<float>(x, 3, 4, -1)).result().code == errc::bad_stride);
  CHECK(checks{}.empty_or("r", row_view<float>{}, 4).result().ok());
  CHECK_FALSE(checks{}.empty_or("r", row_view<float>(x, 3), 4).result().ok());
}
