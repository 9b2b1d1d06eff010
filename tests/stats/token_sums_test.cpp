// Decides whether sums over tokens are complete, the same for every executor, in the workspace asked for.
#include <doctest/doctest.h>

#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/stats/token_sums.hpp>

using namespace moeroute;

namespace {
struct squares {  // sums[i] += (t + i)^2, lane by lane
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const& g, offset_t t, row_view<std::int64_t> sums, scratch) const {
    for (offset_t i = g.rank(); i < sums.size; i += g.size()) sums[i] += (t + i) * (t + i);
  }
};
}  // namespace

TEST_CASE("token sums: every token once, added to what is there, for one chunk and for many") {
  for (offset_t const tokens : {0, 1, 31, 32, 33, 1000}) {
    CAPTURE(tokens);
    std::vector<std::int64_t> wanted(5, 7);
    for (offset_t t = 0; t < tokens; ++t)
      for (offset_t i = 0; i < 5; ++i) wanted[static_cast<std::size_t>(i)] += (t + i) * (t + i);
    auto const sum = [&](auto const& x) {
      std::vector<std::int64_t> into(5, 7);
      auto const bytes = token_sums_workspace_bytes<std::int64_t>(x, tokens, 5, 0);
      std::vector<std::byte> space(static_cast<std::size_t>(bytes), std::byte{0xAA});
      CHECK(
          try_sum_over_tokens<std::int64_t>(x, tokens, row_view<std::int64_t>(into), squares{}, workspace(space)).ok());
      return into;
    };
    CHECK(sum(serial{}) == wanted);
    CHECK(sum(threads{.n = 3}) == wanted);
    CHECK(sum(lockstep{.lanes = 4}) == wanted);
  }
  std::vector<std::int64_t> into(5);
  CHECK(try_sum_over_tokens<std::int64_t>(serial{}, 1000, row_view<std::int64_t>(into), squares{}, workspace{}).code ==
        errc::too_small);
}
