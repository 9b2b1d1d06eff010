// Decides whether a gate joined with counting gives the ids, weights and plan of route followed by make_plan.
#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/cuda/route_and_count.hpp>
#include <moeroute/plan.hpp>

#include "support/lockstep_lanes.hpp"
#include "support/plan_arrays.hpp"

using namespace moeroute;

namespace {

template <index_t Warp, index_t Warps, class R>
void check(R const& r, offset_t tokens, index_t experts, std::vector<std::uint8_t> const& valid) {
  CAPTURE(tokens);
  offset_t const k = r.select.experts_per_token();
  std::vector<float> logits(static_cast<std::size_t>(tokens * experts));
  for (offset_t i = 0; i < tokens * experts; ++i)
    logits[static_cast<std::size_t>(i)] =
        static_cast<float>(static_cast<int>(draws{.seed = 9}.bits(i, 0) % 500)) * .01f;
  batch<> const in{.logits = {logits.data(), tokens, experts}, .valid = valid};
  plan_options const options{.align = 4};
  offset_t const rows = plan_rows_bound(tokens * k, experts, options.align);
  plan_arrays<> plain(tokens * k, experts, rows), joined(tokens * k, experts, rows);
  auto const choices = static_cast<std::size_t>(tokens * k);
  std::vector<index_t> ids(choices, -7), ids_joined(choices, -7);
  std::vector<float> weights(choices, -7), weights_joined(choices, -7);
  std::vector<std::byte> memory(1 << 20, std::byte{0xff});
  route(serial{}, r, in, routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}}, workspace(memory));
  make_plan(serial{}, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, options, plain.view, workspace(memory));

  using block = lockstep_lanes::block<Warp, Warps>;
  REQUIRE(
      route_and_plan_by_blocks<8>(block{}, Warps, Warp, r, in,
                                  routing_view<>{{ids_joined.data(), tokens, k}, {weights_joined.data(), tokens, k}},
                                  options, joined.view, workspace(memory), nullptr)
          .ok());
  CHECK(ids == ids_joined);
  CHECK(weights == weights_joined);
  check_same(joined, plain);
}

}  // namespace

TEST_CASE("P10 a gate joined with counting: ids, weights and plan of route and make_plan") {
  router const r{.select = top_k{8}, .weigh = renormalize{}};
  for (offset_t tokens : {1, 7, 64, 150}) {
    check<8, 2>(r, tokens, 40, {});
    check<16, 2>(r, tokens, 40, {});  // two rows a warp
  }
  router const odd_k{.score = sigmoid{}, .select = top_k{3}};  // 512 choices are no whole number of tokens
  check<16, 3>(odd_k, 400, 24, {});
  std::vector<std::uint8_t> valid(400, 1);
  for (std::size_t t = 0; t < 400; t += 3) valid[t] = 0;
  check<16, 3>(odd_k, 400, 24, valid);
}

TEST_CASE("a gate joined with counting says which routers it does not serve") {
  std::vector<float> logits(64);
  std::vector<index_t> ids(40);
  std::vector<float> weights(40);
  router const r{.select = top_k{40}};
  plan_view<offset_t> plan;
  auto const s =
      route_and_plan_by_blocks<8>(lockstep_lanes::block<8, 2>{}, 2, 8, r, batch<>{.logits = {logits.data(), 1, 64}},
                                  routing_view<>{{ids.data(), 1, 40}, {weights.data(), 1, 40}}, {}, plan, {}, nullptr);
  CHECK(s.code == errc::unsupported);
}
