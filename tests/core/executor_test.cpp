#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include <moeroute/core/executor.hpp>
#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>

using namespace moeroute;

namespace {
struct count_rows {
  int* hits;  // rows
  offset_t bytes;
  offset_t scratch_bytes() const { return bytes; }
  void operator()(lane_group auto const& g, offset_t r, scratch s) const {
    if (g.rank() != 0) return;
    if (bytes > 0) {
      auto* const x = s.take<double>(bytes / 8);
      CHECK(reinterpret_cast<std::uintptr_t>(x) % workspace_alignment == 0);
      std::memset(x, 0x5a, static_cast<std::size_t>(bytes));
    }
    ++hits[r];
  }
};
}  // namespace

static_assert(executor<serial> && executor<row_range> && executor<threads> && executor<thread_team> &&
              executor<lockstep>);
static_assert(!executor<int> && !executor<serial_group>);
static_assert(row_body<count_rows> && !row_body<int>);

TEST_CASE("executors: every row once, in scratch of its own, misaligned workspace included") {
  thread_team const team(3);
  auto const check = [](auto const& x) {
    for (offset_t rows : {0, 1, 2, 7, 100}) {
      std::vector<int> hits(static_cast<std::size_t>(rows) + 1);
      count_rows const body{hits.data(), 128};
      std::vector<std::byte> memory(static_cast<std::size_t>(x.workspace_bytes(128)) + 3);
      REQUIRE(x.run(rows, body, workspace{memory.data() + 3, static_cast<offset_t>(memory.size()) - 3}).ok());
      for (offset_t r = 0; r < rows; ++r) CHECK(hits[static_cast<std::size_t>(r)] == 1);
      CHECK(hits.back() == 0);
      CHECK(x.run(rows, body, workspace{memory.data(), x.workspace_bytes(128) - 1}).code == errc::too_small);
    }
  };
  check(serial{});
  check(threads{1});
  check(threads{4});
  check(team);
  check(lockstep{3});
}

TEST_CASE("executors: shares of a batch, for engines that own their threads") {
  std::vector<int> hits(10);
  count_rows const body{hits.data(), 0};
  REQUIRE(row_range{2, 5}.run(10, body, {}).ok());
  REQUIRE(row_range{5, 10}.run(10, body, {}).ok());
  CHECK(hits == std::vector<int>{0, 0, 1, 1, 1, 1, 1, 1, 1, 1});
  CHECK_FALSE(row_range{5, 11}.run(10, body, {}).ok());
  CHECK_FALSE(row_range{-1, 3}.run(10, body, {}).ok());
  CHECK_FALSE(row_range{4, 3}.run(10, body, {}).ok());
  CHECK_FALSE(threads{0}.run(10, body, {}).ok());
  CHECK_FALSE(lockstep{65}.run(10, body, {}).ok());
}
