#include <doctest/doctest.h>

#include <algorithm>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/grpo/guidance.hpp>

#include "support/lockstep_lanes.hpp"
#include "support/run.hpp"

using namespace moeroute;

namespace {

struct mask {
  std::vector<double> q;
  std::vector<std::uint8_t> open;
};
template <class X, class N>
mask guided(X const& x, guidance const& p, std::vector<N> const& counts, offset_t modalities) {
  mask m{std::vector<double>(counts.size(), 9.), std::vector<std::uint8_t>(counts.size(), 9)};
  offset_t const experts = static_cast<offset_t>(counts.size()) / modalities;
  std::vector<std::byte> space(static_cast<std::size_t>(guidance_workspace_bytes(x, modalities)), std::byte{0xff});
  guide(x, p, matrix_view<N const>{counts.data(), modalities, experts},
        matrix_view<double>{m.q.data(), modalities, experts},
        matrix_view<std::uint8_t>{m.open.data(), modalities, experts}, workspace(space));
  return m;
}
std::vector<std::int64_t> const counts{40, 0,  10, 30, 5,  0, 100, 15,   // vision
                                       10, 20, 30, 0,  50, 0, 80,  10};  // text

}  // namespace

TEST_CASE("guidance: q sums to 1 over modalities, is 1/2 where nobody went, and the lowest quarter is closed") {
  auto const m = guided(serial{}, {.percent = 25, .keep_open = 2}, counts, 2);
  for (std::size_t e = 0; e < 8; ++e) CHECK(m.q[e] + m.q[8 + e] == doctest::Approx(1));
  CHECK(m.q[5] == .5);
  CHECK(m.q[0] == doctest::Approx(.2 / (.2 + .05)));
  CHECK(m.open == std::vector<std::uint8_t>{1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1});
}

TEST_CASE("guidance: ties close the lower id; at least `keep_open` stay; P = 0 closes nobody") {
  std::vector<std::int64_t> const equal(16, 7);
  CHECK(guided(serial{}, {.percent = 50, .keep_open = 2}, equal, 2).open ==
        std::vector<std::uint8_t>{0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1});
  auto const tight = guided(serial{}, {.percent = 100, .keep_open = 3}, equal, 2).open;
  CHECK(std::count(tight.begin(), tight.begin() + 8, 1) == 3);
  auto const none = guided(serial{}, {.percent = 0, .keep_open = 2}, counts, 2).open;
  CHECK(std::count(none.begin(), none.end(), 1) == 16);
  // Shares that are equal as fractions tie, whatever the totals: 1/3 of 3 and 1/3 of 7.
  CHECK(guided(serial{}, {.percent = 25, .keep_open = 1}, std::vector<std::int64_t>{1, 2, 3, 6, 1, 2, 3, 6}, 2).open ==
        std::vector<std::uint8_t>{0, 1, 1, 1, 0, 1, 1, 1});
}

TEST_CASE("guidance: scaling one modality's counts leaves the masks as they are; any number of modalities") {
  auto scaled = counts;
  for (std::size_t e = 0; e < 8; ++e) scaled[e] *= 1000003;
  CHECK(guided(serial{}, {}, scaled, 2).open == guided(serial{}, {}, counts, 2).open);
  std::vector<double> const three{4, 1, 1, 2, 1, 4, 1, 2, 1, 1, 4, 2};
  auto const m = guided(serial{}, {.percent = 50, .keep_open = 1}, three, 3);
  CHECK(m.open == std::vector<std::uint8_t>{1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1});
  CHECK(m.q[3] == doctest::Approx(1. / 3));
  auto const one = guided(serial{}, {.percent = 50, .keep_open = 1}, std::vector<double>{1, 2, 3, 4}, 1);
  CHECK(one.q[0] == 1);
}

TEST_CASE("guidance: choices are counted by modality, padding and empty places left out, mergeable") {
  std::vector<index_t> const ids{0, 2, 1, no_expert, 2, 3, 0, 1}, modality{0, 1, 1, 0};
  std::vector<std::uint8_t> const valid{1, 1, 1, 0};
  std::vector<std::int64_t> all(8), parts(8);
  auto const count = [&](auto const& x, std::size_t first, std::size_t n, std::vector<std::int64_t>& c) {
    CHECK(try_count_choices(x, matrix_view<index_t const>{ids.data() + 2 * first, static_cast<offset_t>(n), 2},
                            row_view<index_t const>(modality.data() + first, static_cast<offset_t>(n)),
                            row_view<std::uint8_t const>(valid.data() + first, static_cast<offset_t>(n)),
                            matrix_view<std::int64_t>{c.data(), 2, 4})
              .ok());
  };
  count(serial{}, 0, 4, all);
  CHECK(all == std::vector<std::int64_t>{1, 0, 1, 0, 0, 1, 1, 1});
  count(lockstep{3}, 0, 1, parts);
  count(lockstep_lanes::warp<lockstep_lanes::words<4>>{}, 1, 3, parts);
  CHECK(parts == all);
}

TEST_CASE("guidance: refresh never, or every R steps with a moving average") {
  CHECK(!guidance_refresh{}.due(100));
  guidance_refresh const r{.every = 10, .beta = .75};
  CHECK(!r.due(0));
  CHECK(r.due(20));
  CHECK(!r.due(21));
  std::vector<std::int64_t> const fresh{4, 0, 8, 2};
  std::vector<double> moving{1, 1, 1, 1};
  matrix_view<std::int64_t const> const f{fresh.data(), 2, 2};
  CHECK(try_move_counts(serial{}, r, f, matrix_view<double>{moving.data(), 2, 2}, false).ok());
  CHECK(moving == std::vector<double>{1.75, .75, 2.75, 1.25});
  CHECK(try_move_counts(lockstep{2}, r, f, matrix_view<double>{moving.data(), 2, 2}, true).ok());
  CHECK(moving == std::vector<double>{4, 0, 8, 2});
}

TEST_CASE("guidance: the same bits for every lane group; a closed expert is never chosen under the prior") {
  auto const want = guided(serial{}, {}, counts, 2);
  auto const same = [&](auto const& x) {
    auto const got = guided(x, {}, counts, 2);
    CHECK(run::same_bits(got.q, want.q));
    CHECK(got.open == want.open);
  };
  same(lockstep{3});
  same(threads{2});
  same(lockstep_lanes::warp<lockstep_lanes::words<8>>{});
  std::vector<float> const z(32, 0.f);
  std::vector<index_t> const modality{0, 1, 0, 1};
  batch<> in;
  in.modality = row_view<index_t const>(modality);
  auto const r =
      run::route(serial{}, router{.prior = modality_mask{{want.open.data(), 2, 8}}, .select = top_k{6}}, z, 8, in);
  for (std::size_t t = 0; t < 4; ++t)
    for (std::size_t j = 0; j < 6; ++j) CHECK(want.open[t % 2 * 8 + static_cast<std::size_t>(r.id(t, j))] == 1);
}
