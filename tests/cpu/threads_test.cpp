#include <doctest/doctest.h>

#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include <moeroute/cpu/threads.hpp>

using namespace moeroute;

namespace {
// Row r gets r + `add`, by way of scratch.
struct adds {
  std::int64_t* out;
  std::int64_t add;
  offset_t scratch_bytes() const { return 64; }
  void operator()(lane_group auto const&, offset_t r, scratch s) const {
    std::int64_t* const x = s.take<std::int64_t>(1);
    *x = r + add;
    out[r] = *x;
  }
};
struct notes_thread {
  std::thread::id* out;
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const&, offset_t r, scratch) const { out[r] = std::this_thread::get_id(); }
};
void runs(thread_team const& team, offset_t rows, int calls, std::chrono::microseconds rest) {
  std::vector<std::byte> space(static_cast<std::size_t>(team.workspace_bytes(64)));
  std::vector<std::int64_t> out(static_cast<std::size_t>(rows));
  for (int i = 0; i < calls; ++i) {
    if (rest.count() != 0) std::this_thread::sleep_for(rest);
    REQUIRE(team.run(rows, adds{out.data(), i}, workspace(space)).ok());
    bool right = true;
    for (offset_t r = 0; r < rows; ++r) right = right && out[static_cast<std::size_t>(r)] == r + i;
    CHECK(right);
  }
}
}  // namespace

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

TEST_CASE("thread team: every row once a call, whether threads look or sleep between calls, more threads than cores") {
  for (index_t n : {1, 2, 3, 8})
    for (index_t spin_us : {0, 1, 50, 2000}) {
      thread_team const team(n, {.spin_us = spin_us});
      CHECK(team.size() == n);
      for (offset_t rows : {0, 1, 2, 7, 100}) runs(team, rows, 60, std::chrono::microseconds(0));
      runs(team, 20, 5, std::chrono::microseconds(300));  // asleep by then, but for the longest
    }
}

TEST_CASE("thread team: threads asleep or looking are let go, used or not") {
  for (int i = 0; i < 200; ++i) {
    thread_team const team(3, {.spin_us = i % 3 * 20});
    if (i % 2 == 0) runs(team, 5, i % 4, std::chrono::microseconds(0));
    if (i % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(i));
  }
  CHECK(true);
}

TEST_CASE("thread team: too little workspace is refused, and the team goes on") {
  thread_team const team(2);
  std::vector<std::int64_t> out(4);
  std::vector<std::byte> space(static_cast<std::size_t>(team.workspace_bytes(64) - 1));
  status const s = team.run(4, adds{out.data(), 0}, workspace(space));
  CHECK(s.code == errc::too_small);
  CHECK(s.wanted == s.found + 1);
  runs(team, 4, 2, std::chrono::microseconds(0));
}

TEST_CASE("thread team: rows run on as many threads as it has") {
  std::vector<std::thread::id> who(9);
  thread_team const team(3);
  REQUIRE(team.run(9, notes_thread{who.data()}, {}).ok());
  CHECK(std::set<std::thread::id>(who.begin(), who.end()).size() == 3);
  CHECK(who[0] == std::this_thread::get_id());
}
