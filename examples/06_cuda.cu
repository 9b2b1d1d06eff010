// The whole walk on a GPU: route, plan, permute, experts, combine, on one stream, captured once as a graph and
// replayed. The same verbs as on the CPU; only the executor differs, and all arrays are device memory.
#include <moeroute/cuda.cuh>

#include <thrust/device_vector.h>

#include <cstdio>
#include <vector>

using namespace moeroute;

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("SKIPPED: no CUDA device\n");
    return 77;
  }
  constexpr offset_t tokens = 4, width = 2, k = 2;
  constexpr index_t experts = 6;
  router const r{.score = softmax{}, .select = top_k{fixed<2>}, .weigh = renormalize{}};

  // Everything is allocated before the first launch; the verbs never allocate and never wait.
  thrust::device_vector<float> logits(tokens * experts), weights(tokens * k);
  thrust::device_vector<float> hidden(tokens * width), grouped(tokens * k * width), output(tokens * width);
  thrust::device_vector<index_t> ids(tokens * k);
  thrust::device_vector<offset_t> offsets(experts + 1), slot_of_choice(tokens * k), token_of_slot(tokens * k);
  on_cuda exec{};
  offset_t const wanted = route_workspace_bytes(exec, r, tokens, experts) + plan_workspace_bytes(exec, experts);
  thrust::device_vector<std::byte> memory(static_cast<std::size_t>(wanted));

  auto const at = [](auto& v) { return thrust::raw_pointer_cast(v.data()); };
  batch<> const in{.logits = {at(logits), tokens, experts}};
  routing_view<> const routed{.ids = {at(ids), tokens, k}, .weights = {at(weights), tokens, k}};
  plan_view<> plan{.offsets = offsets, .slot_of_choice = slot_of_choice, .token_of_slot = token_of_slot};
  matrix_view<float> const rows{at(grouped), tokens * k, width};

  auto const step = [&] {
    route(exec, r, in, routed, workspace(memory));
    make_plan(exec, choices_view<>{.ids = routed.ids}, experts, {}, plan, workspace(memory));
    permute(exec, plan, matrix_view<float const>{at(hidden), tokens, width}, rows);
    // ... the experts would work on `rows` here, expert e on rows [offsets[e], offsets[e + 1]) ...
    combine(exec, plan, rows, routed.weights, matrix_view<float>{at(output), tokens, width});
  };

  cudaGraph_t graph;
  cudaGraphExec_t ready;
  check(cudaStreamCreate(&exec.stream), "cudaStreamCreate");
  check(cudaStreamBeginCapture(exec.stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  step();
  check(cudaStreamEndCapture(exec.stream, &graph), "cudaStreamEndCapture");
  check(cudaGraphInstantiate(&ready, graph, 0), "cudaGraphInstantiate");

  for (int round = 0; round < 2; ++round) {
    for (offset_t i = 0; i < tokens * experts; ++i) logits[i] = static_cast<float>((i * 7 + round * 5) % 11) / 4.f;
    for (offset_t i = 0; i < tokens * width; ++i) hidden[i] = static_cast<float>(i + 1);
    check(cudaGraphLaunch(ready, exec.stream), "cudaGraphLaunch");
    check(cudaStreamSynchronize(exec.stream), "cudaStreamSynchronize");
    std::printf("replay %d\n", round);
    for (offset_t t = 0; t < tokens; ++t)  // weights of a token sum to 1, and experts did nothing: output = hidden
      std::printf("  token %d: experts %d %d, output %.3f %.3f\n", static_cast<int>(t),
                  static_cast<index_t>(ids[t * k]), static_cast<index_t>(ids[t * k + 1]),
                  static_cast<double>(output[t * width]), static_cast<double>(output[t * width + 1]));
  }
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(exec.stream);
}
