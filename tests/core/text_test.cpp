#include <doctest/doctest.h>

#include <limits>
#include <string>

#include <moeroute/core/text.hpp>

using namespace moeroute;

namespace {
std::string shown(auto x) { return text{}.add(x).c_str(); }
}  // namespace

TEST_CASE("text: numbers") {
  CHECK(shown(0) == "0");
  CHECK(shown(std::int64_t{-9223372036854775807 - 1}) == "-9223372036854775808");
  CHECK(shown(2.5f) == "2.5");
  CHECK(shown(1.0) == "1");
  CHECK(shown(-0.001) == "-0.001");
  CHECK(shown(1e-20) == "1e-20");
  CHECK(shown(123456.0) == "123456");
  CHECK(shown(1234567.0) == "1.23457e6");
  CHECK(shown(0.999999999) == "1");
  CHECK(shown(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(shown(std::numeric_limits<double>::quiet_NaN()) == "nan");
}

TEST_CASE("text: never overruns") {
  text t;
  for (int i = 0; i < 1000; ++i) t.add("0123456789");
  CHECK(std::string(t.c_str()).size() == 1023);
}
