#include <doctest/doctest.h>

#include <moeroute/cuda.cuh>
#include <moeroute/cuda/route_and_plan.cuh>

#include <support/device.hpp>
#include <support/on_both.cuh>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

using namespace moeroute;
using namespace moeroute_test;

namespace {

// 515 tokens take a warp each, 8 lanes where few_tokens is 0.
template <class T, class R>
void compare(R const& r, R const& r_there, offset_t tokens, index_t experts, offset_t few_tokens) {
  CAPTURE(tokens);
  CAPTURE(experts);
  auto const logits = some_logits<T>(tokens, experts, 21);
  answer const a = on_one_lane<false>(r, logits, tokens, experts, nan_rule::rank_last);
  offset_t const k = r.select.experts_per_token();
  device_array<T> const z(logits);
  device_array<index_t> const ids(a.ids.size());
  device_array<float> const weights(a.weights.size());
  on_registers<64, 256> const x{.few_tokens = few_tokens};
  route(x, r_there, batch<T>{.logits = {z.data(), tokens, experts}},
        routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}}, workspace{});
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CHECK(ids.read() == a.ids);
  CHECK(largest_difference(weights.read(), a.weights) <= 4e-7f);
  CHECK(ids.bands_whole());
  CHECK(weights.bands_whole());
}

}  // namespace

TEST_CASE(
    "P7 rows in registers on a device equal one CPU lane: numbers that are named, any other, many lanes and few") {
  if (no_device()) return;
  for (offset_t const few : {0, 1024})
    for (index_t const k : {1, 8, 13}) {
      router const plain{.select = top_k{k}, .weigh = renormalize{}};
      for (index_t experts : {64, 101, 256, 300}) {
        compare<float>(plain, plain, 515, experts, few);
        compare<__nv_bfloat16>(plain, plain, 515, experts, few);
        compare<__half>(plain, plain, 515, experts, few);
      }
    }
  std::vector<float> bias;
  for (index_t e = 0; e < 256; ++e) bias.push_back(static_cast<float>(e % 13) * 0x1p-21f);
  device_array<float> const there(bias);
  using v3 = router<no_gate, no_prior, sigmoid, correction_bias<>, group_limited_top_k<>, renormalize>;
  auto const with = [](float const* b, index_t groups) {
    return v3{.bias = {row_view<float const>{b, 256}},
              .select = {.k = 8, .groups = groups, .top_groups = groups / 2},
              .weigh = {.scale = 2.5f}};
  };
  for (index_t const groups : {4, 8, 16})
    for (offset_t const few : {0, 1024})
      compare<float>(with(bias.data(), groups), with(there.data(), groups), 515, 256, few);
}

TEST_CASE("P10 route_and_plan on a device equals route and make_plan") {
  if (no_device()) return;
  offset_t const tokens = 3000, k = 8;
  index_t const experts = 256;
  router const r{.select = top_k{8}, .weigh = renormalize{}};
  auto const logits = some_logits<float>(tokens, experts, 22);
  device_array<float> const z(logits);
  batch<> const in{.logits = {z.data(), tokens, experts}};
  on_registers<256> const x{};
  auto const rows = static_cast<std::size_t>(plan_rows_bound(tokens * k, experts, 16));
  auto const choices = static_cast<std::size_t>(tokens * k);
  auto const bytes = static_cast<std::size_t>(route_and_plan_workspace_bytes(x, experts));
  std::vector<std::vector<std::int32_t>> results;
  for (bool const joined : {true, false}) {
    device_array<index_t> const ids(choices);
    device_array<float> const weights(choices);
    device_array<std::int32_t> const slot(choices), token(rows);
    device_array<offset_t> const offsets(static_cast<std::size_t>(experts) + 1);
    device_array<std::byte> const memory(bytes);
    plan_view<std::int32_t> plan;
    plan.slot_of_choice = {slot.data(), tokens * k};
    plan.token_of_slot = {token.data(), static_cast<offset_t>(rows)};
    plan.offsets = {offsets.data(), experts + 1};
    routing_view<> const out{{ids.data(), tokens, k}, {weights.data(), tokens, k}};
    workspace const w{memory.data(), static_cast<offset_t>(bytes)};
    if (joined) {
      route_and_plan(x, r, in, out, plan_options{.align = 16}, plan, w);
    } else {
      route(x, r, in, out, w);
      make_plan(x.base, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, plan_options{.align = 16}, plan, w);
    }
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    for (auto const* const array : {&ids, &slot, &token}) results.push_back(array->read());
    CHECK(slot.bands_whole());
    CHECK(token.bands_whole());
  }
  for (std::size_t i = 0; i < 3; ++i) CHECK(results[i] == results[i + 3]);
}

TEST_CASE("P13 rows in registers ask for no more workspace than on_cuda") {
  on_registers<64, 256> const x{};
  CHECK(x.workspace_bytes(1 << 20) == on_cuda{}.workspace_bytes(1 << 20));
  router const r{.select = top_k{2}};
  CHECK(try_route(x, r, batch<>{.logits = {nullptr, 0, 64}}, routing_view<>{{nullptr, 0, 2}, {nullptr, 0, 2}},
                  workspace{})
            .ok());
}
