#include <doctest/doctest.h>

#include <moeroute/cuda.cuh>
#include <moeroute/presets.hpp>

#include <support/device.hpp>
#include <support/device_array.cuh>
#include <support/on_both.cuh>

#include <cuda_bf16.h>
#include <thrust/device_vector.h>

#include <string>
#include <vector>

using namespace moeroute;
using namespace moeroute_test;

namespace {

router<no_gate, no_prior, sigmoid, correction_bias<>, group_limited_top_k<>, renormalize> v3(float const* bias,
                                                                                             index_t experts) {
  return {.bias = {row_view<float const>{bias, experts}},
          .select = {.k = 8, .groups = 8, .top_groups = 4},
          .weigh = {.scale = 2.5f}};
}

}  // namespace

TEST_CASE("P7 route and its backward on a device equal one CPU lane") {
  if (no_device()) return;
  router const plain{.select = top_k{8}, .weigh = renormalize{}};
  for (offset_t tokens : {0, 1, 2, 33, 257}) {
    check_equal<float>("softmax, top 8, renormalized", plain, tokens, 64);
    check_equal<__nv_bfloat16>("the same, bf16", plain, tokens, 64);
  }
  router const late{.score = identity{}, .select = top_k{fixed<4>}, .weigh = softmax_over_chosen{}};
  for (index_t experts : {4, 31, 33, 160, 512}) check_equal<float>("softmax over the chosen", late, 65, experts);
  for (auto nan : {nan_rule::propagate, nan_rule::drop_row}) check_equal<float>("nan rules", plain, 65, 64, nan);
}

TEST_CASE("P7 long rows: a block a row, scratch in shared memory and in the workspace") {
  if (no_device()) return;
  router const plain{.select = top_k{8}, .weigh = renormalize{}};
  check_equal<float>("a block a row", plain, 9, 3000);
  check_equal<float>("more than 48 KB of shared memory", plain, 9, 9000);
  check_equal<float>("workspace", plain, 9, 20000);
  check_equal<float>("workspace, because nothing may be taken", plain, 600, 3000, nan_rule::rank_last,
                     on_cuda{.shared_limit = 0});
}

TEST_CASE("P12 more rows than a grid holds at a time") {
  if (no_device()) return;
  check_equal<float>("walked in strides", router{.select = top_k{2}}, 4 * on_cuda::most_blocks + 5, 8);
}

TEST_CASE("P7 DeepSeek-V3 on a device: groups and a bias on the device") {
  if (no_device()) return;
  constexpr offset_t tokens = 129;
  constexpr index_t experts = 256;
  std::vector<float> bias;
  for (index_t e = 0; e < experts; ++e) bias.push_back(static_cast<float>(e % 13) * .01f);
  auto const logits = some_logits<float>(tokens, experts, 5);
  answer const a = on_one_lane(v3(bias.data(), experts), logits, tokens, experts, nan_rule::rank_last);
  device_array<float> const there(bias);
  answer const b = on_device({}, v3(there.data(), experts), logits, tokens, experts, nan_rule::rank_last);
  CHECK(a.ids == b.ids);
  CHECK(largest_difference(a.weights, b.weights) <= 4e-7f);
  CHECK(largest_difference(a.d_logits, b.d_logits) <= 2e-6f);
}

TEST_CASE("P13 route is captured in a graph and replayed with new data") {
  if (no_device()) return;
  constexpr offset_t tokens = 40, k = 3;
  constexpr index_t experts = 48;
  router const r{.select = top_k{static_cast<index_t>(k)}, .weigh = renormalize{}};
  device_array<float> logits(some_logits<float>(tokens, experts, 1));
  device_array<index_t> const ids(tokens * k);
  device_array<float> const weights(tokens * k);
  cudaStream_t stream;
  check(cudaStreamCreate(&stream), "cudaStreamCreate");
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  status const s = try_route(on_cuda{stream}, r, batch<>{.logits = {logits.data(), tokens, experts}},
                             routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}}, workspace{});
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  CHECK(s.ok());
  check(cudaGraphInstantiate(&ready, graph, 0), "cudaGraphInstantiate");
  for (std::uint64_t seed : {1, 2, 3}) {
    auto const fresh = some_logits<float>(tokens, experts, seed);
    logits.write(fresh);
    check(cudaGraphLaunch(ready, stream), "cudaGraphLaunch");
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    CHECK(ids.read() == on_one_lane(r, fresh, tokens, experts, nan_rule::rank_last).ids);
  }
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

TEST_CASE("views and workspaces come from thrust::device_vector") {
  if (no_device()) return;
  constexpr offset_t tokens = 7, k = 2;
  constexpr index_t experts = 8;
  auto const host = some_logits<float>(tokens, experts, 4);
  thrust::device_vector<float> const logits(host.begin(), host.end());
  thrust::device_vector<index_t> ids(tokens * k), sequence(tokens, 0);
  thrust::device_vector<float> weights(tokens * k);
  router const r{.select = top_k{static_cast<index_t>(k)}};
  thrust::device_vector<std::byte> memory(
      static_cast<std::size_t>(route_workspace_bytes(on_cuda{}, r, tokens, experts)));
  batch<> const in{.logits = {thrust::raw_pointer_cast(logits.data()), tokens, experts}, .sequence = sequence};
  route(on_cuda{}, r, in,
        routing_view<>{{thrust::raw_pointer_cast(ids.data()), tokens, k},
                       {thrust::raw_pointer_cast(weights.data()), tokens, k}},
        workspace(memory));
  std::vector<index_t> back(ids.size());
  thrust::copy(ids.begin(), ids.end(), back.begin());
  CHECK(back == on_one_lane(r, host, tokens, experts, nan_rule::rank_last).ids);
}

// ---- no device needed from here on ---------------------------------------------------------------------------

TEST_CASE("P13 the workspace of a device is known beforehand and grows with the scratch of a row") {
  on_cuda const x{};
  offset_t before = 0;
  for (offset_t bytes = 0; bytes < 400'000; bytes += 999) {
    CHECK(x.workspace_bytes(bytes) >= before);
    before = x.workspace_bytes(bytes);
  }
  CHECK(x.workspace_bytes(96 * 1024) == 0);
  CHECK(x.workspace_bytes(96 * 1024 + 1) > 264 * 96 * 1024);
  router const r{.select = top_k{8}};
  CHECK(route_workspace_bytes(x, r, 1 << 20, 256) == 0);
  status const s = try_route(x, r, batch<>{.logits = {nullptr, 1, 20000}},
                             routing_view<>{{nullptr, 1, 8}, {nullptr, 1, 8}}, workspace{});
  CHECK(s.code == errc::too_small);
}

TEST_CASE("P17 shapes are checked before anything is launched, and no rows launch nothing") {
  router const r{.select = top_k{2}};
  batch<> const in{.logits = {nullptr, 0, 8}};
  CHECK(try_route(on_cuda{}, r, in, routing_view<>{{nullptr, 0, 2}, {nullptr, 0, 2}}, workspace{}).ok());
  CHECK(try_route(on_cuda{}, r, in, routing_view<>{{nullptr, 0, 3}, {nullptr, 0, 2}}, workspace{}).code ==
        errc::bad_shape);
}

TEST_CASE("a refusal of the runtime is a status of code device, or a cuda_error with call, file and line") {
  status const s = device_status(cudaErrorInvalidConfiguration, "launch of rows");
  CHECK(s.code == errc::device);
  CHECK(s.found == cudaErrorInvalidConfiguration);
  CHECK(std::string(message(s).c_str()) == "moeroute: launch of rows: invalid configuration argument (CUDA error 9)");
  CHECK(device_status(cudaSuccess, "x").ok());
  try {
    check(cudaErrorMemoryAllocation, "cudaMalloc");
    FAIL("check did not throw");
  } catch (cuda_error const& e) {
    CHECK(e.code() == cudaErrorMemoryAllocation);
    CHECK(std::string(e.what()).find("cudaMalloc: out of memory (CUDA error 2) at ") != std::string::npos);
    CHECK(std::string(e.what()).find("route.cu:") != std::string::npos);
  }
  CHECK_NOTHROW(check(cudaSuccess, "cudaMalloc"));
}

TEST_CASE("P17 without a device a launch says so") {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return;
  router const r{.select = top_k{2}};
  float z[8]{}, w[2];
  index_t id[2];
  status const s =
      try_route(on_cuda{}, r, batch<>{.logits = {z, 1, 8}}, routing_view<>{{id, 1, 2}, {w, 1, 2}}, workspace{});
  CHECK(s.code == errc::device);
  CHECK_THROWS_AS(route(on_cuda{}, r, batch<>{.logits = {z, 1, 8}}, routing_view<>{{id, 1, 2}, {w, 1, 2}}, workspace{}),
                  error);
}
