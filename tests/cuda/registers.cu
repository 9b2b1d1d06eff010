#include <doctest/doctest.h>

#include <moeroute/cuda.cuh>
#include <moeroute/cuda/register_rows.cuh>

#include <support/device.hpp>
#include <support/on_both.cuh>

#include <cuda_bf16.h>

using namespace moeroute;
using namespace moeroute_test;

namespace {

template <class T, class R>
void compare(R const& r, R const& r_there, offset_t tokens, index_t experts) {
  CAPTURE(tokens);
  CAPTURE(experts);
  auto const logits = some_logits<T>(tokens, experts, 21);
  answer const a = on_one_lane<false>(r, logits, tokens, experts, nan_rule::rank_last);
  offset_t const k = r.select.experts_per_token();
  device_array<T> const z(logits);
  device_array<index_t> const ids(a.ids.size());
  device_array<float> const weights(a.weights.size());
  on_registers<64, 256> const x{};
  route(x, r_there, batch<T>{.logits = {z.data(), tokens, experts}},
        routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}}, workspace{});
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CHECK(ids.read() == a.ids);
  CHECK(largest_difference(weights.read(), a.weights) <= 4e-7f);
  CHECK(ids.bands_whole());
  CHECK(weights.bands_whole());
}

}  // namespace

TEST_CASE("P7 rows in registers on a device equal one CPU lane, and numbers nobody named run the plain path") {
  if (no_device()) return;
  router const plain{.select = top_k{8}, .weigh = renormalize{}};
  for (index_t experts : {64, 100, 256}) {
    compare<float>(plain, plain, 515, experts);
    compare<__nv_bfloat16>(plain, plain, 515, experts);
  }
  std::vector<float> bias;
  for (index_t e = 0; e < 256; ++e) bias.push_back(static_cast<float>(e % 13) * 0x1p-21f);
  device_array<float> const there(bias);
  using v3 = router<no_gate, no_prior, sigmoid, correction_bias<>, group_limited_top_k<>, renormalize>;
  auto const with = [](float const* b) {
    return v3{.bias = {row_view<float const>{b, 256}},
              .select = {.k = 8, .groups = 8, .top_groups = 4},
              .weigh = {.scale = 2.5f}};
  };
  compare<float>(with(bias.data()), with(there.data()), 515, 256);
}

TEST_CASE("P13 rows in registers ask for no more workspace than on_cuda") {
  on_registers<64, 256> const x{};
  CHECK(x.workspace_bytes(1 << 20) == on_cuda{}.workspace_bytes(1 << 20));
  router const r{.select = top_k{2}};
  CHECK(try_route(x, r, batch<>{.logits = {nullptr, 0, 64}}, routing_view<>{{nullptr, 0, 2}, {nullptr, 0, 2}},
                  workspace{})
            .ok());
}
