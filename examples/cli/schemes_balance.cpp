// Decides how balance losses are read from a case: golden folder 11 and the losses of 18 and 20.
#include <moeroute/loss/balanced_l1.hpp>
#include <moeroute/loss/smooth_load.hpp>
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/z_loss.hpp>

#include "cli/lossy.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

// 1 = valid, from a padding mask where the case has one.
tensor<std::uint8_t> valid_of(case_file const& c, std::int64_t tokens) {
  tensor<std::uint8_t> valid({tokens}, 1);
  if (c.has_input("padding_mask")) {
    auto const padding = c.mask("padding_mask", {tokens});
    for (std::int64_t t = 0; t < tokens; ++t) valid[t] = padding[t] == 0;
  }
  return valid;
}
batch<float> batch_of(tensor<float> const& logits, tensor<std::uint8_t> const& valid) {
  batch<float> in;
  in.logits = logits.matrix(), in.valid = valid.row();
  return in;
}
double coeff_of(case_file const& c) { return c.number("coeff", 1); }

outputs loss_outputs(auto const& term, loss_run<float> const& run) {
  outputs out;
  text t;
  term.describe(t);
  out.describe = t.c_str();
  out.number("loss", run.loss);
  out.add("d_logits", run.d_logits);
  return out;
}

outputs switch_balance_loss(case_file const& c, any_executor const& x) {
  auto const logits = logits_of<float>(c);
  auto const valid = valid_of(c, logits.extent(0));
  auto const k = c.integer("k", 1, logits.extent(1));
  switch_balance const term{.alpha = coeff_of(c), .eps = c.number("eps", 1e-20)};
  return with_score(c, [&](auto score) {
    auto const in = batch_of(logits, valid);
    auto const ids = plain_choices(x, score, in, k);
    auto out = loss_outputs(term, run_loss(x, term, router{.score = score}, in, ids.matrix(), logits.shape));
    out.add("counts", counted(x, ids, logits.extent(1)));
    return out;
  });
}

outputs gshard_balance_loss(case_file const& c, any_executor const& x) {
  auto const logits = logits_of<float>(c);
  auto const valid = valid_of(c, logits.extent(0));
  auto const in = batch_of(logits, valid);
  auto const term = gshard_balance(coeff_of(c));
  return loss_outputs(term,
                      run_loss(x, term, router<>{}, in, plain_choices(x, softmax{}, in, 1).matrix(), logits.shape));
}

// Layers are concatenated; the mask is one layer's.
outputs hf_balance_loss(case_file const& c, any_executor const& x) {
  auto const logits = c.floats<float>("logits", {any, any, any});
  c.same("layers", logits.extent(0)), c.same("E", logits.extent(2));
  auto const per_layer = logits.extent(1), tokens = logits.extent(0) * per_layer;
  auto const k = c.integer("k", 1, logits.extent(2));
  tensor<std::uint8_t> valid({tokens}, 1);
  if (c.has_input("attention_mask")) {
    auto const mask = c.mask("attention_mask", {any, any});
    if (mask.size() != per_layer)
      c.wrong("attention_mask", "shape", std::to_string(per_layer) + " elements", in_words(mask.shape));
    for (std::int64_t t = 0; t < tokens; ++t) valid[t] = mask[t % per_layer];
  }
  auto const in = batch_of(logits, valid);
  auto const term = hf_balance(coeff_of(c));
  return with_score(c, [&](auto score) {
    auto const ids = plain_choices(x, score, in, k);
    return loss_outputs(term, run_loss(x, term, router{.score = score}, in, ids.matrix(), logits.shape));
  });
}

// The mean over layers is a batch whose segments are the layers.
outputs megablocks_balance_loss(case_file const& c, any_executor const& x) {
  auto const logits = c.floats<float>("logits", {any, any, any});
  auto const layers = logits.extent(0), per_layer = logits.extent(1);
  c.same("layers", layers), c.same("T", per_layer), c.same("E", logits.extent(2));
  tensor<std::uint8_t> const valid({layers * per_layer}, 1);
  tensor<index_t> layer({layers * per_layer});
  for (std::int64_t t = 0; t < layer.size(); ++t) layer[t] = as_index(t / per_layer);
  auto in = batch_of(logits, valid);
  in.sequence = layer.row();
  switch_balance const term{.alpha = coeff_of(c), .by = segment_by::sequence, .segments = as_index(layers)};
  auto const ids = plain_choices(x, softmax{}, in, c.integer("k", 1, logits.extent(2)));
  return loss_outputs(term, run_loss(x, term, router<>{}, in, ids.matrix(), logits.shape));
}

// Row t is a position of sequence t % batch.
outputs sequence_balance_loss(case_file const& c, any_executor const& x) {
  auto const logits = c.floats<float>("logits", {any, any});
  c.same("E", logits.extent(1));
  auto const tokens = logits.extent(0), sequences = c.integer("batch", 1, std::max<std::int64_t>(tokens, 1));
  tensor<std::uint8_t> const valid({tokens}, 1);
  tensor<index_t> sequence({tokens});
  for (std::int64_t t = 0; t < tokens; ++t) sequence[t] = as_index(t % sequences);
  auto in = batch_of(logits, valid);
  in.sequence = sequence.row();
  switch_balance const term{
      .alpha = coeff_of(c), .by = segment_by::sequence, .segments = as_index(sequences), .eps = c.number("eps", 1e-20)};
  return with_score(c, [&](auto score) {
    auto const ids = plain_choices(x, score, in, c.integer("k", 1, logits.extent(1)));
    return loss_outputs(term, run_loss(x, term, router{.score = score}, in, ids.matrix(), logits.shape));
  });
}

// Counts of both micro batches, scores of the first: its share of the global loss.
outputs switch_balance_loss_global(case_file const& c, any_executor const& x) {
  auto const logits = logits_of<float>(c), other = c.floats<float>("logits_other", logits.shape);
  auto const experts = logits.extent(1), k = c.integer("k", 1, experts);
  tensor<std::uint8_t> const valid({logits.extent(0)}, 1);
  auto const in = batch_of(logits, valid);
  auto const ids = plain_choices(x, softmax{}, in, k),
             ids_other = plain_choices(x, softmax{}, batch_of(other, valid), k);
  auto counts = counted(x, ids, experts);
  auto const counts_other = counted(x, ids_other, experts);
  for (std::int64_t e = 0; e < experts; ++e) counts[e] += counts_other[e];
  switch_balance const term{.alpha = coeff_of(c), .load = load_source::given};
  std::vector<wide_sum> sums(static_cast<std::size_t>(term.sums(as_index(experts))));
  auto const elsewhere = c.integer("total_tokens", logits.extent(0), 1 << 30) - logits.extent(0);
  term.give_counts(as_index(experts), row_view<wide_sum>(sums), counts.row(), (elsewhere + logits.extent(0)) * k,
                   elsewhere);
  auto out = loss_outputs(term, run_loss(x, term, router<>{}, in, ids.matrix(), logits.shape, sums));
  out.add("counts", counts);
  return out;
}

outputs load_importance_loss(case_file const& c, any_executor const& x) {
  auto const wide = logits_of<double>(c);
  auto const noise = c.floats<double>("noise", wide.shape, nan::forbidden);
  auto const experts = wide.extent(1);
  auto const ddof = as_index(c.integer_or("variance_ddof", 1, 0, 1));
  importance_cv const importance{.alpha = .5, .ddof = ddof, .eps = c.number("eps", 1e-10)};
  smooth_load_cv<double> const load{.noise = noise.matrix(),
                                    .sigma = c.number("gate_noise") / static_cast<double>(experts),
                                    .k = as_index(c.integer("k", 1, experts)),
                                    .alpha = .5,
                                    .ddof = ddof,
                                    .eps = c.number("eps", 1e-10),
                                    .of_scores = true};
  terms const both_terms{importance, load};
  batch<double> in;
  in.logits = wide.matrix();
  matrix_view<index_t const> const no_ids{};
  auto const run = run_loss(x, both_terms, router<>{}, in, no_ids, wide.shape);
  outputs out;
  text t;
  both_terms.describe(t);
  out.describe = t.c_str();
  out.number("loss", run.loss), out.number("loss_f64", run.loss);
  out.number("importance_part", 2 * run_loss(x, importance, router<>{}, in, no_ids, wide.shape).loss);
  out.number("load_part", 2 * run_loss(x, load, router<>{}, in, no_ids, wide.shape).loss);
  out.add("d_logits", run.d_logits);
  return out;
}

outputs vmoe_importance_load(case_file const& c, any_executor const& x) {
  auto const wide = logits_of<double>(c);
  auto const noise = c.floats<double>("noise", wide.shape, nan::forbidden);
  auto const ddof = as_index(c.integer_or("variance_ddof", 0, 0, 1));
  importance_cv const importance{.ddof = ddof};
  smooth_load_cv<double> const load{.noise = noise.matrix(),
                                    .sigma = c.number("noise_std"),
                                    .k = as_index(c.integer("k", 1, wide.extent(1))),
                                    .ddof = ddof};
  batch<double> in;
  in.logits = wide.matrix();
  auto const a = run_loss(x, importance, router<>{}, in, {}, wide.shape);
  auto const b = run_loss(x, load, router<>{}, in, {}, wide.shape);
  outputs out;
  text t;
  terms{importance, load}.describe(t);
  out.describe = t.c_str();
  out.number("importance_loss", a.loss), out.number("load_loss", b.loss);
  out.add("d_logits_importance", a.d_logits), out.add("d_logits_load", b.d_logits);
  return out;
}

outputs router_z_loss(case_file const& c, any_executor const& x) {
  auto const logits = logits_of<float>(c);
  auto const valid = valid_of(c, logits.extent(0));
  z_loss const term{.alpha = coeff_of(c)};
  return loss_outputs(term, run_loss(x, term, router<>{}, batch_of(logits, valid), {}, logits.shape));
}

outputs adamoe_null_averaged_loss(case_file const& c, any_executor const& x) {
  auto const logits = c.floats<float>("logits", {any, any});
  auto const columns = logits.extent(1), null_experts = c.integer("null", 0, columns);
  c.same("T", logits.extent(0)), c.same("E", columns - null_experts);
  tensor<std::uint8_t> const valid({logits.extent(0)}, 1);
  auto const in = batch_of(logits, valid);
  auto const ids = plain_choices(x, softmax{}, in, c.integer("k", 1, columns));
  switch_balance const term{.alpha = coeff_of(c), .null_experts = as_index(null_experts)};
  auto out = loss_outputs(term, run_loss(x, term, router<>{}, in, ids.matrix(), logits.shape));
  out.add("counts", counted(x, ids, columns));
  return out;
}

outputs adaptive_l1_coefficient(case_file const& c, any_executor const&) {
  auto const sparsity = c.floats<double>("sparsity", {any}, nan::forbidden);
  c.same("steps", sparsity.size());
  sparsity_controller const rule{.multiplier = c.number_in("multiplier", 1e-6, 1e6),
                                 .target = c.number("target_sparsity")};
  tensor<double> coeff({sparsity.size() + 1});
  coeff[0] = c.number("coeff_init");
  for (std::int64_t i = 0; i < sparsity.size(); ++i) coeff[i + 1] = rule.next(coeff[i], sparsity[i]);
  outputs out;
  out.describe = "lambda m below the target sparsity, lambda / m else";
  out.add("coeff", coeff);
  return out;
}

register_schemes const registered{
    {"switch_balance_loss", "S077", "alpha E / (k T^2) sum_e count_e sum_t score_te", switch_balance_loss},
    {"gshard_balance_loss", "P31", "alpha E sum_e mean(p_e) share of first choices", gshard_balance_loss},
    {"hf_balance_loss", "P2", "Switch form not divided by k, layers concatenated (Mixtral in transformers)",
     hf_balance_loss},
    {"megablocks_balance_loss", "P2", "mean over layers of the Switch form", megablocks_balance_loss},
    {"sequence_balance_loss", "P7", "Switch form per sequence, mean over sequences (DeepSeek-V3)",
     sequence_balance_loss},
    {"switch_balance_loss_global", "P11", "Switch form with the counts of the global batch (Qwen3)",
     switch_balance_loss_global},
    {"load_importance_loss", "P33", "half CV^2 of importance, half CV^2 of smooth load, Tutel's literal form",
     load_importance_loss},
    {"vmoe_importance_load", "P33", "CV^2 of importance and of smooth load (V-MoE)", vmoe_importance_load},
    {"z_loss", "P32", "alpha mean logsumexp^2", router_z_loss},
    {"adamoe_null_averaged_loss", "S065", "Switch form with the loads of null experts averaged",
     adamoe_null_averaged_loss},
    {"adaptive_l1_coefficient", "S096", "multiplicative controller of the L1 coefficient (ReMoE)",
     adaptive_l1_coefficient},
};

}  // namespace
}  // namespace moeroute_examples
