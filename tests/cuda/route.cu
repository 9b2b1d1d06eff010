#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda.cuh>
#include <moeroute/presets.hpp>

#include <support/device.hpp>
#include <support/device_array.cuh>

#include <cuda_bf16.h>
#include <thrust/device_vector.h>

#include <string>
#include <vector>

using namespace moeroute;
using moeroute_test::device_array;
using moeroute_test::no_device;

namespace {

template <class T>
std::vector<T> some_logits(offset_t tokens, index_t experts, std::uint64_t seed) {
  std::vector<T> x;
  draws const d{.seed = seed};
  float const odd[] = {not_a_number<float>, infinity<float>, -infinity<float>, -0.f, 0.f, 1e30f, -1e30f, 1e-40f};
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < experts; ++e) {
      float const u = d.uniform(t, e);
      float z = math::log(u / (1 - u));
      if (t % 8 == 1) z = static_cast<float>(static_cast<int>(4 * u));             // ties
      if (t % 8 == 2) z = .25f;                                                    // constant
      if (t % 8 == 3) z = odd[static_cast<int>(8 * u)];                            // anything
      if (t % 8 == 4) z = e % 37 == 5 ? z : -infinity<float>;                      // nearly all closed
      if (t % 8 == 5) z = u < .3f ? not_a_number<float> : z;
      if (t % 32 == 6) z = -infinity<float>;
      if (t % 32 == 14) z = not_a_number<float>;
      x.push_back(static_cast<T>(z));
    }
  return x;
}

struct answer {
  std::vector<index_t> ids;
  std::vector<float> weights, scores, d_logits;
};
// NaN equals NaN; everything else bit by bit, but that 0 equals -0.
bool same(std::vector<float> const& a, std::vector<float> const& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) equal = a[i] == b[i] || (is_nan(a[i]) && is_nan(b[i]));
  return equal;
}
float largest_difference(std::vector<float> const& a, std::vector<float> const& b) {
  float worst = a.size() == b.size() ? 0 : infinity<float>;
  for (std::size_t i = 0; worst < infinity<float> && i < a.size(); ++i) {
    if (a[i] == b[i] || (is_nan(a[i]) && is_nan(b[i]))) continue;
    float const off = std::abs(a[i] - b[i]) / (std::abs(a[i]) > 1 ? std::abs(a[i]) : 1);
    worst = off <= worst ? worst : (is_nan(off) ? infinity<float> : off);
  }
  return worst;
}

template <class R, class T>
answer on_one_lane(R const& r, std::vector<T> const& logits, offset_t tokens, index_t experts, nan_rule nan) {
  auto const k = static_cast<std::size_t>(r.select.experts_per_token()), n = static_cast<std::size_t>(tokens);
  answer a{std::vector<index_t>(n * k), std::vector<float>(n * k), std::vector<float>(logits.size()),
           std::vector<float>(logits.size())};
  auto const columns = static_cast<offset_t>(k);
  batch<T> const in{.logits = {logits.data(), tokens, experts}, .nan = nan};
  std::vector<std::byte> memory(static_cast<std::size_t>(route_workspace_bytes<serial, R, T>({}, r, tokens, experts)));
  route(serial{}, r, in,
        routing_view<>{{a.ids.data(), tokens, columns}, {a.weights.data(), tokens, columns}, {a.scores.data(), tokens, experts}},
        workspace(memory));
  route_backward(serial{}, r, in, matrix_view<index_t const>{a.ids.data(), tokens, columns},
                 matrix_view<float const>{a.weights.data(), tokens, columns},
                 matrix_view<float>{a.d_logits.data(), tokens, experts}, workspace(memory));
  return a;
}

template <class R, class T>
answer on_device(on_cuda x, R const& r, std::vector<T> const& logits, offset_t tokens, index_t experts, nan_rule nan) {
  auto const k = static_cast<std::size_t>(r.select.experts_per_token()), n = static_cast<std::size_t>(tokens);
  device_array<T> const z(logits);
  device_array<index_t> const ids(n * k);
  device_array<float> const weights(n * k), scores(logits.size()), d_logits(logits.size());
  device_array<std::byte> const memory(static_cast<std::size_t>(route_workspace_bytes<on_cuda, R, T>(x, r, tokens, experts)));
  auto const columns = static_cast<offset_t>(k);
  batch<T> const in{.logits = {z.data(), tokens, experts}, .nan = nan};
  route(x, r, in,
        routing_view<>{{ids.data(), tokens, columns}, {weights.data(), tokens, columns}, {scores.data(), tokens, experts}},
        workspace(memory));
  route_backward(x, r, in, matrix_view<index_t const>{ids.data(), tokens, columns},
                 matrix_view<float const>{weights.data(), tokens, columns},
                 matrix_view<float>{d_logits.data(), tokens, experts}, workspace(memory));
  check(cudaStreamSynchronize(x.stream), "cudaStreamSynchronize");
  CHECK(ids.bands_whole());
  CHECK(weights.bands_whole());
  CHECK(scores.bands_whole());
  CHECK(d_logits.bands_whole());
  CHECK(memory.bands_whole());
  return {ids.read(), weights.read(), scores.read(), d_logits.read()};
}

// Ids and everything a weight is made of agree bit for bit; gradients within a few rounding errors, for
// the compilers may fuse a product into a sum there.
template <class T, class R>
void check_equal(char const* name, R const& r, offset_t tokens, index_t experts, nan_rule nan = nan_rule::rank_last,
                 on_cuda x = {}) {
  CAPTURE(name);
  CAPTURE(tokens);
  CAPTURE(experts);
  auto const logits = some_logits<T>(tokens, experts, 11);
  answer const a = on_one_lane(r, logits, tokens, experts, nan);
  answer const b = on_device(x, r, logits, tokens, experts, nan);
  CHECK(a.ids == b.ids);
  CHECK(largest_difference(a.weights, b.weights) <= 4e-7f);
  CHECK(largest_difference(a.scores, b.scores) <= 4e-7f);
  CHECK(largest_difference(a.d_logits, b.d_logits) <= 2e-6f);
  answer const again = on_device(x, r, logits, tokens, experts, nan);
  CHECK(again.ids == b.ids);
  CHECK(same(again.weights, b.weights));
  CHECK(same(again.d_logits, b.d_logits));
}

router<no_gate, no_prior, sigmoid, correction_bias<>, group_limited_top_k<>, renormalize> v3(float const* bias, index_t experts) {
  return {.bias = {row_view<float const>{bias, experts}}, .select = {.k = 8, .groups = 8, .top_groups = 4},
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
  check_equal<float>("workspace, because nothing may be taken", plain, 600, 3000, nan_rule::rank_last, on_cuda{.shared_limit = 0});
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
  thrust::device_vector<std::byte> memory(static_cast<std::size_t>(route_workspace_bytes(on_cuda{}, r, tokens, experts)));
  batch<> const in{.logits = {thrust::raw_pointer_cast(logits.data()), tokens, experts}, .sequence = sequence};
  route(on_cuda{}, r, in,
        routing_view<>{{thrust::raw_pointer_cast(ids.data()), tokens, k}, {thrust::raw_pointer_cast(weights.data()), tokens, k}},
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
  CHECK(try_route(on_cuda{}, r, in, routing_view<>{{nullptr, 0, 3}, {nullptr, 0, 2}}, workspace{}).code == errc::bad_shape);
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
  status const s = try_route(on_cuda{}, r, batch<>{.logits = {z, 1, 8}}, routing_view<>{{id, 1, 2}, {w, 1, 2}}, workspace{});
  CHECK(s.code == errc::device);
  CHECK_THROWS_AS(route(on_cuda{}, r, batch<>{.logits = {z, 1, 8}}, routing_view<>{{id, 1, 2}, {w, 1, 2}}, workspace{}), error);
}
