// Decides whether all levels agree on what else has a vector path or computes with numbers: experts that choose, Sinkhorn
// plans, auctions, rows that travel, advantages, mutual information, losses, gradients, moving means. Whether these
// numbers are right is decided by the tests of each.
#include <moeroute/assign/balanced.hpp>
#include <moeroute/assign/sinkhorn.hpp>
#include <moeroute/combine.hpp>
#include <moeroute/gate/cosine.hpp>
#include <moeroute/grpo/advantage.hpp>
#include <moeroute/loss/info_nce.hpp>
#include <moeroute/loss/observe.hpp>
#include <moeroute/plan.hpp>
#include <moeroute/presets_training.hpp>
#include <moeroute/route_backward.hpp>
#include <moeroute/route_experts.hpp>
#include <moeroute/smoes/inter_bin_mi.hpp>

#include "apart.hpp"
#include "rows.hpp"

namespace levels {
namespace {

std::vector<std::byte> memory(offset_t bytes) { return std::vector<std::byte>(static_cast<std::size_t>(bytes)); }
std::size_t size(offset_t n) { return static_cast<std::size_t>(n); }

void experts_choose(report& to) {
  digest picks, weights;
  struct shape {
    offset_t tokens, experts, capacity;
  };
  for (auto const& [tokens, experts, capacity] : {shape{700, 16, 90}, {333, 5, 40}, {2000, 17, 300}}) {
    std::vector<float> const z = noise_of(21, size(tokens * experts));
    for (pick_order const order : {pick_order::position, pick_order::best_first}) {
      router const r{.select = top_tokens<>{.fixed_count = capacity, .order = order}};
      std::vector<offset_t> pick(size(experts * capacity));
      std::vector<float> weight(pick.size());
      auto w = memory(route_experts_workspace_bytes<serial, decltype(r), float>(
          serial{}, r, tokens, static_cast<index_t>(experts), 1, capacity));
      route_experts(serial{}, r, batch<>{.logits = {z.data(), tokens, experts}},
                    expert_routing_view<>{{pick.data(), experts, capacity}, {weight.data(), experts, capacity}},
                    workspace(w));
      picks.add(pick), weights.add(weight);
    }
  }
  to.number("experts choose: tokens", picks), to.number("experts choose: weights", weights);
}
void plans(report& to) {
  digest sinkhorn_plans, auctions;
  for (auto const& [tokens, experts] : {std::pair<offset_t, offset_t>{64, 16}, {70, 7}, {192, 64}, {40, 24}}) {
    std::vector<float> z = noise_of(22, size(tokens * experts));
    std::vector<float> plan(z.size());
    auto w = memory(sinkhorn_workspace_bytes<serial, float>(serial{}, tokens, experts));
    sinkhorn_plan(serial{}, sinkhorn{.tolerance = 1e-4f, .max_rounds = 20},
                  matrix_view<float const>{z.data(), tokens, experts}, matrix_view<float>{plan.data(), tokens, experts},
                  workspace(w));
    sinkhorn_plans.add(plan);
    if (tokens % experts != 0) continue;
    std::vector<index_t> expert(size(tokens));
    auto space = memory(balanced_workspace_bytes<serial, float>(serial{}, tokens, experts));
    auto const found = balanced_assignment(serial{}, auction{}, matrix_view<float const>{z.data(), tokens, experts},
                                           row_view<index_t>(expert), workspace(space));
    auctions.add(expert), auctions.add(found.rounds), auctions.add(found.total_score);
  }
  to.number("Sinkhorn plans", sinkhorn_plans), to.number("auctions", auctions);
}

template <class T>
void add_combined(digest& d, offset_t width) {
  constexpr offset_t tokens = 50, k = 3;
  constexpr index_t experts = 8;
  std::vector<index_t> ids(size(tokens * k));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<index_t>(i * 7 % 11) - 1;  // some have none
  for (index_t& id : ids) id = id >= experts ? no_expert : id;
  std::vector<offset_t> offsets(experts + 1), slot(ids.size()), token(ids.size());
  plan_view<> plan;
  plan.offsets = offsets, plan.slot_of_choice = slot, plan.token_of_slot = token;
  auto w = memory(plan_workspace_bytes(serial{}, experts));
  make_plan(serial{}, choices_view<>{.ids = {ids.data(), tokens, k}}, experts, {}, plan, workspace(w));
  std::vector<T> rows, y(size(tokens * width));
  for (float const x : noise_of(31, ids.size() * size(width))) rows.push_back(static_cast<T>(x));
  std::vector<float> const weights = noise_of(32, ids.size(), .3f);
  combine(serial{}, plan,
          combine_terms<T, float>{.rows = {rows.data(), tokens * k, width}, .weights = {weights.data(), tokens, k}},
          matrix_view<T>{y.data(), tokens, width});
  for (T const x : y) d.add(static_cast<float>(x));
}
void travel(report& to) {
  digest single, half;
  for (offset_t const width : {1, 15, 64, 100}) add_combined<float>(single, width), add_combined<bf16>(half, width);
  to.number("combined rows", single), to.number("combined rows, bf16", half);
}

void advantages(report& to) {
  digest d;
  std::vector<float> rewards = noise_of(41, 1024);
  for (std::size_t i = 0; i < rewards.size(); i += 37) rewards[i] = not_a_number<float>;
  for (std::size_t i = 64; i < 96; ++i) rewards[i] = .3f;
  for (offset_t const group : {2, 4, 8, 16, 32, 64, 1024}) {
    std::vector<float> a(rewards.size());
    for (auto const against : {baseline::deviation, baseline::mean_only, baseline::leave_one_out}) {
      group_advantages(serial{}, group_advantage{.against = against}, row_view<float const>(rewards),
                       segments(1024 / group, group), row_view<float>(a));
      d.add(a);
    }
  }
  to.number("group advantages", d);
}
void information(report& to) {
  digest values, gradients;
  constexpr offset_t samples = 4;
  for (index_t const experts : {16, 24}) {
    router const r{.select = top_k{4}, .weigh = renormalize{}};
    rows<float> const z(experts, 0);
    outputs const routed = run(serial{}, r, z, true);
    offset_t const n = z.tokens;
    std::vector<float> const u = noise_of(51, size(n));
    std::vector<float> unit(u.size()), d(size(n * experts));
    for (std::size_t i = 0; i < u.size(); ++i) unit[i] = u[i] < 0 ? 0.f : u[i] > 1 ? 1.f : u[i];
    std::vector<index_t> sample(size(n)), bin(size(experts));
    for (std::size_t t = 0; t < sample.size(); ++t) sample[t] = static_cast<index_t>(t * samples / sample.size());
    for (std::size_t e = 0; e < bin.size(); ++e) bin[e] = static_cast<index_t>(e % 2);
    std::vector<double> value(samples);
    std::vector<std::uint8_t> kept(samples);
    std::vector<std::int64_t> totals(3);
    inter_bin_term const term = inter_bin_mi(2);
    auto w = memory(inter_bin_workspace_bytes<float>(serial{}, term, n, experts, 2, samples));
    bin_batch<float> in;
    in.p = {routed.scores.data(), n, experts}, in.modality = modality_scores<float>(row_view<float const>(unit));
    in.sample = sample, in.samples = samples, in.bin_of_expert = bin;
    inter_bin(serial{}, term, in, row_view<double>(value), row_view<std::uint8_t>(kept), row_view<std::int64_t>(totals),
              matrix_view<float>{d.data(), n, experts}, workspace(w));
    values.add(value), values.add(totals), gradients.add(d);
  }
  to.number("mutual information", values), to.number("mutual information, gradient", gradients);
}

void gates(report& to) {
  digest linear, cosine, way_back;
  constexpr offset_t tokens = 24, width = 45, dims = 13, experts = 9;
  std::vector<float> const hidden = noise_of(71, size(tokens * width)), weight = noise_of(72, size(experts * width)),
                           projection = noise_of(73, size(dims * width)), expert = noise_of(74, size(experts * dims));
  std::vector<float> z(size(tokens * experts)), d_hidden(hidden.size()), d_expert(expert.size());
  matrix_view<float const> const x{hidden.data(), tokens, width};
  matrix_view<float> const logits{z.data(), tokens, experts};
  std::vector<std::byte> w(1 << 16);
  linear_gate<float> const plain{.weight = {weight.data(), experts, width}};
  if (!plain(serial{}, x, logits, workspace(w)).ok()) to.failed("linear gate");
  linear.add(z);
  cosine_gate<float> const by_angle{
      .projection = {projection.data(), dims, width}, .expert = {expert.data(), experts, dims}, .log_scale = 2};
  if (!by_angle(serial{}, x, logits, workspace(w)).ok()) to.failed("cosine gate");
  cosine.add(z);
  if (!by_angle
           .backward(serial{}, x, matrix_view<float const>(logits),
                     {.hidden = {d_hidden.data(), tokens, width}, .expert = {d_expert.data(), experts, dims}},
                     workspace(w))
           .ok())
    to.failed("cosine gate, backward");
  way_back.add(d_hidden), way_back.add(d_expert);
  to.number("linear gate", linear), to.number("cosine gate", cosine), to.number("cosine gate, gradient", way_back);
}

// Losses of a router and the gradients of its weights and its losses.
template <class R>
void train(report& to, char const* name, R const& r) {
  digest loss, gradient, way_back;
  for (index_t const experts : {16, 60}) {
    rows<float> const z(experts, 1);
    outputs const routed = run(serial{}, r, z, false);
    offset_t const k = r.select.experts_per_token();
    batch<> const in{.logits = z.view()};
    matrix_view<index_t const> const ids{routed.ids.data(), z.tokens, k};
    std::vector<wide_sum> sums(size(r.regularize.sums(experts)));
    std::vector<float> d(size(z.tokens * experts));
    std::vector<std::byte> w(1 << 20);
    observe(serial{}, r, in, ids, row_view<wide_sum>(sums), workspace(w));
    loss.add(loss_value(r.regularize, experts, sums));
    add_gradient(serial{}, r, in, ids, row_view<wide_sum const>(sums), matrix_view<float>(d.data(), z.tokens, experts),
                 workspace(w));
    gradient.add(d);
    std::vector<float> const d_weights = noise_of(61, routed.weights.size());
    route_backward(serial{}, r, in, ids, matrix_view<float const>{d_weights.data(), z.tokens, k},
                   matrix_view<float>{d.data(), z.tokens, experts}, workspace(w));
    way_back.add(d);
  }
  to.number(std::string(name) + ": losses", loss), to.number(std::string(name) + ": gradient of the losses", gradient);
  to.number(std::string(name) + ": gradient of the weights", way_back);
}

}  // namespace

void verbs(report& to) {
  steps_apart(to);
  gradients_apart(to);
  figures_apart(to);
  gates(to);
  experts_choose(to);
  plans(to);
  travel(to);
  advantages(to);
  information(to);
  train(to, "softmax", presets::training::olmoe());
  train(to, "softmax, renormalized", with_losses(router{.select = top_k{3}, .weigh = renormalize{}}, switch_balance{}));
  train(
      to, "sigmoid",
      with_losses(router{.score = sigmoid{}, .select = top_k{3}, .weigh = renormalize{.scale = 2}}, switch_balance{}));
  train(to, "capped softmax",
        with_losses(router{.score = chain{soft_cap{3.f}, softmax{}}, .select = top_k{3}}, z_loss{}));
  train(to, "sqrt softplus",
        with_losses(router{.score = sqrt_softplus{}, .select = top_k{3}, .weigh = softmax_over_chosen{}}, z_loss{}));
}

}  // namespace levels
