// Decides how bias balancing is read from a case: golden folders 25 (loss-free bias) and 31 (quantiles).
#include <moeroute/balance/bias_update.hpp>
#include <moeroute/balance/quantile.hpp>
#include <moeroute/stats/load.hpp>

#include "cli/lossy.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

outputs sign_bias_update(case_file const& c, any_executor const& x) {
  auto const counts = c.integers<std::int64_t>("counts", {any}, 0, std::int64_t{1} << 40);
  auto const experts = counts.size();
  c.same("E", experts);
  auto const bias = c.floats<float>("bias", {experts}, nan::forbidden);
  sign_update const rule{.rate = c.number("rate")};
  outputs out;
  text t;
  rule.describe(t);
  out.describe = t.c_str();
  auto moved = bias;
  update_bias(x, rule, counts.row(), moved.row());
  out.add("bias_new", moved);
  auto centred = bias.as<double>();
  update_bias(x, sign_update{.rate = rule.rate, .zero_mean = true}, counts.row(), centred.row());
  out.add("bias_zero_mean", centred);
  tensor<double> direction({experts});
  update_bias(x, sign_update{.rate = 1}, counts.row(), direction.row());
  out.add("sign", direction.as<std::int32_t>());
  out.number("max_violation", summarize_load(counts.row()).max_violation);
  return out;
}

outputs loss_free_balancing_trajectory(case_file const& c, any_executor const& x) {
  auto const logits = c.floats<float>("logits", {any, any, any});
  auto const steps = logits.extent(0), tokens = logits.extent(1), experts = logits.extent(2);
  c.same("steps", steps), c.same("T", tokens), c.same("E", experts);
  auto const k = c.integer("k", 1, experts);
  if (!c.flag("renormalize", true)) c.bad("params.renormalize", "true", "false");
  sign_update const rule{.rate = c.number("rate")};
  tensor<float> bias({steps + 1, experts}), weights({steps, tokens, k}), now({experts});
  tensor<index_t> ids({steps, tokens, k});
  tensor<std::int64_t> counts({steps, experts});
  tensor<double> violation({steps});
  outputs out;
  for (std::int64_t s = 0; s < steps; ++s) {
    router const r{.score = sigmoid{},
                   .bias = correction_bias{now.row()},
                   .select = top_k{as_index(k)},
                   .weigh = renormalize{.epsilon = 1e-20f, .keep_single = true}};
    tensor<float> one({tokens, experts});
    std::copy_n(logits.values.begin() + s * tokens * experts, tokens * experts, one.values.begin());
    auto const routed_now = forward(x, r, one);
    auto const n = counted(x, routed_now.ids, experts);
    std::copy(routed_now.ids.values.begin(), routed_now.ids.values.end(), ids.values.begin() + s * tokens * k);
    std::copy(routed_now.weights.values.begin(), routed_now.weights.values.end(),
              weights.values.begin() + s * tokens * k);
    std::copy(n.values.begin(), n.values.end(), counts.values.begin() + s * experts);
    violation[s] = summarize_load(n.row()).max_violation;
    update_bias(x, rule, n.row(), now.row());
    std::copy(now.values.begin(), now.values.end(), bias.values.begin() + (s + 1) * experts);
    out.describe = moeroute::describe(r).c_str();
  }
  text t;
  rule.describe(t);
  out.describe += std::string("; after each step ") + t.c_str();
  out.add("bias", bias), out.add("ids", ids), out.add("weights", weights);
  out.add("counts", counts), out.add("max_violation", violation);
  return out;
}

// The case's beta is subtracted from the scores: bias = -beta.
outputs quantile_balance_update(case_file const& c, any_executor const& x) {
  auto const scores = c.floats<float>("scores", {any, any}, nan::forbidden);
  auto const tokens = scores.extent(0), experts = scores.extent(1);
  c.same("T", tokens), c.same("E", experts);
  auto const beta = c.floats<float>("beta", {experts}, nan::forbidden);
  auto const k = c.integer("k", 1, experts - 1);
  tensor<float> bias({experts}), cutoff({tokens});
  for (std::int64_t e = 0; e < experts; ++e) bias[e] = -beta[e];
  quantile_update const rule{.k = as_index(k)};
  outputs out;
  text t;
  rule.describe(t);
  out.describe = t.c_str();
  out.add(
      "ids",
      forward(x, router{.score = identity{}, .bias = correction_bias{bias.row()}, .select = top_k{as_index(k)}}, scores)
          .ids);
  auto moved = bias;
  update_by_quantile(x, rule, scores.matrix(), moved.row(), cutoff.row());
  for (auto& b : moved.values) b = -b;
  out.add("alpha", cutoff), out.add("beta_new", moved);
  return out;
}

outputs quantile_balance_histogram(case_file const& c, any_executor const& x) {
  auto const logits = logits_of<float>(c);
  auto const tokens = logits.extent(0), experts = logits.extent(1);
  auto const bias = bias_of(c, experts);
  auto const bounds = c.floats<float>("bin_bounds", {2}, nan::forbidden);
  auto const k = c.integer("k", 1, experts - 1), bins = c.integer("bins", 1, 1 << 16);
  if (auto const score = c.words("score", "sigmoid"); score != "sigmoid") c.bad("params.score", "sigmoid", score);
  router const r{.score = sigmoid{},
                 .bias = correction_bias{bias.row()},
                 .select = top_k{as_index(k)},
                 .weigh = renormalize{.epsilon = static_cast<float>(c.number("eps", 1e-20)), .keep_single = true}};
  auto const done = forward(x, r, logits, true);
  quantile_histogram<float> const h{
      .k = as_index(k), .bins = as_index(bins), .low = bounds[0], .high = bounds[1], .bias = bias.row()};
  outputs out;
  text t;
  h.describe(t);
  out.describe = moeroute::describe(r).c_str() + std::string("; ") + t.c_str();
  out.add("ids", done.ids), out.add("weights", done.weights);

  std::vector<wide_sum> sums(static_cast<std::size_t>(h.sums(as_index(experts))));
  batch<float> in;
  in.logits = logits.matrix();
  auto work = memory(observe_workspace_bytes<any_executor, decltype(h)>(x, h, tokens, as_index(experts)));
  observe(x, h, r, in, done.ids.matrix(), row_view<wide_sum>(sums), workspace(work));
  tensor<std::int64_t> histogram({experts, bins});
  for (std::int64_t i = 0; i < histogram.size(); ++i) histogram[i] = sums[static_cast<std::size_t>(i)].count();
  out.add("histogram", histogram);

  tensor<float> cutoff({tokens}), kept(bias);
  update_by_quantile(x, quantile_update{.k = as_index(k)}, done.scores.matrix(), kept.row(), cutoff.row());
  tensor<index_t> bin({tokens, experts});
  for (std::int64_t i = 0; i < bin.size(); ++i) bin[i] = h.bin(cutoff[i / experts], done.scores[i]);
  out.add("cutoff", cutoff), out.add("bin_indices", bin);
  return out;
}

register_schemes const registered{
    {"sign_bias_update", "S046", "b += rate sign(mean - n), and its zero-mean form", sign_bias_update},
    {"loss_free_balancing_trajectory", "S046", "sigmoid + bias, top k, renormalized; the bias follows the load",
     loss_free_balancing_trajectory},
    {"quantile_balance_update", "P17",
     "b_e = -(T k / E + 1)-th largest of s_te - a_t, a_t the (k+1)-th largest of s_te + b_e", quantile_balance_update},
    {"quantile_balance_histogram", "P17", "histogram of a_t - s_te for each expert", quantile_balance_histogram},
};

}  // namespace
}  // namespace moeroute_examples
