#include <cmath>

#include <doctest/doctest.h>

#include <moeroute/balance/bias_update.hpp>
#include <moeroute/cuda.cuh>
#include <moeroute/loss/observe.hpp>
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/whole_backward.hpp>
#include <moeroute/loss/z_loss.hpp>
#include <moeroute/presets_training.hpp>
#include <moeroute/route_experts.hpp>

#include <support/device.hpp>
#include <support/on_both.cuh>

using namespace moeroute;
using namespace moeroute_test;

namespace {

constexpr offset_t tokens = 300, k = 2;
constexpr index_t experts = 24;

std::vector<float> numbers(std::size_t n, std::uint64_t seed) {
  std::vector<float> x;
  for (std::size_t i = 0; i < n; ++i) x.push_back(draws{.seed = seed}.uniform(static_cast<offset_t>(i), 0) - .5f);
  return x;
}
std::vector<std::byte> memory_of(offset_t bytes) { return std::vector<std::byte>(static_cast<std::size_t>(bytes)); }
template <class T>
std::vector<T> to_host(device_array<T> const& a) {
  CHECK(a.bands_whole());
  return a.read();
}

}  // namespace

TEST_CASE("P7 P14 losses, their gradients, counts and the bias update on a device equal one CPU lane") {
  if (no_device()) return;
  auto const logits = some_logits<float>(tokens, experts, 2);
  router const r{.select = top_k{static_cast<index_t>(k)}};
  terms const loss{switch_balance{}, z_loss{}};
  auto const routed = on_one_lane<false>(r, logits, tokens, experts, nan_rule::rank_last);
  offset_t const sums = loss.sums(experts);

  std::vector<wide_sum> all(static_cast<std::size_t>(sums));
  std::vector<float> d(logits.size());
  std::vector<std::int64_t> counts(experts);
  std::vector<float> bias(experts);
  batch<> const in{.logits = {logits.data(), tokens, experts}};
  matrix_view<index_t const> const ids{routed.ids.data(), tokens, k};
  auto work = memory_of(observe_workspace_bytes(serial{}, loss, tokens, experts) +
                        add_gradient_workspace_bytes(serial{}, loss, tokens, experts));
  observe(serial{}, loss, r, in, ids, row_view<wide_sum>(all), workspace(work));
  add_gradient(serial{}, loss, r, in, ids, row_view<wide_sum const>(all), matrix_view{d.data(), tokens, experts},
               workspace(work));
  count_choices(serial{}, ids, {}, row_view<std::int64_t>(counts), workspace(work));
  update_bias(serial{}, sign_update{}, row_view<std::int64_t>(counts), row_view<float>(bias));
  double const value = loss_value(loss, experts, row_view<wide_sum const>(all));

  on_cuda const x{};
  device_array<float> const logits_there(logits), d_there(std::vector<float>(logits.size(), 0)),
      bias_there(std::vector<float>(experts, 0));
  device_array<index_t> const ids_there(routed.ids);
  device_array<wide_sum> const all_there(std::vector<wide_sum>(all.size()));
  device_array<std::int64_t> const counts_there(std::vector<std::int64_t>(experts, 0));
  device_array<double> const value_there(1);
  device_array<std::byte> const work_there(static_cast<std::size_t>(
      observe_workspace_bytes(x, loss, tokens, experts) + add_gradient_workspace_bytes(x, loss, tokens, experts)));
  batch<> const in_there{.logits = {logits_there.data(), tokens, experts}};
  matrix_view<index_t const> const ids_view{ids_there.data(), tokens, k};
  row_view<wide_sum> const sums_view{all_there.data(), sums};
  row_view<std::int64_t> const counts_view{counts_there.data(), experts};
  observe(x, loss, r, in_there, ids_view, sums_view, workspace(work_there));
  add_gradient(x, loss, r, in_there, ids_view, row_view<wide_sum const>(sums_view),
               matrix_view{d_there.data(), tokens, experts}, workspace(work_there));
  throw_if_bad(
      try_loss_value(x, loss, experts, row_view<wide_sum const>(sums_view), value_there.data(), workspace(work_there)));
  count_choices(x, ids_view, {}, counts_view, workspace(work_there));
  update_bias(x, sign_update{}, counts_view, row_view<float>{bias_there.data(), experts});
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CHECK(to_host(counts_there) == counts);
  CHECK(to_host(bias_there) == bias);
  CHECK(std::abs(to_host(value_there)[0] - value) <= 1e-6 * std::abs(value));
  CHECK(largest_difference(d, to_host(d_there)) <= 1e-6f);
}

TEST_CASE("P7 P14 the whole backward on a device equals one CPU lane, and the two passes it stands for") {
  if (no_device()) return;
  auto const logits = some_logits<float>(tokens, experts, 2);
  auto const r = with_losses(router{.select = top_k{static_cast<index_t>(k)}, .weigh = renormalize{}},
                             switch_balance{.alpha = 1}, z_loss{.alpha = 1});
  auto const routed = on_one_lane<false>(r, logits, tokens, experts, nan_rule::rank_last);
  auto const d_weights = numbers(routed.weights.size(), 9);
  std::vector<wide_sum> sums(static_cast<std::size_t>(r.regularize.sums(experts)));
  std::vector<float> d(logits.size());
  batch<> const in{.logits = {logits.data(), tokens, experts}};
  matrix_view<index_t const> const ids{routed.ids.data(), tokens, k};
  auto work = memory_of(observe_workspace_bytes(serial{}, r.regularize, tokens, experts) +
                        whole_backward_workspace_bytes(serial{}, r, tokens, experts));
  observe(serial{}, r, in, ids, row_view<wide_sum>(sums), workspace(work));
  whole_backward(serial{}, r, in, ids, matrix_view<float const>{d_weights.data(), tokens, k},
                 row_view<wide_sum const>(sums), matrix_view{d.data(), tokens, experts}, workspace(work));

  on_cuda const x{};
  device_array<float> const logits_there(logits), d_weights_there(d_weights), one_there(logits.size()),
      two_there(logits.size());
  device_array<index_t> const ids_there(routed.ids);
  device_array<wide_sum> const sums_there(sums);
  device_array<std::byte> const work_there(static_cast<std::size_t>(
      whole_backward_workspace_bytes(x, r, tokens, experts) +
      add_gradient_workspace_bytes(x, r.regularize, tokens, experts) + route_workspace_bytes(x, r, tokens, experts)));
  batch<> const in_there{.logits = {logits_there.data(), tokens, experts}};
  matrix_view<index_t const> const ids_view{ids_there.data(), tokens, k};
  matrix_view<float const> const d_weights_view{d_weights_there.data(), tokens, k};
  row_view<wide_sum const> const sums_view{sums_there.data(), static_cast<offset_t>(sums.size())};
  whole_backward(x, r, in_there, ids_view, d_weights_view, sums_view, matrix_view{one_there.data(), tokens, experts},
                 workspace(work_there));
  matrix_view const two{two_there.data(), tokens, experts};
  route_backward(x, r, in_there, ids_view, d_weights_view, two, workspace(work_there));
  add_gradient(x, r, in_there, ids_view, sums_view, two, workspace(work_there));
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CHECK(largest_difference(d, to_host(one_there)) <= 2e-6f);
  CHECK(largest_difference(to_host(two_there), to_host(one_there)) <= 2e-6f);
  CHECK(work_there.bands_whole());
}

TEST_CASE("P7 group advantages: one launch for all groups, as on one CPU lane") {
  if (no_device()) return;
  auto rewards = numbers(999, 1);
  rewards[5] = not_a_number<float>;
  for (std::size_t i = 30; i < 60; ++i) rewards[i] = .25f;  // a group of equals: exactly 0
  std::vector<offset_t> const starts{0, 0, 1, 30, 60, 61, 300, 999};
  std::vector<float> out(rewards.size());
  device_array<float> const there(rewards), out_there(rewards.size());
  device_array<offset_t> const starts_there(starts);
  for (auto against : {baseline::deviation, baseline::mean_only, baseline::leave_one_out}) {
    group_advantage const policy{.against = against};
    group_advantages(serial{}, policy, row_view<float const>(rewards), segments(row_view<offset_t const>(starts)),
                     row_view<float>(out));
    group_advantages(on_cuda{}, policy, row_view<float const>(there.data(), 999),
                     segments(row_view<offset_t const>{starts_there.data(), 8}),
                     row_view<float>{out_there.data(), 999});
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    CHECK(largest_difference(out, to_host(out_there)) <= 1e-6f);
    CHECK(to_host(out_there)[40] == 0.f);
  }
}

TEST_CASE("P7 group advantages: groups of 8 in a part of a warp, groups of thousands in a block") {
  if (no_device()) return;
  auto const rewards = numbers(40000, 5);
  std::vector<float> out(rewards.size());
  device_array<float> const there(rewards), out_there(rewards.size());
  for (offset_t const size : {4, 8, 16, 40, 2000, 20000, 40000}) {
    CAPTURE(size);
    segments const all(40000 / size, size);
    group_advantages(serial{}, {}, row_view<float const>(rewards), all, row_view<float>(out));
    group_advantages(on_cuda{}, {}, row_view<float const>(there.data(), 40000), all,
                     row_view<float>{out_there.data(), 40000});
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    CHECK(largest_difference(out, to_host(out_there)) <= 1e-6f);
  }
}

TEST_CASE("P7 route log-probabilities and the policy objective on a device equal one CPU lane") {
  if (no_device()) return;
  auto const logits = some_logits<float>(tokens, experts, 6);
  router const r{.select = gumbel_top_k{.k = static_cast<index_t>(k)}};
  auto const routed = on_one_lane<false>(r, logits, tokens, experts, nan_rule::rank_last);
  auto const n = static_cast<std::size_t>(tokens);
  std::vector<float> log_prob(n), d_log_prob(n), d(logits.size());
  auto const old = numbers(n, 3), advantage = numbers(3, 4);
  std::vector<objective_sums> rollout(3), total(1);
  matrix_view<index_t const> const ids{routed.ids.data(), tokens, k};
  device_array<float> const logits_there(logits), old_there(old), advantage_there(advantage), log_prob_there(n),
      d_log_prob_there(n), d_there(logits.size());
  device_array<index_t> const ids_there(routed.ids);
  device_array<objective_sums> const rollout_there(3), total_there(1);
  matrix_view<index_t const> const ids_view{ids_there.data(), tokens, k};
  on_cuda const x{};

  for (auto of : {probability_of::ordered, probability_of::product, probability_of::set}) {
    route_measure const m{.of = of};
    auto work = memory_of(route_log_prob_workspace_bytes(serial{}, m, experts, k));
    batch<> const in{.logits = {logits.data(), tokens, experts}};
    route_log_prob(serial{}, no_prior{}, m, in, ids, row_view<float>(log_prob), workspace(work));
    policy_objective(serial{}, policy_surrogate{},
                     policy_batch<>{.log_prob = {log_prob.data(), 1, tokens},
                                    .old = {old.data(), 1, tokens},
                                    .advantage = advantage,
                                    .rollouts = {3, 100}},
                     policy_gradient<>{{d_log_prob.data(), 1, tokens}, rollout, total});
    route_log_prob_backward(serial{}, no_prior{}, m, in, ids, row_view<float>(d_log_prob),
                            matrix_view{d.data(), tokens, experts}, workspace(work));

    device_array<std::byte> const work_there(
        static_cast<std::size_t>(route_log_prob_workspace_bytes(x, m, experts, k)));
    batch<> const in_there{.logits = {logits_there.data(), tokens, experts}};
    route_log_prob(x, no_prior{}, m, in_there, ids_view, row_view<float>{log_prob_there.data(), tokens},
                   workspace(work_there));
    policy_objective(
        x, policy_surrogate{},
        policy_batch<>{.log_prob = {log_prob_there.data(), 1, tokens},
                       .old = {old_there.data(), 1, tokens},
                       .advantage = {advantage_there.data(), 3},
                       .rollouts = {3, 100}},
        policy_gradient<>{{d_log_prob_there.data(), 1, tokens}, {rollout_there.data(), 3}, {total_there.data(), 1}});
    route_log_prob_backward(x, no_prior{}, m, in_there, ids_view, row_view<float>{d_log_prob_there.data(), tokens},
                            matrix_view{d_there.data(), tokens, experts}, workspace(work_there));
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    CHECK(largest_difference(log_prob, to_host(log_prob_there)) <= 1e-6f);
    CHECK(largest_difference(d_log_prob, to_host(d_log_prob_there)) <= 1e-6f);
    CHECK(largest_difference(d, to_host(d_there)) <= 1e-6f);
    CHECK(std::abs(to_host(total_there)[0].loss - total[0].loss) <= 1e-6 * (1 + std::abs(total[0].loss)));
  }
}

TEST_CASE("P7 expert choice on a device, a block an expert, equals one CPU lane") {
  if (no_device()) return;
  auto const logits = some_logits<float>(tokens, experts, 9);
  router<no_gate, no_prior, softmax, no_bias, top_tokens<>> const r{.select = {.capacity_factor = 2}};
  offset_t const capacity = r.select.tokens_per_expert(tokens, experts);
  auto const n = static_cast<std::size_t>(experts * capacity);
  std::vector<offset_t> picks(n);
  std::vector<float> weights(n), d(logits.size());
  batch<> const in{.logits = {logits.data(), tokens, experts}};
  auto work = memory_of(route_experts_workspace_bytes(serial{}, r, tokens, experts, 1, capacity));
  throw_if_bad(try_route_experts(
      serial{}, r, in, expert_routing_view<>{{picks.data(), experts, capacity}, {weights.data(), experts, capacity}},
      workspace(work)));
  throw_if_bad(try_route_experts_backward(serial{}, r, in, matrix_view<offset_t const>{picks.data(), experts, capacity},
                                          matrix_view<float>{weights.data(), experts, capacity},
                                          matrix_view{d.data(), tokens, experts}, workspace(work)));
  on_cuda const x{};
  device_array<float> const logits_there(logits), weights_there(n), d_there(logits.size());
  device_array<offset_t> const picks_there(n);
  device_array<std::byte> const work_there(
      static_cast<std::size_t>(route_experts_workspace_bytes(x, r, tokens, experts, 1, capacity)));
  batch<> const in_there{.logits = {logits_there.data(), tokens, experts}};
  throw_if_bad(try_route_experts(
      x, r, in_there,
      expert_routing_view<>{{picks_there.data(), experts, capacity}, {weights_there.data(), experts, capacity}},
      workspace(work_there)));
  throw_if_bad(try_route_experts_backward(x, r, in_there,
                                          matrix_view<offset_t const>{picks_there.data(), experts, capacity},
                                          matrix_view<float>{weights_there.data(), experts, capacity},
                                          matrix_view{d_there.data(), tokens, experts}, workspace(work_there)));
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  CHECK(to_host(picks_there) == picks);
  CHECK(largest_difference(weights, to_host(weights_there)) <= 4e-7f);
  CHECK(largest_difference(d, to_host(d_there)) <= 2e-6f);
}

TEST_CASE("P17 verbs on a device check their shapes first") {
  std::vector<float> a(4), b(3);
  status const s =
      try_group_advantages(on_cuda{}, group_advantage{}, row_view<float const>(a), segments(2, 2), row_view<float>(b));
  CHECK(s.code == errc::bad_shape);
  status const named = try_group_advantages(on_cuda{}, group_advantage{.nan = nan_reward::named},
                                            row_view<float const>(a), segments(2, 2), row_view<float>(a));
  CHECK(named.code == errc::unsupported);  // it would have to read the rewards on the host
}
