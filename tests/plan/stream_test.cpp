// Decides whether streamed copies are copies, for every alignment and length, and permute's two ways agree.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/permute.hpp>
#include <moeroute/plan/stream.hpp>

#include "support/travel.hpp"

using namespace moeroute;

TEST_CASE("stream: every alignment and length is copied exactly, and nothing beside it") {
  std::vector<unsigned char> from(200), to(200);
  for (std::size_t i = 0; i < 200; ++i) from[i] = static_cast<unsigned char>(i + 1);
  for (std::size_t a = 0; a < 20; ++a)
    for (std::size_t b = 0; b < 20; ++b)
      for (std::size_t n = 0; n < 100; ++n) {
        std::fill(to.begin(), to.end(), static_cast<unsigned char>(0));
        detail::stream_copy(from.data() + a, to.data() + b, static_cast<offset_t>(n));
        detail::stream_fence();
        bool good =
            std::equal(to.begin() + static_cast<std::ptrdiff_t>(b), to.begin() + static_cast<std::ptrdiff_t>(b + n),
                       from.begin() + static_cast<std::ptrdiff_t>(a));
        for (std::size_t i = 0; i < 200; ++i) good = good && (to[i] == 0 || (i >= b && i < b + n));
        REQUIRE(good);
      }
}

TEST_CASE("promise P7: permute past the caches gives the bits of permute through them") {
  for (offset_t const width : {1, 5, 1024, 1025, 2500}) {
    travel const s(40, 3, 5, width, {.align = 4});
    auto const x = as<float>(s.x);
    std::vector<float> a(static_cast<std::size_t>(s.rows * width + 1), 3.f), b = a;
    matrix_view<float> const to{a.data() + 1, s.rows, width}, past{b.data() + 1, s.rows, width};  // off 16 bytes
    permute_row<float, float, float, offset_t> body{s.plan.view, as_matrix(x, 40, width), {}, to};
    REQUIRE(serial{}.run(40, body, {}).ok());
    body.grouped = past, body.stream = true;
    REQUIRE(threads{2}.run(40, body, {}).ok());
    CHECK(a == b);
  }
}

TEST_CASE("permute streams by itself where the result is large, with the same rows") {
  travel const s(600, 4, 6, 1024);
  REQUIRE(s.plan.offsets.back() * 1024 * 4 >= detail::stream_from_bytes);
  auto const x = as<float>(s.x);
  std::vector<float> grouped(static_cast<std::size_t>(s.rows * 1024));
  permute(threads{2}, s.plan.view, as_matrix(x, 600, 1024), as_matrix(grouped, s.rows, 1024));
  for (offset_t r = 0; r < s.plan.offsets.back(); ++r) {
    auto const t = s.plan.token_of_slot[static_cast<std::size_t>(r)];
    REQUIRE(std::equal(x.begin() + t * 1024, x.begin() + (t + 1) * 1024, grouped.begin() + r * 1024));
  }
}
