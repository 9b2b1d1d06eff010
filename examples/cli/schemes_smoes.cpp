// Decides how the SMoES schemes are read from a case: golden folder 30.
#include <moeroute/smoes/smoes.hpp>

#include "cli/routed.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

template <class T>
row_view<T const> seen(tensor<T> const& t) {
  return t.row();
}
template <class T>
tensor<T> filled(shape_t shape) {
  return tensor<T>(std::move(shape));
}

outputs attention_modality_score(case_file const& c, any_executor const& x) {
  auto const attention = c.floats<double>("attention", {any, any, any, any});  // layers, H, T, T
  auto const L = attention.extent(0), H = attention.extent(1), T = attention.extent(2);
  auto const stream = c.floats<double>("x", {L, T, any}), added = c.floats<double>("x_attn", stream.shape);
  auto const is_text = c.integers<index_t>("is_text", {T}, 0, 1);
  if (attention.extent(3) != T) c.wrong("attention", "shape", "as many keys as tokens", in_words(attention.shape));
  c.same("L", L), c.same("H", H), c.same("T", T), c.same("D", stream.extent(2));
  tensor<double> u({L + 1, T});
  auto const layer_scores = [&](std::int64_t l) { return matrix_view<double>(&u[l * T], T, 1); };
  fill_hard_scores(seen(is_text), layer_scores(0));
  for (std::int64_t l = 0; l < L; ++l) {
    attention_layer<double> const in{.heads = as_index(H),
                                     .attention = {attention.values.data() + l * H * T * T, H * T, T},
                                     .stream = stream.slice(l),
                                     .added = added.slice(l)};
    attention_score(x, in, matrix_view<double const>(layer_scores(l)), layer_scores(l + 1),
                    memory(x.workspace_bytes(0)));
  }
  outputs out;
  out.add("u", u);
  out.describe =
      "u' = (a u~ + r u) / (a + r), u~ = mean over heads of attention times u, a = |added|, r = "
      "|stream|";
  return out;
}

// Means and variances of a case with the vectors that follow from them.
struct gaussians {
  tensor<double> mean, variance, inverse, log_sum;
  tensor<std::uint8_t> seen;
  gaussians(tensor<double> mu, tensor<double> var, bool initialised)
      : mean(std::move(mu)),
        variance(std::move(var)),
        inverse(mean.shape),
        log_sum({mean.extent(0)}),
        seen({mean.extent(0)}, initialised ? std::uint8_t{1} : std::uint8_t{0}) {}
  gaussian_view<double> view() {
    return {mean.matrix(), variance.matrix(), inverse.matrix(), log_sum.row(), seen.row()};
  }
};
gaussians gaussians_of(case_file const& c, std::int64_t width, bool initialised) {
  auto mu = c.floats<double>("mu", {any, width}, nan::forbidden);
  auto var = c.floats<double>("var", mu.shape, nan::forbidden);
  for (std::int64_t i = 0; i < var.size(); ++i)
    if (!(var[i] > 0)) c.wrong("var", "values", "numbers above 0", in_words(var[i]));
  return {std::move(mu), std::move(var), initialised};
}

outputs gaussian_modality_score(case_file const& c, any_executor const& x) {
  auto const features = c.floats<double>("x", {any, any}, nan::forbidden);
  auto const T = features.extent(0), D = features.extent(1);
  c.same("T", T), c.same("D", D);
  auto g = gaussians_of(c, D, true);
  auto const modalities = g.mean.extent(0);
  gaussian_score_rule const rule{c.number("tau", .5 * static_cast<double>(D)) / static_cast<double>(D)};
  tensor<double> scores({T, modalities}), loglik({T, modalities}), u({T});
  prepare_gaussians(x, g.view(), memory(x.workspace_bytes(0)));
  gaussian_score(x, rule, features.matrix(), g.view(), {}, scores.matrix(), loglik.matrix(),
                 memory(gaussian_score_workspace_bytes(x, as_index(modalities))));
  for (std::int64_t t = 0; t < T; ++t) u[t] = modality_scores<double>(std::as_const(scores).matrix())(t, text_modality);
  outputs out;
  out.add("u", u), out.add("loglik", loglik);
  text words;
  rule.describe(words);
  out.describe = words.c_str();
  return out;
}

outputs gaussian_ema_update(case_file const& c, any_executor const& x) {
  auto const features = c.floats<double>("x", {any, any}, nan::forbidden);
  auto const T = features.extent(0), D = features.extent(1);
  c.same("T", T), c.same("D", D);
  auto g = gaussians_of(c, D, c.flag("initialised", true));
  auto const modalities = g.mean.extent(0);
  auto const labels = c.integers<index_t>("labels", {T}, 0, modalities - 1);
  gaussian_ema const rule{.beta = c.number("beta", .99), .var_floor = c.number("var_floor", 1e-6)};
  tensor<wide_sum> moments({modalities, moment_columns(D)});
  gaussian_moments(x, rule.weight, features.matrix(), labels.row(), modality_scores<double>{}, {}, moments.matrix(),
                   memory(gaussian_moments_workspace_bytes(x, T, D, as_index(modalities))));
  update_gaussians(x, rule, std::as_const(moments).matrix(), g.view(), memory(x.workspace_bytes(0)));
  outputs out;
  out.add("mu_new", g.mean), out.add("var_new", g.variance);
  text words;
  rule.describe(words);
  out.describe = words.c_str();
  return out;
}

outputs expert_binning_scheme(case_file const& c, any_executor const& x) {
  auto moving = c.floats<double>("counts_ema", {2, any}, nan::forbidden);
  auto const E = moving.extent(1);
  auto const counts = c.integers<std::int64_t>("counts", {2, E}, 0, largest<index_t>);
  c.same("Ne", E);
  expert_binning const rule{.bins = as_index(c.integer("bins", 1, E)), .beta = c.number("beta", .99)};
  tensor<double> preference({E});
  tensor<index_t> order({E}), bin({E});
  update_bins(x, rule, counts.matrix(), moving.matrix(), preference.row(), order.row(), bin.row(),
              memory(x.workspace_bytes(0)));
  outputs out;
  out.add("counts_ema_new", moving), out.add("text_preference", preference);
  out.add("order", order), out.add("bin_of_expert", bin);
  text words;
  rule.describe(words);
  out.describe = words.c_str();
  return out;
}

outputs interbin_mi_and_inbin_balance(case_file const& c, any_executor const& x) {
  auto const logits = c.floats<double>("logits", {any, any});
  auto const T = logits.extent(0), E = logits.extent(1);
  auto const bins = as_index(c.integer("bins", 1, E)), experts = as_index(E);
  auto const samples = c.integer("samples", 1, std::max<std::int64_t>(T, 1));
  auto const u = c.floats<double>("u", {T}, nan::forbidden);
  auto const sample = c.integers<index_t>("sample", {T}, 0, samples - 1);
  auto const bin_of = c.integers<index_t>("bin_of_expert", {E}, 0, bins - 1);
  c.same("Ne", E);
  for (std::int64_t t = 1; t < T; ++t)
    if (sample[t] < sample[t - 1])
      c.wrong("sample", "values", "tokens of a sample side by side", "a smaller sample at " + std::to_string(t));

  router const r{.score = softmax{}, .select = top_k{as_index(c.integer("k", 1, E))}};
  tensor<index_t> ids({T, r.select.k});
  tensor<double> weights({T, r.select.k}), p({T, E});
  route(x, r, batch<double, double>{.logits = logits.matrix()},
        routing_view<index_t, double>{ids.matrix(), weights.matrix(), p.matrix()},
        memory(route_workspace_bytes<any_executor, decltype(r), double>(x, r, T, experts)));

  auto term = inter_bin_mi(bins, 1);
  term.min_mass = c.number("min_modality_mass", 1);
  bin_batch<double> const in{.p = std::as_const(p).matrix(),
                             .modality = u.row(),
                             .sample = sample.row(),
                             .samples = samples,
                             .bin_of_expert = bin_of.row()};
  tensor<double> value({samples}), d_mi({T, E});
  tensor<std::uint8_t> kept({samples});
  tensor<std::int64_t> totals({3});
  double const loss = inter_bin(x, term, in, value.row(), kept.row(), totals.row(), d_mi.matrix(),
                                memory(inter_bin_workspace_bytes<double>(x, term, T, experts, 2, samples)));
  auto over_all = term;
  over_all.mean = sample_mean::all;

  tensor<std::int64_t> counts({1, E}), mass({E + 1});
  choice_counts(x, count_weight::hard, std::as_const(ids).matrix(), {}, modality_scores<double>{}, {}, counts.matrix(),
                memory(choice_counts_workspace_bytes(x, T, 1, experts)));
  gate_mass(x, gate_form::softmax, std::as_const(p).matrix(), {}, mass.row(),
            memory(gate_mass_workspace_bytes(x, T, experts)));
  tensor<double> coefficient({E}), unused({E}), d_balance({T, E});
  bin_balance const in_bin{.alpha = 1, .form = balance_form::in_bin, .bins = bins},
      literal{.alpha = 1, .form = balance_form::literal, .bins = bins};
  auto const balance = [&](bin_balance const& b, tensor<double>& to) {
    return bin_balance_loss(x, b, std::as_const(counts).row(), std::as_const(mass).row(), bin_of.row(), to.row(),
                            memory(x.workspace_bytes(0)));
  };
  outputs out;
  out.add("mi_per_sample", value), out.add("kept", kept), out.add("d_logits_mi", d_mi);
  out.number("mi_loss", loss);
  out.number("mi_loss_over_all_samples", inter_bin_loss(over_all, std::as_const(totals).row()));
  out.number("balance_in_bin", balance(in_bin, coefficient));
  out.number("balance_literal", balance(literal, unused));
  bin_balance_backward(x, in_bin, std::as_const(p).matrix(), {}, std::as_const(coefficient).row(), d_balance.matrix(),
                       memory(x.workspace_bytes(0)));
  out.add("d_logits_balance", d_balance);
  tensor<index_t> narrow({E});
  for (std::int64_t e = 0; e < E; ++e) narrow[e] = as_index(counts[e]);
  out.add("counts", narrow);
  text words;
  term.describe(words), words.add("; "), in_bin.describe(words);
  out.describe = words.c_str();
  return out;
}

outputs modality_specialisation_index(case_file const& c, any_executor const&) {
  auto const counts = c.integers<std::int64_t>("counts", {any, 2, any}, 0, largest<index_t>);
  auto const L = counts.extent(0), E = counts.extent(2);
  c.same("L", L), c.same("Ne", E);
  tensor<double> share({L, E}), per_layer({L});
  outputs out;
  out.number("msi", specialization(counts.matrix(), 2, share.matrix(), per_layer.row()));
  out.add("text_share", share), out.add("msi_per_layer", per_layer);
  out.describe =
      "mean of 2 |t_e - 1/2|, t_e the text share of expert e, counts normalized within the "
      "modality";
  return out;
}

void add_shares(outputs& out, transfer_tally const& r) {
  out.number("r_any", r.r_any()), out.number("r_slot", r.r_slot());
}
tensor<index_t> chosen_of(case_file const& c, std::int64_t T, std::int64_t E) {
  auto ids = c.integers<index_t>("ids", {T, any}, no_expert, E - 1);
  c.same("k", ids.extent(1));
  return ids;
}

outputs bin_placement(case_file const& c, any_executor const& x) {
  auto const modality = c.integers<index_t>("modality", {any}, 0, 1);
  auto const T = modality.extent(0);
  auto const bin_of = c.integers<index_t>("bin_of_expert", {any}, 0, largest<index_t> - 1);
  auto const E = bin_of.extent(0);
  c.same("T", T), c.same("Ne", E);
  auto const bins = as_index(c.integer("bins", 1, E)), devices = as_index(c.integer("devices", 1, E));
  for (std::int64_t e = 0; e < E; ++e)
    if (bin_of[e] >= bins) c.wrong("bin_of_expert", "values", "numbers below the bins", std::to_string(bin_of[e]));
  auto const ids = chosen_of(c, T, E);
  tensor<index_t> device({E}), home_of({2}), home({T}), narrow({2, devices});
  tensor<std::int64_t> counts({2, E}), device_counts({2, devices});
  place_bins(bin_of.row(), bins, devices, device.row());
  choice_counts(x, count_weight::hard, ids.matrix(), modality.row(), modality_scores<float>{}, {}, counts.matrix(),
                memory(choice_counts_workspace_bytes(x, T, 2, as_index(E))));
  count_devices(std::as_const(counts).matrix(), std::as_const(device).row(), device_counts.matrix());
  home_by_modality(std::as_const(device_counts).matrix(), home_of.row());
  homes_of_tokens(modality.row(), std::as_const(home_of).row(), home.row());
  for (std::int64_t i = 0; i < narrow.size(); ++i) narrow[i] = as_index(device_counts[i]);
  outputs out;
  add_shares(out, transfers(ids.matrix(), std::as_const(device).row(), std::as_const(home).row()));
  out.add("device_of_expert", device), out.add("device_counts", narrow);
  out.add("home_of_modality", home_of), out.add("home", home);
  out.describe =
      "device q takes bins q nb / Q to (q + 1) nb / Q - 1; a modality's home is the device with "
      "most of its slots";
  return out;
}

outputs transfer_shares(case_file const& c, any_executor const&) {
  auto const home = c.integers<index_t>("home", {any}, 0, largest<index_t> - 1);
  auto const T = home.extent(0);
  auto const devices = as_index(c.integer("devices", 1, largest<index_t>));
  auto const device = c.integers<index_t>("device_of_expert", {any}, 0, devices - 1);
  c.same("T", T), c.same("Ne", device.extent(0));
  auto const ids = chosen_of(c, T, device.extent(0));
  tensor<std::int64_t> load({devices});
  auto const r = transfers(ids.matrix(), device.row(), home.row(), load.row());
  tensor<index_t> narrow({devices});
  for (std::int64_t q = 0; q < devices; ++q) narrow[q] = as_index(load[q]);
  outputs out;
  add_shares(out, r);
  out.number("r_span", r.r_span());
  out.integer("bytes", r.bytes(c.integer("D", 1, largest<index_t>), c.integer("bytes_per_value", 1, 16)));
  out.add("load_per_device", narrow);
  out.describe = "shares of tokens and slots off home; bytes = foreign devices * 2 D bytes_per_value";
  return out;
}

outputs transfer_uniform_expectation(case_file const& c, any_executor const&) {
  auto const E = as_index(c.integer("Ne", 1, largest<index_t>)), k = as_index(c.integer("k", 1, E));
  auto const Q = as_index(c.integer("devices", 1, E));
  if (E % Q != 0) c.bad("params.devices", "a divisor of the experts (" + std::to_string(E) + ")", std::to_string(Q));
  outputs out;
  out.number("r_any", uniform_r_any(E, k, Q)), out.number("r_slot", uniform_r_slot(Q));
  out.describe = "r_any = 1 - C(E/Q, k) / C(E, k), r_slot = 1 - 1/Q";
  return out;
}

register_schemes const registered{
    {"attention_modality_score", "SMoES", "text score mixed by attention: u' = (a u~ + r u) / (a + r)",
     attention_modality_score},
    {"gaussian_modality_score", "SMoES", "softmax over modalities of Gaussian log-likelihoods over tau",
     gaussian_modality_score},
    {"gaussian_ema_update", "SMoES", "moments of the beta : 1 - beta mixture, per modality", gaussian_ema_update},
    {"expert_binning", "SMoES", "experts in the order of their text share, cut into equal runs", expert_binning_scheme},
    {"interbin_mi_and_inbin_balance", "SMoES", "minus the mutual information of modality and bin; balance inside bins",
     interbin_mi_and_inbin_balance},
    {"modality_specialisation_index", "SMoES", "mean over experts of 2 |text share - 1/2|",
     modality_specialisation_index},
    {"bin_placement", "SMoES", "bins to devices in runs, a modality's home where most of its slots are", bin_placement},
    {"transfer_shares", "SMoES", "shares of tokens and slots off home, bytes moved, load per device", transfer_shares},
    {"transfer_uniform_expectation", "SMoES", "expected shares of uniformly random experts",
     transfer_uniform_expectation},
};

}  // namespace
}  // namespace moeroute_examples
