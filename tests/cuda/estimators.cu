#include <doctest/doctest.h>

#include <moeroute/cuda.cuh>
#include <moeroute/estimate/gumbel_softmax.hpp>
#include <moeroute/estimate/reinforce.hpp>
#include <moeroute/gate/sparse_projection.hpp>
#include <moeroute/loss/group_alignment.hpp>
#include <moeroute/residual_mix.hpp>
#include <moeroute/select/budgeted_greedy.hpp>
#include <moeroute/select/identity_experts.hpp>
#include <moeroute/soft/hierarchical_backward.hpp>

#include <support/device.hpp>
#include <support/on_both.cuh>

#include <memory>

using namespace moeroute;
using namespace moeroute_test;

namespace {

constexpr offset_t tokens = 70, experts = 12, width = 24;

std::vector<float> numbers(offset_t n, std::uint64_t seed) {
  std::vector<float> x;
  draws const d{.seed = seed};
  for (offset_t i = 0; i < n; ++i) x.push_back(4 * d.uniform(i, 0) - 2);
  return x;
}
using views = std::vector<matrix_view<float>>;

// The same verbs on one CPU lane and on the device, on the same arrays; every array is equal afterwards.
template <class F>
void check_both(char const* name, std::vector<matrix_view<float>> const& shapes, std::uint64_t seed, F const& verbs) {
  INFO(name);
  std::vector<std::vector<float>> here;
  std::vector<std::unique_ptr<device_array<float>>> there;
  views on_host, on_device;
  for (auto const& s : shapes) {
    here.push_back(numbers(s.rows * s.cols, seed + here.size()));
    there.push_back(std::make_unique<device_array<float>>(here.back()));
  }
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    on_host.push_back({here[i].data(), shapes[i].rows, shapes[i].cols});
    on_device.push_back({there[i]->data(), shapes[i].rows, shapes[i].cols});
  }
  std::vector<std::byte> work(1 << 16);
  device_array<std::byte> const work_there(1 << 22);
  throw_if_bad(verbs(serial{}, on_host, workspace(work)));
  throw_if_bad(verbs(on_cuda{}, on_device, workspace(work_there)));
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    CHECK(largest_difference(here[i], there[i]->read()) <= 1e-5f);
    CHECK(there[i]->bands_whole());
  }
}
matrix_view<float> shape(offset_t rows, offset_t cols) { return {nullptr, rows, cols}; }
matrix_view<float const> in(matrix_view<float> const& m) { return m; }

}  // namespace

TEST_CASE("S006 S167 Gumbel-softmax and its backward on a device equal one CPU lane") {
  if (no_device()) return;
  for (auto const form : {sample_form::soft, sample_form::straight_through})
    check_both("gumbel", {4, shape(tokens, experts)}, 1, [&](auto const& x, views const& a, workspace w) {
      gumbel_softmax const how{.tau = .7f, .form = form};
      status const s = try_gumbel_softmax_sample(x, how, in(a[0]), a[1], a[2], {}, w);
      return s.ok() ? try_gumbel_softmax_backward(x, how, in(a[1]), in(a[0]), a[3], w) : s;
    });
}

TEST_CASE("S107 S137 REINFORCE on a device equals one CPU lane") {
  if (no_device()) return;
  std::vector<index_t> drawn;
  for (offset_t t = 0; t < tokens; ++t) drawn.push_back(static_cast<index_t>(t * 5 % experts) - (t % 9 == 0));
  device_array<index_t> const drawn_there(drawn);
  check_both("reinforce", {shape(tokens, experts), shape(1, tokens), shape(tokens, experts)}, 9,
             [&](auto const& x, views const& a, workspace w) {
               bool const host = runs_on_host<std::remove_cvref_t<decltype(x)>>;
               row_view<index_t const> const ids{host ? drawn.data() : drawn_there.data(), tokens};
               return try_reinforce(x, in(a[0]), ids, row_view<float const>{a[1].data, tokens}, .2f, .5f, a[2], w);
             });
}

TEST_CASE("P25 identity experts and their backward on a device equal one CPU lane") {
  if (no_device()) return;
  std::vector<index_t> ids;
  for (offset_t i = 0; i < tokens * 3; ++i) ids.push_back(static_cast<index_t>(i * 7 % (experts + 4)));
  device_array<index_t> const ids_there(ids);
  check_both("identity",
             {shape(tokens, 3), shape(tokens, width), shape(tokens, width), shape(tokens, width), shape(tokens, 3)}, 17,
             [&](auto const& x, views const& a, workspace w) {
               bool const host = runs_on_host<std::remove_cvref_t<decltype(x)>>;
               matrix_view<index_t const> const id{host ? ids.data() : ids_there.data(), tokens, 3};
               index_t const real = static_cast<index_t>(experts);
               status const s = try_add_identity_experts(x, id, in(a[0]), real, in(a[1]), a[2], 1.f, w);
               return s.ok() ? try_add_identity_experts_backward(x, id, in(a[0]), real, in(a[1]), in(a[2]), a[3], a[4],
                                                                 1.f, w)
                             : s;
             });
}

TEST_CASE("S134 hierarchical soft MoE and its backward on a device equal one CPU lane") {
  if (no_device()) return;
  hierarchical_soft const how{.group = 8, .slots = 3};
  offset_t const groups = how.groups(tokens), slots = groups * how.slots;
  check_both("hierarchical",
             {shape(tokens, width), shape(groups, width), shape(slots, width), shape(tokens, 3), shape(slots, width),
              shape(tokens, width), shape(slots, width), shape(tokens, 3), shape(tokens, width), shape(slots, width)},
             31, [&](auto const& x, views const& a, workspace w) {
               checks c;
               c.also(try_group_means(x, how, in(a[0]), a[1], w));
               c.also(try_group_assignment(x, how, in(a[0]), in(a[2]), a[3], w));
               c.also(try_group_slots(x, how, in(a[3]), in(a[0]), a[4], w));
               c.also(try_group_combine(x, how, in(a[3]), in(a[4]), a[5], w));
               c.also(try_group_combine_backward(x, how, in(a[3]), in(a[4]), in(a[5]), a[6], a[7], w));
               c.also(try_group_backward(x, how, in(a[0]), in(a[2]), in(a[3]), in(a[6]), a[7], a[8], a[9], w));
               c.also(try_group_means_backward(x, how, in(a[1]), a[8], w));
               return c.result();
             });
}

TEST_CASE("S067 the frozen sparse projection on a device equals one CPU lane") {
  if (no_device()) return;
  std::vector<index_t> place;
  for (offset_t e = 0; e < experts; ++e)
    for (index_t i = 0; i < 4; ++i) place.push_back(static_cast<index_t>((5 * e) % 6) + 6 * i);
  device_array<index_t> const place_there(place);
  check_both("projection", {shape(experts, 4), shape(tokens, width), shape(tokens, experts), shape(tokens, width)}, 47,
             [&](auto const& x, views const& a, workspace w) {
               bool const host = runs_on_host<std::remove_cvref_t<decltype(x)>>;
               sparse_projection const gate{{host ? place.data() : place_there.data(), experts, 4}, in(a[0])};
               status const s = gate(x, in(a[1]), a[2], w);
               return s.ok() ? gate.backward(x, in(a[2]), a[3], w) : s;
             });
}

TEST_CASE("S017 S019 alignment of two routers and the residual mix on a device equal one CPU lane") {
  if (no_device()) return;
  check_both("alignment",
             {shape(tokens, 3), shape(tokens, experts), shape(1, tokens), shape(tokens, 3), shape(tokens, experts)}, 61,
             [&](auto const& x, views const& a, workspace w) {
               return try_group_alignment(x, group_alignment{}, in(a[0]), in(a[1]), row_view<float>{a[2].data, tokens},
                                          a[3], a[4], w);
             });
  check_both("mix",
             {shape(1, tokens), shape(tokens, width), shape(tokens, width), shape(tokens, width), shape(tokens, width),
              shape(tokens, width), shape(1, tokens)},
             67, [&](auto const& x, views const& a, workspace) {
               row_view<float> const z{a[0].data, tokens}, d_z{a[6].data, tokens};
               status const s = try_residual_mix(x, z, a[1], a[2], a[3]);
               return s.ok() ? try_residual_mix_backward(x, z, a[1], a[2], a[3], a[4], a[5], d_z) : s;
             });
}

TEST_CASE("S079 budgeted greedy selection on a device equals one CPU lane") {
  if (no_device()) return;
  std::vector<float> cost;
  for (offset_t e = 0; e < 64; ++e) cost.push_back(1 + static_cast<float>(e % 5));
  device_array<float> const cost_there(cost);
  auto const logits = some_logits<float>(tokens, 64, 3);
  device_array<float> const logits_there(logits);
  auto const routed = [&](auto const& x, float const* costs, float const* z, index_t* ids, float* weights,
                          workspace w) {
    router const r{.select = budgeted_greedy{.cost = {costs, 64}, .budget = 9, .max_experts = 6}};
    return try_route(x, r, batch<>{.logits = {z, tokens, 64}}, routing_view<>{{ids, tokens, 6}, {weights, tokens, 6}},
                     w);
  };
  std::vector<index_t> ids(tokens * 6);
  std::vector<float> weights(tokens * 6);
  std::vector<std::byte> work(1 << 16);
  device_array<std::byte> const work_there(1 << 22);
  device_array<index_t> const ids_there(ids.size());
  device_array<float> const weights_there(weights.size());
  throw_if_bad(routed(serial{}, cost.data(), logits.data(), ids.data(), weights.data(), workspace(work)));
  throw_if_bad(routed(on_cuda{}, cost_there.data(), logits_there.data(), ids_there.data(), weights_there.data(),
                      workspace(work_there)));
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CHECK(ids == ids_there.read());
  CHECK(largest_difference(weights, weights_there.read()) <= 1e-5f);
}
