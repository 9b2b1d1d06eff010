// Decides whether a captured step holds when the number of tokens shrinks: arrays keep their sizes, `valid` in device memory
// says which tokens there are, and every replay gives what one CPU lane gives.
#include <doctest/doctest.h>

#include <moeroute/cuda.cuh>

#include <support/device.hpp>
#include <support/device_array.cuh>
#include <support/on_both.cuh>

using namespace moeroute;
using namespace moeroute_test;

namespace {

constexpr offset_t tokens = 600, k = 4, width = 48, align = 8;
constexpr index_t experts = 16;

template <class T>
std::vector<T> numbers(offset_t n, std::uint64_t seed) {
  std::vector<T> x;
  for (offset_t i = 0; i < n; ++i) x.push_back(static_cast<T>(draws{.seed = seed}.uniform(i, 0) - .5f));
  return x;
}
// Route, plan, permute and combine; experts that do nothing.
template <class X, class R>
status step(X const& x, R const& r, batch<> const& in, routing_view<> const& routed, plan_view<std::int32_t>& plan,
            matrix_view<float> hidden, matrix_view<float> grouped, matrix_view<float> y, workspace w) {
  checks c;
  c.also(try_route(x, r, in, routed, w));
  c.also(try_make_plan(x, choices_view<>{.ids = routed.ids, .valid = in.valid}, experts, {.align = align}, plan, w));
  c.also(try_permute(x, plan, hidden, grouped));
  return c.also(try_combine(x, plan, grouped, routed.weights, y)).result();
}

struct arrays {  // sizes of all but the plan's and the workspace
  static constexpr offset_t rows = plan_rows_bound(tokens * k, experts, align);
  std::vector<index_t> ids = std::vector<index_t>(static_cast<std::size_t>(tokens * k));
  std::vector<float> weights = std::vector<float>(static_cast<std::size_t>(tokens * k));
  std::vector<offset_t> offsets = std::vector<offset_t>(static_cast<std::size_t>(experts) + 1);
  std::vector<std::int32_t> slots = std::vector<std::int32_t>(static_cast<std::size_t>(tokens * k)),
                            token_of = std::vector<std::int32_t>(static_cast<std::size_t>(rows));
  std::vector<float> grouped = std::vector<float>(static_cast<std::size_t>(rows * width)),
                     y = std::vector<float>(static_cast<std::size_t>(tokens * width));
};

void capture_and_replay(on_cuda x) {
  router const r{.select = top_k{static_cast<index_t>(k)}, .weigh = renormalize{}};
  auto const n = [](offset_t i) { return static_cast<std::size_t>(i); };
  auto hidden = numbers<float>(tokens * width, 2);
  device_array<float> logits_there(n(tokens * experts)), weights(n(tokens * k)), grouped(n(arrays::rows * width)),
      y(n(tokens * width));
  device_array<float> const hidden_there(hidden);
  device_array<std::uint8_t> valid_there(n(tokens));
  device_array<index_t> const ids(n(tokens * k));
  device_array<offset_t> const offsets(n(experts + 1));
  device_array<std::int32_t> const slots(n(tokens * k)), token_of(n(arrays::rows));
  offset_t const route_bytes = route_workspace_bytes(x, r, tokens, experts),
                 plan_bytes = plan_workspace_bytes(x, experts);
  device_array<std::byte> const memory(n(route_bytes > plan_bytes ? route_bytes : plan_bytes));
  batch<> in_there{.logits = {logits_there.data(), tokens, experts}, .valid = valid_there};
  routing_view<> const routed_there{{ids.data(), tokens, k}, {weights.data(), tokens, k}, {}};
  plan_view<std::int32_t> plan_there{.offsets = offsets, .slot_of_choice = slots, .token_of_slot = token_of};

  cudaGraph_t graph;
  cudaGraphExec_t ready;
  check(cudaStreamCreate(&x.stream), "cudaStreamCreate");
  check(cudaStreamBeginCapture(x.stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  status const captured = step(x, r, in_there, routed_there, plan_there, {hidden_there.data(), tokens, width},
                               {grouped.data(), arrays::rows, width}, {y.data(), tokens, width}, workspace(memory));
  check(cudaStreamEndCapture(x.stream, &graph), "cudaStreamEndCapture");
  REQUIRE(captured.ok());
  check(cudaGraphInstantiate(&ready, graph, 0), "cudaGraphInstantiate");

  for (offset_t left : {tokens, offset_t{599}, offset_t{200}, offset_t{3}, offset_t{0}, tokens}) {
    CAPTURE(left);
    auto const logits = some_logits<float>(tokens, experts, static_cast<std::uint64_t>(left) + 1);
    std::vector<std::uint8_t> valid(n(tokens), 0);
    for (offset_t t = 0; t < left; ++t) valid[n(t)] = 1;
    logits_there.write(logits);
    valid_there.write(valid);
    check(cudaGraphLaunch(ready, x.stream), "cudaGraphLaunch");
    check(cudaStreamSynchronize(x.stream), "cudaStreamSynchronize");

    arrays h;
    plan_view<std::int32_t> plan{.offsets = h.offsets, .slot_of_choice = h.slots, .token_of_slot = h.token_of};
    std::vector<std::byte> space(
        n(route_workspace_bytes(serial{}, r, tokens, experts) + plan_workspace_bytes(serial{}, experts)));
    batch<> const in{.logits = {logits.data(), tokens, experts}, .valid = valid};
    REQUIRE(step(serial{}, r, in, routing_view<>{{h.ids.data(), tokens, k}, {h.weights.data(), tokens, k}, {}}, plan,
                 {hidden.data(), tokens, width}, {h.grouped.data(), arrays::rows, width}, {h.y.data(), tokens, width},
                 workspace(space))
                .ok());
    CHECK(ids.read() == h.ids);
    CHECK(offsets.read() == h.offsets);
    CHECK(slots.read() == h.slots);
    CHECK(token_of.read() == h.token_of);
    CHECK(largest_difference(weights.read(), h.weights) <= 4e-7f);
    auto moved = grouped.read();
    moved.resize(n(h.offsets.back() * width)), h.grouped.resize(moved.size());
    CHECK(same(moved, h.grouped));
    CHECK(largest_difference(y.read(), h.y) <= 1e-6f);
    for (offset_t t = left; t < tokens; ++t) REQUIRE(h.y[n(t * width)] == 0.f);
  }
  CHECK(memory.bands_whole());
  CHECK(grouped.bands_whole());
  CHECK(y.bands_whole());
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(x.stream);
}

}  // namespace

TEST_CASE("P13 P16 a captured step is replayed with fewer and fewer tokens") {
  if (no_device()) return;
  for (bool const cooperative : {true, false})
    for (bool const bulk : {true, false}) {
      CAPTURE(cooperative);
      CAPTURE(bulk);
      capture_and_replay(on_cuda{.cooperative = cooperative, .bulk_copies = bulk});
    }
}
