// Decides whether streamed copies are copies, for every alignment and length, and permute's two ways agree.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include <Eigen/Core>

#include <moeroute/combine.hpp>
#include <moeroute/cpu/lockstep.hpp>
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

TEST_CASE("stream: several places side by side get the same bytes, on lines and off them") {
  std::vector<unsigned char> from(9000);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<unsigned char>(i * 7 + i / 256 + 1);
  for (std::size_t const bytes : {0u, 1u, 63u, 64u, 511u, 512u, 513u, 1024u, 1700u, 4096u, 5000u, 8640u})
    for (index_t n = 1; n <= detail::streams_at_once; ++n)
      for (std::size_t const off : {0u, 3u}) {
        std::size_t const each = (bytes + 127) / 64 * 64;  // a line between two places
        std::vector<unsigned char> memory(static_cast<std::size_t>(n) * each + 128);
        unsigned char* const base = memory.data() + (-reinterpret_cast<std::uintptr_t>(memory.data()) & 63) + off;
        std::vector<unsigned char*> to;
        for (std::size_t j = 0; j < static_cast<std::size_t>(n); ++j) to.push_back(base + j * each);
        detail::stream_copies(from.data(), to.data(), n, static_cast<offset_t>(bytes), from.data());
        detail::stream_fence();
        bool good = true;
        for (auto* const t : to) {
          good = good && std::equal(t, t + bytes, from.data());
          good = good && std::all_of(t + bytes, t + each, [](unsigned char b) { return b == 0; });
        }
        REQUIRE(good);
      }
}

TEST_CASE("promise P7: permute past the caches gives the bits of permute through them") {
  for (offset_t const width : {1, 5, 1024, 1025, 2500})
    for (offset_t const k : {1, 3, 11})
      for (std::size_t const off : {0u, 1u}) {  // floats that the rows begin off a line
        travel const s(40, k, 5, width, {.align = 4});
        auto const x = as<float>(s.x);
        offset_t const stride = off == 0 ? (width + 15) / 16 * 16 : width;
        std::vector<float> a(static_cast<std::size_t>(s.rows * stride + 32), 3.f), b = a;
        auto const rows_in = [&](std::vector<float>& v) {
          auto const misfit = (-reinterpret_cast<std::uintptr_t>(v.data()) & 63) / sizeof(float);
          return matrix_view<float>(v.data() + misfit + off, s.rows, width, stride);
        };
        permute_row<float, float, float, offset_t> body{s.plan.view, as_matrix(x, 40, width), {}, rows_in(a)};
        REQUIRE(serial{}.run(40, body, {}).ok());
        body.grouped = rows_in(b), body.stream = true;
        REQUIRE(threads{2}.run(40, body, {}).ok());
        bool same = true;
        for (offset_t r = 0; r < s.rows; ++r)
          for (offset_t d = 0; d < width; ++d) same = same && rows_in(a)[r][d] == rows_in(b)[r][d];
        CHECK(same);
      }
}

TEST_CASE_TEMPLATE("promise P7: combine with rows asked for ahead and results past the caches gives the same bits", T,
                   float, double, Eigen::bfloat16) {
  for (offset_t const width : {1, 63, 64, 200, 1100})
    for (offset_t const k : {1, 8, 16, 21}) {  // more terms than one list holds, too
      travel const s(30, k, 25, width, {.align = 4});
      auto const rows = as<T>(drawn(s.rows * width, 5)), shared = as<T>(drawn(30 * width, 6));
      auto const w = as<float>(s.weights);
      combine_terms<T, float> const in{.rows = as_matrix(rows, s.rows, width),
                                       .weights = as_matrix(w, 30, k),
                                       .shared = as_matrix(shared, 30, width)};
      std::vector<T> want(static_cast<std::size_t>(30 * width)), far = want, streamed = want;
      combine_row<T, float, T, offset_t> body{s.plan.view, in, as_matrix(want, 30, width)};
      REQUIRE(lockstep{3}.run(30, body, {}).ok());
      body.y = as_matrix(far, 30, width), body.far = true;
      REQUIRE(serial{}.run(30, body, {}).ok());
      body.y = as_matrix(streamed, 30, width), body.stream = true;
      REQUIRE(threads{2}.run(30, body, {}).ok());
      CHECK(far == want);
      CHECK(streamed == want);
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
