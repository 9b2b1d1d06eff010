#include <doctest/doctest.h>

#include <moeroute/cpu/threads.hpp>

using namespace moeroute;

TEST_CASE("threads: shares cover the rows and differ by at most one") {
  for (offset_t rows : {offset_t{0}, offset_t{1}, offset_t{10}, offset_t{1} << 40})
    for (offset_t n : {1, 2, 3, 7}) {
      offset_t next = 0;
      for (offset_t i = 0; i < n; ++i) {
        row_range const share = detail::share_of(rows, i, n);
        CHECK(share.first == next);
        CHECK(share.last - share.first >= rows / n);
        CHECK(share.last - share.first <= rows / n + 1);
        next = share.last;
      }
      CHECK(next == rows);
    }
}
