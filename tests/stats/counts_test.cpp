// Decides whether choices are counted, merged over shards, on every executor, in the workspace asked for.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cpu/threads.hpp>
#include <moeroute/stats/counts.hpp>

using namespace moeroute;
using counts_t = std::vector<std::int64_t>;

namespace {
std::vector<std::byte>& memory() {
  static std::vector<std::byte> m(1 << 22);
  return m;
}
std::vector<index_t> random_ids(std::size_t n, index_t experts, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<index_t> ids(n);
  for (auto& e : ids) e = static_cast<index_t>(rng() % static_cast<unsigned>(experts + 2)) - 1;  // also -1 and E
  return ids;
}
}  // namespace

TEST_CASE("promise P10: counts sum to the valid choices, merge over shards, on every executor; odd ids count nowhere") {
  offset_t const T = 3001, k = 3;
  auto const ids = random_ids(static_cast<std::size_t>(T * k), 16, 1);
  std::vector<std::uint8_t> valid(static_cast<std::size_t>(T), 1);
  for (std::size_t t = 0; t < valid.size(); t += 7) valid[t] = 0;
  counts_t plain(16), all(16), parts(16);
  for (offset_t i = 0; i < T * k; ++i)
    if (auto const e = ids[static_cast<std::size_t>(i)];
        e >= 0 && e < 16 && valid[static_cast<std::size_t>(i / k)] != 0)
      ++plain[static_cast<std::size_t>(e)];
  matrix_view<index_t const> const m(ids.data(), T, k);
  count_choices(serial{}, m, row_view<std::uint8_t const>(valid), row_view<std::int64_t>(all), memory());
  CHECK(all == plain);
  count_choices(threads{3}, m.middle_rows(0, 1000), row_view<std::uint8_t const>(valid.data(), 1000),
                row_view<std::int64_t>(parts), memory());
  count_choices(lockstep{4}, m.middle_rows(1000, T - 1000), row_view<std::uint8_t const>(valid.data() + 1000, T - 1000),
                row_view<std::int64_t>(parts), memory());
  CHECK(parts == plain);
  std::vector<std::uint8_t> const bytes{0, 3, 255, 3, 200, 1};
  counts_t few(4);
  count_choices(serial{}, matrix_view<std::uint8_t const>(bytes.data(), 3, 2), {}, row_view<std::int64_t>(few),
                memory());
  CHECK(few == counts_t{1, 1, 0, 2});
  count_choices(serial{}, matrix_view<std::uint8_t const>(bytes.data(), 0, 2), {}, row_view<std::int64_t>(few),
                memory());
  CHECK(few == counts_t{1, 1, 0, 2});
}

TEST_CASE("promise P13: counting needs no more workspace than it says, and says so") {
  counts_t n(8);
  auto const ids = random_ids(400, 8, 2);
  auto const bytes = count_choices_workspace_bytes(serial{}, 200, 8);
  std::vector<std::byte> w(static_cast<std::size_t>(bytes), std::byte{0xAA});
  matrix_view<index_t const> const m(ids.data(), 200, 2);
  CHECK(try_count_choices(serial{}, m, {}, row_view<std::int64_t>(n), workspace(w)).ok());
  CHECK(try_count_choices(serial{}, m, {}, row_view<std::int64_t>(n), workspace(w.data(), 8)).code == errc::too_small);
  offset_t last = 0;
  for (offset_t t : {0, 1, 31, 33, 1000, 40000, 1 << 20}) {
    CHECK(count_choices_workspace_bytes(serial{}, t, 512) >= last);
    last = count_choices_workspace_bytes(serial{}, t, 512);
  }
}
