#include <doctest/doctest.h>

#include <vector>

#include <moeroute/core/prefetch.hpp>

using namespace moeroute;

TEST_CASE("fetch_ahead: asks for any number of bytes, from anywhere in a line, and changes none") {
  std::vector<unsigned char> bytes(1000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * 7);
  auto const before = bytes;
  for (offset_t n : {0, 1, 63, 64, 65, 900})
    for (int from : {0, 1, 63, 64, 99})
      detail::fetch_ahead(bytes.data() + from, n), detail::fetch_ahead<true>(bytes.data() + from, n);
  CHECK(bytes == before);
}
