#include <doctest/doctest.h>

#include <string>

#include <moeroute/core/config.hpp>

#define MOEROUTE_TEST_TEXT_(x) #x
#define MOEROUTE_TEST_TEXT(x) MOEROUTE_TEST_TEXT_(x)

namespace moeroute::inline MOEROUTE_ABI {
struct marker {};
}  // namespace moeroute::inline MOEROUTE_ABI

TEST_CASE("promise P19 config: the inline namespace carries the version and the vector level") {
  std::string const abi = MOEROUTE_TEST_TEXT(MOEROUTE_ABI), level = MOEROUTE_TEST_TEXT(MOEROUTE_LEVEL);
  CHECK(abi ==
        "v" + std::to_string(MOEROUTE_VERSION_MAJOR) + "_" + std::to_string(MOEROUTE_VERSION_MINOR) + "_" + level);
  static_assert(sizeof(moeroute::marker) == 1);
}
