#include <doctest/doctest.h>

#include <moeroute/core/philox.hpp>
#include <moeroute/cuda.cuh>
#include <moeroute/cuda/plan_sorted.cuh>

#include <support/device.hpp>
#include <support/device_array.cuh>
#include <support/limited_world.hpp>

#include <cuda_bf16.h>

#include <cmath>
#include <vector>

using namespace moeroute;
using moeroute_test::device_array;
using moeroute_test::no_device;

namespace {

using slot_t = std::int32_t;

std::vector<index_t> some_ids(offset_t n, index_t experts, std::uint64_t seed) {
  std::vector<index_t> ids;
  draws const d{.seed = seed};
  for (offset_t i = 0; i < n; ++i) {
    auto const u = d.bits(i, 0);
    ids.push_back(u % 9 == 0 ? no_expert
                             : static_cast<index_t>(u % 5 == 0 ? 0 : u / 8 % static_cast<std::uint32_t>(experts)));
  }
  return ids;
}
template <class T>
std::vector<T> numbers(std::size_t n, int seed) {
  std::vector<T> x;
  draws const d{.seed = static_cast<std::uint64_t>(seed)};
  for (std::size_t i = 0; i < n; ++i) x.push_back(static_cast<T>(d.uniform(static_cast<offset_t>(i), 0) - .5f));
  return x;
}
template <class T>
bool near(std::vector<T> const& a, std::vector<T> const& b, float tolerance) {
  bool good = a.size() == b.size();
  for (std::size_t i = 0; good && i < a.size(); ++i)
    good = std::abs(static_cast<float>(a[i]) - static_cast<float>(b[i])) <=
           tolerance * (1 + std::abs(static_cast<float>(a[i])));
  return good;
}

struct host_plan {
  std::vector<offset_t> counts, kept, offsets;
  std::vector<slot_t> slots, tokens, choices, ranks;
};
template <class Array>
struct plan_memory {
  Array counts, kept, offsets, slots, tokens, choices, ranks;
};

// make_plan, permute, combine and their backwards on the device, against one CPU lane: the plan in one launch and rows in
// bulk where they may be, or neither.
template <class T>
void compare(offset_t tokens, offset_t k, index_t experts, offset_t align, offset_t width, bool newer = true) {
  on_cuda const device{.cooperative = newer, .bulk_copies = newer};
  CAPTURE(tokens);
  CAPTURE(experts);
  CAPTURE(width);
  auto const n = static_cast<std::size_t>(tokens * k);
  offset_t const rows = plan_rows_bound(tokens * k, experts, align);
  auto const ids = some_ids(tokens * k, experts, 7);
  auto const e = static_cast<std::size_t>(experts), r = static_cast<std::size_t>(rows);

  host_plan h{std::vector<offset_t>(e), std::vector<offset_t>(e), std::vector<offset_t>(e + 1), std::vector<slot_t>(n),
              std::vector<slot_t>(r),   std::vector<slot_t>(r),   std::vector<slot_t>(n)};
  plan_view<slot_t> plan{.counts = h.counts,
                         .kept = h.kept,
                         .offsets = h.offsets,
                         .slot_of_choice = h.slots,
                         .token_of_slot = h.tokens,
                         .choice_of_slot = h.choices,
                         .rank_of_choice = h.ranks};
  std::vector<std::byte> memory(static_cast<std::size_t>(plan_workspace_bytes(serial{}, experts)));
  make_plan(serial{}, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, {.align = align}, plan,
            workspace(memory));

  device_array<index_t> const ids_there(ids);
  device_array<offset_t> const counts(e), kept(e), offsets(e + 1), odd(1);
  device_array<slot_t> const slots(n), token_of(r), choice_of(r), ranks(n);
  plan_view<slot_t> there{.counts = counts,
                          .kept = kept,
                          .offsets = offsets,
                          .slot_of_choice = slots,
                          .token_of_slot = token_of,
                          .choice_of_slot = choice_of,
                          .rank_of_choice = ranks};
  device_array<std::byte> const memory_there(static_cast<std::size_t>(plan_workspace_bytes(on_cuda{}, experts)));
  make_plan(device, choices_view<>{.ids = {ids_there.data(), tokens, k}}, experts, {.align = align}, there,
            workspace(memory_there), odd.data());
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CHECK(odd.read()[0] == -1);
  CHECK(counts.read() == h.counts);
  CHECK(kept.read() == h.kept);
  CHECK(offsets.read() == h.offsets);
  CHECK(slots.read() == h.slots);
  CHECK(token_of.read() == h.tokens);
  CHECK(choice_of.read() == h.choices);
  CHECK(ranks.read() == h.ranks);
  CHECK(slots.bands_whole());
  CHECK(token_of.bands_whole());
  CHECK(memory_there.bands_whole());

  auto const of = [&](auto& a, offset_t m, offset_t w) { return matrix_view{a.data(), m, w}; };
  auto const x = numbers<T>(static_cast<std::size_t>(tokens * width), 1);
  auto const w = numbers<float>(n, 2);
  auto const dy = numbers<T>(x.size(), 3);
  std::vector<T> grouped(static_cast<std::size_t>(rows * width)), y(x.size()), d_rows(grouped.size()), dx(x.size());
  std::vector<float> dw(n);
  device_array<T> const x_there(x), dy_there(dy), grouped_there(grouped.size()), y_there(x.size()),
      d_rows_there(grouped.size()), dx_there(x.size());
  device_array<float> const w_there(w), dw_there(n);

  permute(serial{}, plan, of(x, tokens, width), of(grouped, rows, width));
  combine(serial{}, plan, of(grouped, rows, width), of(w, tokens, k), of(y, tokens, width));
  combine_terms<T> const terms{.rows = {grouped.data(), rows, width}, .weights = {w.data(), tokens, k}};
  combine_backward(serial{}, plan, terms, of(dy, tokens, width),
                   combine_gradients<T>{.rows = {d_rows.data(), rows, width}, .weights = {dw.data(), tokens, k}});
  permute_backward(serial{}, plan, of(d_rows, rows, width), of(dx, tokens, width));

  permute(device, there, of(x_there, tokens, width), of(grouped_there, rows, width));
  combine(on_cuda{}, there, of(grouped_there, rows, width), of(w_there, tokens, k), of(y_there, tokens, width));
  combine_terms<T> const terms_there{.rows = {grouped_there.data(), rows, width},
                                     .weights = {w_there.data(), tokens, k}};
  combine_backward(
      on_cuda{}, there, terms_there, of(dy_there, tokens, width),
      combine_gradients<T>{.rows = {d_rows_there.data(), rows, width}, .weights = {dw_there.data(), tokens, k}});
  permute_backward(on_cuda{}, there, of(d_rows_there, rows, width), of(dx_there, tokens, width));
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");

  auto const used = static_cast<std::size_t>(h.offsets.back() * width);
  auto const head = [&](std::vector<T> a) { return a.resize(used), a; };
  // Moves, and sums of fused products in one order: the same bits.
  CHECK(near(head(grouped), head(grouped_there.read()), 0.f));
  CHECK(near(y, y_there.read(), 0.f));
  CHECK(near(head(d_rows), head(d_rows_there.read()), 0.f));
  CHECK(near(dw, dw_there.read(), 0.f));
  CHECK(near(dx, dx_there.read(), 0.f));
  CHECK(grouped_there.bands_whole());
  CHECK(y_there.bands_whole());
  CHECK(dx_there.bands_whole());
  CHECK(dw_there.bands_whole());
}

}  // namespace

TEST_CASE("P7 P11 plan, permute, combine and their backwards on a device equal one CPU lane") {
  if (no_device()) return;
  for (offset_t tokens : {0, 1, 37, 3000}) {
    for (bool const newer : {true, false}) {
      compare<float>(tokens, 2, 8, 1, 33, newer);
      compare<__nv_bfloat16>(tokens, 8, 64, 16, 128, newer);
    }
  }
  compare<float>(20000, 8, 256, 128, 8);
  compare<float>(100, 4, 5000, 1, 8);                                                  // counters of few warps
  for (bool const newer : {true, false}) compare<float>(3000, 4, 30000, 1, 8, newer);  // in the workspace
  compare<__nv_bfloat16>(37, 8, 16, 1, 9000);                                          // rows of three pieces
}

TEST_CASE("P13 a plan is captured in a graph and replayed with new choices") {
  if (no_device()) return;
  constexpr offset_t tokens = 500, k = 4;
  constexpr index_t experts = 32;
  device_array<index_t> ids(some_ids(tokens * k, experts, 1));
  device_array<offset_t> const offsets(experts + 1);
  device_array<slot_t> const slots(tokens * k);
  device_array<std::byte> const memory(static_cast<std::size_t>(plan_workspace_bytes(on_cuda{}, experts)));
  plan_view<slot_t> there{.offsets = offsets, .slot_of_choice = slots};
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  check(cudaStreamCreate(&stream), "cudaStreamCreate");
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  status const s = try_make_plan(on_cuda{stream}, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, {}, there,
                                 workspace(memory));
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  CHECK(s.ok());
  check(cudaGraphInstantiate(&ready, graph, 0), "cudaGraphInstantiate");
  for (std::uint64_t seed : {1, 2, 3}) {
    auto const fresh = some_ids(tokens * k, experts, seed);
    ids.write(fresh);
    check(cudaGraphLaunch(ready, stream), "cudaGraphLaunch");
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    std::vector<offset_t> want_offsets(experts + 1);
    std::vector<slot_t> want(tokens * k);
    plan_view<slot_t> here{.offsets = want_offsets, .slot_of_choice = want};
    std::vector<std::byte> host(static_cast<std::size_t>(plan_workspace_bytes(serial{}, experts)));
    make_plan(serial{}, choices_view<>{.ids = {fresh.data(), tokens, k}}, experts, {}, here, workspace(host));
    CHECK(slots.read() == want);
    CHECK(offsets.read() == want_offsets);
  }
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

TEST_CASE("promise P10 P16: every queue, layout and scope on a device equals the definition, captured in a graph") {
  if (no_device()) return;
  using namespace limited_world;
  for (auto const order : orders)
    for (index_t const segments : {1, 3})
      for (auto const slots : {slot_order::token, slot_order::queue})
        for (auto const rows : {row_layout::compact, row_layout::fixed}) {
          CAPTURE(static_cast<int>(order));
          world const w(3000, 3, 12, 5, segments);
          auto o = w.options(order, {.factor = .7}, slots, rows);
          auto want = reference(w, o, 8);
          offset_t const n = 9000, bound = limited_rows_bound(o.rule, rows, {3000, n, 12, 0}, segments, 8);
          device_array<int> const ids(w.ids);
          device_array<float> const of_token(w.of_token), of_choice(w.of_choice);
          device_array<std::uint8_t> const valid(w.valid);
          device_array<index_t> const segment(w.segment);
          o.queue.of_token = of_token, o.queue.of_choice = {of_choice.data(), 3000, 3}, o.segment = segment;
          device_array<offset_t> const counts(12), kept(12), offsets(13), slot(n),
              token(static_cast<std::size_t>(bound)), choice(static_cast<std::size_t>(bound)), rank(n), odd(1);
          plan_view<> there{.counts = counts,
                            .kept = kept,
                            .offsets = offsets,
                            .slot_of_choice = slot,
                            .token_of_slot = token,
                            .choice_of_slot = choice,
                            .rank_of_choice = rank};
          device_array<std::byte> const memory(
              static_cast<std::size_t>(sorted_plan_workspace_bytes(on_cuda{}, 12, n, segments)));
          cudaStream_t stream;
          cudaGraph_t graph;
          cudaGraphExec_t ready;
          check(cudaStreamCreate(&stream), "cudaStreamCreate");
          check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
          status const s =
              try_make_sorted_plan(on_cuda{stream}, choices_view<>{.ids = {ids.data(), 3000, 3}, .valid = valid}, 12,
                                   {.align = 8}, o, there, workspace(memory), odd.data());
          check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
          CHECK(s.ok());
          check(cudaGraphInstantiate(&ready, graph, 0), "cudaGraphInstantiate");
          for (int twice = 0; twice < 2; ++twice) {
            check(cudaGraphLaunch(ready, stream), "cudaGraphLaunch");
            check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
            answer const got{counts.read(), kept.read(),   offsets.read(), slot.read(),
                             token.read(),  choice.read(), rank.read()};
            want.token.resize(got.token.size(), -1), want.choice.resize(got.token.size(), -1);
            CHECK(got == want);
            CHECK(odd.read()[0] == -1);
          }
          CHECK(memory.bands_whole());
          cudaGraphExecDestroy(ready);
          cudaGraphDestroy(graph);
          cudaStreamDestroy(stream);
        }
}

TEST_CASE("P17 a plan on a device: shapes are checked before anything is launched") {
  plan_view<slot_t> plan{};
  index_t const ids[2]{};
  CHECK(try_make_plan(on_cuda{}, choices_view<>{.ids = {ids, 1, 2}}, 4, {}, plan, workspace{}).code == errc::bad_shape);
  CHECK(plan_workspace_bytes(on_cuda{}, 256) < 200'000);
}
