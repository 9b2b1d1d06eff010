#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/grpo/trace.hpp>
#include <moeroute/router.hpp>
#include <moeroute/select/gumbel_top_k.hpp>
#include <moeroute/select/replay.hpp>

#include "support/inputs.hpp"
#include "support/lockstep_lanes.hpp"
#include "support/reference.hpp"
#include "support/run.hpp"

using namespace moeroute;

TEST_CASE("S069, promise P15: replay of one's own record is the identity, bit for bit") {
  auto const z = inputs::normal(10 * 12, 1);
  std::vector<std::uint8_t> trace(40, 0);
  matrix_view<std::uint8_t> const view{trace.data(), 10, 4};
  gumbel_top_k<index_t> const draw{.k = 4};
  auto const native = run::route(serial{}, router{.select = draw}, z, 12);
  auto const recorded = run::route(lockstep{3}, router{.select = replay{draw, view, replay_mode::record}}, z, 12);
  CHECK(recorded.ids == native.ids);
  {
    router const r{.select = replay{draw, view}};
    auto const a = run::route(serial{}, r, z, 12), b = run::route(lockstep{4}, r, z, 12),
               c = run::route(threads{2}, r, z, 12),
               d = run::route(lockstep_lanes::warp<lockstep_lanes::words<4>>{}, r, z, 12);
    CHECK(a.ids == native.ids);
    CHECK(run::same_bits(a.weights, native.weights));
    CHECK(b.ids == native.ids);
    CHECK(c.ids == native.ids);
    CHECK(d.ids == native.ids);
  }
}

TEST_CASE("S069: moved logits change weights, not ids; the gradient follows the current logits") {
  auto const raw = inputs::normal(3 * 6, 2);
  std::vector<double> z(raw.begin(), raw.end());
  std::vector<index_t> trace{5, 0, 2, 1, 4, 3};
  router const post{.score = identity{},
                    .select = replay{top_k{2}, matrix_view<index_t>{trace.data(), 3, 2}},
                    .weigh = softmax_over_chosen{}};
  auto const a = run::route(serial{}, post, z, 6);
  CHECK(a.ids == trace);
  std::vector<double> const d{1, -1, .5, 0, 2, 1};
  auto const got = run::route_backward(serial{}, post, z, 6, a.ids, d);
  auto const want = reference::gradient(
      [&](reference::row const& x) {
        auto const w = run::route(serial{}, post, x, 6).weights;
        double sum = 0;
        for (std::size_t i = 0; i < 6; ++i) sum += d[i] * w[i];
        return sum;
      },
      z, 1e-6);
  for (std::size_t i = 0; i < z.size(); ++i) CHECK(std::fabs(got[i] - want[i]) < 1e-6);
  for (std::size_t t = 0; t < 3; ++t)
    for (std::size_t e = 0; e < 6; ++e)
      if (static_cast<index_t>(e) != trace[2 * t] && static_cast<index_t>(e) != trace[2 * t + 1])
        CHECK(got[t * 6 + e] == 0);
}

TEST_CASE("S069: rows without a record fall back to the base: sentinel, mask, and the end of the trace") {
  auto const z = inputs::normal(4 * 8, 3);
  std::vector<std::uint8_t> trace{7, 6, 255, 255, 5, 4};
  std::vector<std::uint8_t> const recorded{1, 1, 0};
  auto const native = run::route(serial{}, router{.select = top_k{2}}, z, 8);
  using selector = replay<top_k<index_t>, std::uint8_t>;
  router const r{.select =
                     selector{{2}, {trace.data(), 3, 2}, replay_mode::replay, row_view<std::uint8_t const>(recorded)}};
  auto const got = run::route(serial{}, r, z, 8);
  CHECK(got.id(0, 0) == 7);
  CHECK(got.id(0, 1) == 6);
  for (std::size_t t = 1; t < 4; ++t)
    for (std::size_t j = 0; j < 2; ++j) CHECK(got.id(t, j) == native.id(t, j));
}

TEST_CASE("promise P17: 255 experts fit uint8 with its sentinel, 256 do not; a wild id is nobody") {
  std::vector<std::uint8_t> trace{3, 200};
  using selector = replay<top_k<index_t>, std::uint8_t>;
  router const r{.select = selector{{2}, {trace.data(), 1, 2}, replay_mode::replay, {}}};
  CHECK(validate(r, 255).ok());
  CHECK(std::string(message(validate(r, 256)).c_str()) ==
        "moeroute: experts for the id type of select.trace = 256 must be at most 255");
  auto const got = run::route(serial{}, r, inputs::normal(8, 1), 8);
  CHECK(got.ids == std::vector<index_t>{3, no_expert});
  CHECK(got.weights[1] == 0.f);
}
