// Decides how MoE-GRPO and replayed routes are read from a case: golden folders 28 and 29.
#include <moeroute/grpo/diversity.hpp>
#include <moeroute/grpo/guidance.hpp>
#include <moeroute/grpo/log_prob.hpp>
#include <moeroute/grpo/objective.hpp>
#include <moeroute/select/gumbel_top_k.hpp>
#include <moeroute/select/replay.hpp>

#include "cli/megatron_modes.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

// Closes the experts a row of the case closes; rows of `closed` are tokens.
struct closed_rows {
  matrix_view<std::uint8_t const> closed{};
  void operator()(lane_group auto const& g, row_context c, auto const& x) const {
    x.each(g, [&](index_t e, auto& z) {
      if (closed[c.row][e] != 0) z = -infinity<float>;
    });
  }
  void describe(text& t) const { t.add("given experts closed"); }
};

// ---- 28: replay ---------------------------------------------------------------------------------------------

outputs replay_case(case_file const& c, any_executor const& x) {
  auto const recorded = logits_of<float>(c, "logits_recorded");
  auto const experts = recorded.extent(1);
  auto const k = as_index(c.integer("k", 1, experts));
  tensor<float> weights;
  tensor<index_t> trace({recorded.extent(0), k});
  using selector = replay<top_k<index_t>, index_t>;
  with_megatron_mode(c, "mode", selector{{k}, trace.matrix(), replay_mode::record, {}}, experts, [&](auto const& r) {
    weights = forward(x, r, recorded).weights;
    return outputs{};
  });
  return with_megatron_mode(c, "mode", selector{{k}, trace.matrix(), replay_mode::replay, {}}, experts,
                            [&](auto const& r) {
                              auto out = route_case(c, x, r);
                              out.add("weights_recorded", weights);
                              return out;
                            });
}

// ---- 29: routes ---------------------------------------------------------------------------------------------

struct route_case_data {
  tensor<double> logits;
  tensor<std::uint8_t> closed;
  closed_rows prior() const { return {closed.matrix()}; }
};
route_case_data route_data(case_file const& c) {
  route_case_data d{c.floats<double>("logits", {any, any}), {}};
  if (d.logits.extent(1) < 1) c.wrong("logits", "shape", "at least one expert", in_words(d.logits.shape));
  c.same("T", d.logits.extent(0)), c.same("N", d.logits.extent(1));
  d.closed = c.has_input("closed") ? c.mask("closed", d.logits.shape) : tensor<std::uint8_t>(d.logits.shape);
  return d;
}
template <class Prior>
tensor<double> log_prob_of(any_executor const& x, Prior const& prior, probability_of what, batch<double> const& in,
                           tensor<index_t> const& ids, shape_t shape) {
  tensor<double> out(std::move(shape));
  auto const k = as_index(ids.matrix().cols);
  auto work = memory(route_log_prob_workspace_bytes<any_executor, double>(x, {what}, as_index(in.logits.cols), k));
  route_log_prob(x, prior, {what}, in, ids.matrix(), out.row(), workspace(work));
  return out;
}
template <class Prior>
tensor<double> log_prob_gradient(any_executor const& x, Prior const& prior, batch<double> const& in,
                                 tensor<index_t> const& ids, tensor<double> const& d, shape_t shape) {
  tensor<double> out(std::move(shape));
  auto const k = as_index(ids.matrix().cols);
  auto work = memory(route_log_prob_workspace_bytes<any_executor, double>(x, {}, as_index(in.logits.cols), k));
  route_log_prob_backward(x, prior, {}, in, ids.matrix(), d.row(), out.matrix(), workspace(work));
  return out;
}

outputs plackett_luce(case_file const& c, any_executor const& x) {
  auto const d = route_data(c);
  auto const tokens = d.logits.extent(0), experts = d.logits.extent(1);
  auto const ids = c.integers<index_t>("ids", {tokens, any}, -1, experts - 1);
  auto const k = ids.extent(1);
  c.same("K", k);
  batch<double> const in{.logits = d.logits.matrix()};
  outputs out;
  out.describe = "log-probability of experts drawn without replacement, in order";
  out.add("logp", log_prob_of(x, d.prior(), probability_of::ordered, in, ids, {tokens}));
  out.add("dlogp_dlogits", log_prob_gradient(x, d.prior(), in, ids, tensor<double>({tokens}, 1.), d.logits.shape));
  if (c.has_input("d_logp"))
    out.add("d_logits", log_prob_gradient(x, d.prior(), in, ids, c.floats<double>("d_logp", {tokens}), d.logits.shape));
  if (k <= route_measure::most_in_set)
    out.add("logp_set", log_prob_of(x, d.prior(), probability_of::set, in, ids, {tokens}));
  return out;
}

outputs sample_gumbel(case_file const& c, any_executor const& x) {
  auto const d = route_data(c);
  auto const tokens = d.logits.extent(0), experts = d.logits.extent(1);
  auto const k = as_index(c.integer("K", 1, experts));
  auto const noise = c.floats<double>("gumbel", d.logits.shape, nan::forbidden);
  router const r{.prior = d.prior(), .select = gumbel_top_k<index_t, given_noise<double>>{k, 1, {noise.matrix()}}};
  auto const routes = forward(x, r, d.logits);
  outputs out;
  out.describe = describe(r).c_str();
  out.add("ids", routes.ids);
  out.add("weights", routes.weights);
  router const even{.prior = d.prior(), .select = r.select, .weigh = renormalize{.epsilon = 0}};
  out.add("weights_renormalised", forward(x, even, d.logits).weights);
  out.add("logp",
          log_prob_of(x, d.prior(), probability_of::ordered, {.logits = d.logits.matrix()}, routes.ids, {tokens}));
  return out;
}

outputs guidance_mask(case_file const& c, any_executor const& x) {
  auto const vision_counts = c.integers<std::int64_t>("counts_vision", {any, any}, 0, std::int64_t{1} << 40);
  auto const text_counts = c.integers<std::int64_t>("counts_text", vision_counts.shape, 0, std::int64_t{1} << 40);
  auto const layers = vision_counts.extent(0), experts = vision_counts.extent(1);
  if (experts < 1) c.wrong("counts_vision", "shape", "at least one expert", in_words(vision_counts.shape));
  c.same("L", layers), c.same("N", experts);
  guidance const policy{.percent = static_cast<float>(c.number_in("P", 0, 100)), .keep_open = 1};
  tensor<double> q_vision(vision_counts.shape), q_text(vision_counts.shape);
  tensor<std::uint8_t> closed_vision(vision_counts.shape), closed_text(vision_counts.shape);
  auto work = memory(guidance_workspace_bytes(x, 2));
  for (std::int64_t l = 0; l < layers; ++l) {
    tensor<std::int64_t> counts({2, experts});
    tensor<double> q({2, experts});
    tensor<std::uint8_t> open({2, experts});
    for (std::int64_t e = 0; e < experts; ++e)
      counts[e] = vision_counts[l * experts + e], counts[experts + e] = text_counts[l * experts + e];
    guide(x, policy, counts.matrix(), q.matrix(), open.matrix(), workspace(work));
    for (std::int64_t e = 0; e < experts; ++e) {
      std::int64_t const at = l * experts + e;
      q_vision[at] = q[e], q_text[at] = q[experts + e];
      closed_vision[at] = open[e] == 0, closed_text[at] = open[experts + e] == 0;
    }
  }
  outputs out;
  out.describe = "the floor(P N / 100) experts of lowest modality share closed for that modality";
  out.add("q_vision", q_vision), out.add("q_text", q_text);
  out.add("closed_vision", closed_vision), out.add("closed_text", closed_text);
  return out;
}

// ---- 29: advantages and losses --------------------------------------------------------------------------------

outputs advantage_case(case_file const& c, any_executor const& x) {
  auto const rewards = c.floats<double>("rewards", {any, any});
  auto const groups = rewards.extent(0), size = rewards.extent(1);
  c.same("groups", groups), c.same("G", size);
  auto const form = c.words("std", "population");
  if (form != "population" && form != "sample") c.bad("params.std", "population or sample", form);
  group_advantage policy{.sample = form == "sample", .epsilon = c.number_in("delta", 0, 1e9)};
  tensor<double> a(rewards.shape), mean_only(rewards.shape);
  tensor<std::uint8_t> zero({groups});
  group_advantages(x, policy, rewards.row(), segments(groups, size), a.row());
  policy.against = baseline::mean_only;
  group_advantages(x, policy, rewards.row(), segments(groups, size), mean_only.row());
  for (std::int64_t i = 0; i < groups; ++i) {
    auto const r = rewards.matrix()[i];
    zero[i] = std::all_of(r.begin(), r.end(), [&](double v) { return v == r[0]; });
  }
  outputs out;
  out.describe = "(reward - mean of the group) / (deviation + delta); 0 for equal rewards";
  out.add("advantage", a), out.add("advantage_mean_only", mean_only), out.add("zero_variance", zero);
  return out;
}

struct clip_terms {
  tensor<double> old, advantage;
  tensor<std::int32_t> lengths;
  policy_surrogate surrogate;
};
// Log-probabilities [G, L, Y] or [G, Y]; positions behind a rollout's length carry no term.
clip_terms clip_data(case_file const& c, shape_t const& shape) {
  auto const rollouts = shape.front(), length = shape.back();
  clip_terms d{c.floats<double>("logp_old", shape), c.floats<double>("advantage", {rollouts}),
               c.integers<std::int32_t>("lengths", {rollouts}, 0, length), grpo_surrogate(c.number_in("eps", 0, 1))};
  c.same("G", rollouts), c.same("Y", length);
  return d;
}
struct clip_result {
  tensor<double> d;
  objective_sums total;
};
clip_result clip_loss(any_executor const& x, clip_terms const& c, tensor<double> const& now) {
  auto const rollouts = now.shape.front(), length = now.shape.back(), all = now.size();
  tensor<std::uint8_t> included(now.shape);
  for (std::int64_t i = 0; i < all; ++i) included[i] = i % length < c.lengths[i * rollouts / all];
  clip_result out{tensor<double>(now.shape), {}};
  std::vector<objective_sums> each(static_cast<std::size_t>(rollouts)), total(1);
  policy_objective(x, c.surrogate,
                   policy_batch<double>{.log_prob = {now.values.data(), 1, all},
                                        .old = {c.old.values.data(), 1, all},
                                        .reference = {},
                                        .advantage = c.advantage.row(),
                                        .rollouts = segments(rollouts, rollouts == 0 ? 0 : all / rollouts),
                                        .included = included.row()},
                   policy_gradient<double>{{out.d.values.data(), 1, all}, each, total});
  out.total = total[0];
  return out;
}

outputs token_clip_loss(case_file const& c, any_executor const& x) {
  auto const now = c.floats<double>("logp_new", {any, any});
  auto const r = clip_loss(x, clip_data(c, now.shape), now);
  outputs out;
  out.describe = "mean over rollouts of -(1 / length) sum min(ratio A, clip(ratio) A)";
  out.number("loss", r.total.loss);
  out.add("d_logp_new", r.d);
  return out;
}

outputs gate_clip_loss(case_file const& c, any_executor const& x) {
  auto const logits = c.floats<double>("logits", {any, any, any, any});
  auto const rollouts = logits.extent(0), layers = logits.extent(1), length = logits.extent(2),
             experts = logits.extent(3);
  if (experts < 1) c.wrong("logits", "shape", "at least one expert", in_words(logits.shape));
  auto const ids = c.integers<index_t>("ids", {rollouts, layers, length, any}, -1, experts - 1);
  c.same("L", layers), c.same("N", experts), c.same("K", ids.extent(3));
  auto const closed_by = c.mask("closed_by_modality", {layers, 2, experts});
  auto const modality = c.integers<index_t>("modality", {length}, 0, 1);
  auto const d = clip_data(c, {rollouts, layers, length});
  tensor<std::uint8_t> closed(logits.shape);
  for (std::int64_t i = 0; i < closed.size(); ++i) {
    auto const e = i % experts, y = i / experts % length, l = i / experts / length % layers;
    closed[i] = closed_by[(l * 2 + modality[y]) * experts + e];
  }
  closed_rows const prior{closed.matrix()};
  batch<double> const in{.logits = logits.matrix()};
  auto const now = log_prob_of(x, prior, probability_of::ordered, in, ids, {rollouts, layers, length});
  auto const r = clip_loss(x, d, now);
  tensor<double> ratio(now.shape);
  tensor<std::uint8_t> unclipped(now.shape);
  for (std::int64_t i = 0; i < now.size(); ++i) {
    ratio[i] = math::exp(now[i] - d.old[i]);
    unclipped[i] = r.d[i] != 0;
  }
  outputs out;
  out.describe = "clipped policy loss on the probability of every (layer, position) choice";
  out.number("loss", r.total.loss);
  out.add("logp", now), out.add("ratio", ratio), out.add("unclipped", unclipped);
  out.add("d_logits", log_prob_gradient(x, prior, in, ids, r.d, logits.shape));
  return out;
}

// ---- 29: diversity ----------------------------------------------------------------------------------------------

outputs diversity(case_file const& c, any_executor const& x) {
  auto const logits = c.floats<double>("logits", {any, any, any});
  auto const layers = logits.extent(0), tokens = logits.extent(1), experts = logits.extent(2);
  if (experts < 1) c.wrong("logits", "shape", "at least one expert", in_words(logits.shape));
  c.same("L", layers), c.same("T", tokens), c.same("N", experts);
  auto const k = as_index(c.integer("K", 1, experts));
  auto const tasks = c.integer("tasks", 1, 4096);
  auto const task = c.integers<index_t>("task", {tokens}, 0, tasks - 1);
  tensor<index_t> ids({layers, tokens, k});
  tensor<double> use({layers, experts}), entropy({layers}), token_entropy({layers}), divergence({layers});
  for (std::int64_t l = 0; l < layers; ++l) {
    tensor<double> layer({tokens, experts});
    std::copy_n(logits.values.begin() + l * tokens * experts, tokens * experts, layer.values.begin());
    auto const routed = forward(x, router{.select = top_k{k}}, layer, true);
    std::copy(routed.ids.values.begin(), routed.ids.values.end(), ids.values.begin() + l * tokens * k);
    tensor<std::int64_t> counts({tasks, experts});
    throw_if_bad(try_count_choices(x, routed.ids.matrix(), task.row(), {}, counts.matrix()));
    for (std::int64_t i = 0; i < counts.size(); ++i)
      use[l * experts + i % experts] += static_cast<double>(counts[i]) / static_cast<double>(tokens * k);
    entropy[l] = use_entropy(counts.matrix());
    divergence[l] = mean_divergence(counts.matrix());
    for (double const p : routed.scores.values)
      token_entropy[l] += moeroute::detail::nats(p) / static_cast<double>(tokens);
  }
  outputs out;
  out.describe = "entropy of expert use, mean entropy of the gate, divergence of use between tasks (nats)";
  out.add("ids", ids), out.add("use", use), out.add("use_entropy", entropy);
  out.add("mean_token_entropy", token_entropy), out.add("mean_pairwise_jsd", divergence);
  return out;
}

register_schemes const registered{
    {"replay", "S069", "recorded ids replayed on other logits: weights and gradients follow the new ones", replay_case},
    {"plackett_luce_logprob", "P08", "log-probability of experts drawn in order without replacement, with gradient",
     plackett_luce},
    {"route_sample_gumbel", "P08", "k largest of logit + Gumbel noise among open experts, in draw order",
     sample_gumbel},
    {"guidance_mask", "P08", "experts that a modality uses least, relative to the others, closed for it",
     guidance_mask},
    {"group_advantage", "P08", "rewards standardized inside their group", advantage_case},
    {"token_clip_loss", "P08", "clipped policy loss on token probabilities", token_clip_loss},
    {"gate_clip_loss", "P08", "clipped policy loss on route probabilities", gate_clip_loss},
    {"routing_diversity", "P08", "entropy and divergence of expert use", diversity},
};

}  // namespace
}  // namespace moeroute_examples
