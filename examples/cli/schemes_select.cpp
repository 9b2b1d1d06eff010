// Decides how the selectors of variable count, hashing, expert choice, Sinkhorn, balanced assignment, SparseMixer
// and soft MoE are read from a case: golden folders 12, 15, 16, 18, 20, 21, 22, 23, 26.
#include <moeroute/choices.hpp>
#include <moeroute/loss/balanced_l1.hpp>
#include <moeroute/loss/entropy.hpp>
#include <moeroute/loss/masked_balance.hpp>
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/select/replay.hpp>

#include "cli/lossy.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

template <class V>
matrix_view<V const> as_const(matrix_view<V> m) {
  return m;
}
// Values of the choices [T, k] put into their experts' columns [T, E]; and gathered from there.
template <class V>
tensor<V> scatter(tensor<index_t> const& ids, tensor<V> const& values, shape_t const& shape) {
  tensor<V> out(shape);
  for (std::int64_t i = 0; i < ids.size(); ++i)
    if (ids[i] != no_expert) out[i / ids.extent(1) * shape[1] + ids[i]] = values[i];
  return out;
}
template <class V>
tensor<V> gather(tensor<index_t> const& ids, tensor<V> const& dense) {
  tensor<V> out(ids.shape);
  for (std::int64_t i = 0; i < ids.size(); ++i)
    if (ids[i] != no_expert) out[i] = dense[i / ids.extent(1) * dense.extent(1) + ids[i]];
  return out;
}
tensor<std::uint8_t> map_of(tensor<index_t> const& ids, shape_t const& shape) {
  return scatter(ids, tensor<std::uint8_t>(ids.shape, 1), shape);
}
template <class V>
batch<V> batch_of(tensor<V> const& logits) {
  batch<V> in;
  in.logits = logits.matrix();
  return in;
}

// Choices of varying number: dense weights and their gradient.
struct dense_routes {
  outputs out;
  tensor<float> logits;
  tensor<index_t> ids;
};
template <class R>
dense_routes dense_case(case_file const& c, any_executor const& x, R const& r) {
  auto const wide = logits_of<double>(c);
  dense_routes made{{}, wide.template as<float>(), {}};
  made.out.describe = describe(r).c_str();
  auto const f32 = forward(x, r, made.logits);
  auto const f64 = forward(x, r, wide);
  made.ids = f32.ids;
  made.out.add("weights", scatter(f32.ids, f32.weights, wide.shape));
  made.out.add("weights_f64", scatter(f64.ids, f64.weights, wide.shape));
  auto const d = c.floats<float>("d_weights", wide.shape, nan::forbidden);
  made.out.add("d_logits", backward(x, r, made.logits, f32.ids, gather(f32.ids, d)));
  return made;
}

// ---- 21 ----------------------------------------------------------------------------------------------------------

outputs top_p_case(case_file const& c, any_executor const& x) {
  auto const experts = logits_of<float>(c).extent(1);
  router const r{.select = top_p{.p = static_cast<float>(c.number_in("p", 0, 1)),
                                 .max_experts = as_index(experts),
                                 .boundary = c.flag("include_crossing", true) ? crossing::keep : crossing::drop,
                                 .passed = c.flag("strict", true) ? passing::above : passing::at_least}};
  auto made = dense_case(c, x, r);
  tensor<std::int32_t> count({made.logits.extent(0)});
  for (std::int64_t i = 0; i < made.ids.size(); ++i) count[i / experts] += made.ids[i] != no_expert;
  made.out.add("sorted_ids", made.ids);
  made.out.add("count", count);
  token_entropy const term{.alpha = 1};
  made.out.number("entropy_loss", run_loss(x, term, router<>{}, batch_of(made.logits), {}, made.logits.shape).loss);
  return made.out;
}

template <class V>
tensor<V> entropies(tensor<V> const& logits, tsallis_entropy const& h) {
  tensor<V> out({logits.extent(0)});
  for (std::int64_t t = 0; t < out.size(); ++t) {
    std::vector<V> p(logits.matrix()[t].begin(), logits.matrix()[t].end());
    memory_row<V> const row{p.data(), as_index(logits.extent(1))};
    auto const m = softmax{}.summarize(serial_group{}, row);
    row.each(serial_group{}, [&](index_t, V& z) { z = softmax{}(m, z); });
    out[t] = h(serial_group{}, row);
  }
  return out;
}
outputs dynmole(case_file const& c, any_executor const& x) {
  auto const wide = logits_of<double>(c);
  auto const experts = as_index(wide.extent(1));
  tsallis_entropy const h{.q = static_cast<float>(c.number_in("entropy_index", 0, 100)),
                          .shift = static_cast<float>(c.number("entropy_eps", 0))};
  router const r{.select = entropy_switch<>{.threshold = static_cast<float>(c.number("entropy_threshold")),
                                            .base = {.p = static_cast<float>(c.number_in("top_p", 0, 1)),
                                                     .max_experts = experts,
                                                     .min_experts = as_index(c.integer_or("keep_top_k", 1, 0, experts)),
                                                     .boundary = crossing::drop},
                                            .entropy = h}};
  auto made = dense_case(c, x, r);
  auto clean = h;
  clean.shift = 0;
  made.out.add("entropy", entropies(made.logits, h));
  made.out.add("entropy_f64", entropies(wide, h));
  made.out.add("entropy_without_shift", entropies(wide, clean));
  made.out.add("routing_map", map_of(made.ids, wide.shape));
  terms const loss{token_entropy{.alpha = c.number("dyn_coeff"),
                                 .q = c.number("entropy_index"),
                                 .relative = true,
                                 .shift = c.number("entropy_eps", 0),
                                 .normalize = false},
                   masked_balance{.alpha = c.number("aux_coeff"), .normalize = false}};
  auto const run = run_loss(x, loss, router<>{}, batch_of(made.logits), as_const(made.ids.matrix()), wide.shape);
  made.out.number("loss", run.loss);
  made.out.add("d_logits_loss", run.d_logits);
  return made.out;
}

// ---- 20 ----------------------------------------------------------------------------------------------------------

outputs relu_routing(case_file const& c, any_executor const& x) {
  auto const experts = logits_of<float>(c).extent(1);
  router const r{.score = relu{}, .select = above{.max_experts = as_index(experts)}};
  auto made = dense_case(c, x, r);
  auto const tokens = made.logits.extent(0);
  tensor<std::int32_t> active({tokens});
  for (std::int64_t i = 0; i < made.ids.size(); ++i) active[i / experts] += made.ids[i] != no_expert;
  balanced_l1 const term{.lambda = c.number("coeff"), .k = static_cast<double>(c.integer("k", 1, experts))};
  auto const run = run_loss(x, term, r, batch_of(made.logits), as_const(made.ids.matrix()), made.logits.shape);
  made.out.add("routing_map", map_of(made.ids, made.logits.shape));
  made.out.add("counts", counted(x, made.ids, experts));
  made.out.add("active_per_token", active);
  made.out.number("loss", run.loss);
  made.out.add("d_logits_loss", run.d_logits);
  made.out.number("sparsity", term.sparsity(as_index(experts), run.sums));
  return made.out;
}

// ---- 18 ----------------------------------------------------------------------------------------------------------

outputs adamoe_null_experts(case_file const& c, any_executor const& x) {
  auto const wide = c.floats<double>("logits", {any, any});
  auto const tokens = wide.extent(0), columns = wide.extent(1);
  auto const nulls = c.integer("null", 0, columns - 1), k = c.integer("k", 1, columns);
  c.same("T", tokens), c.same("E", columns - nulls);
  router const r{.select = null_experts<>{.nulls = as_index(nulls), .base = {as_index(k)}},
                 .weigh = renormalize{.epsilon = 0}};
  auto const narrow = wide.as<float>();
  auto const f32 = forward(x, r, narrow);
  outputs out;
  out.describe = describe(r).c_str();
  out.add("ids", f32.ids);
  out.add("weights", f32.weights);
  out.add("weights_f64", forward(x, r, wide).weights);
  tensor<std::int32_t> true_count({tokens});
  for (std::int64_t i = 0; i < f32.ids.size(); ++i) true_count[i / k] += f32.ids[i] < columns - nulls;
  out.add("true_count", true_count);
  out.add("d_logits", backward(x, r, narrow, f32.ids, c.floats<float>("d_weights", f32.ids.shape, nan::forbidden)));
  switch_balance const averaged{.alpha = 1, .null_experts = as_index(nulls)};
  auto const with = run_loss(x, averaged, router<>{}, batch_of(wide), f32.ids.matrix(), wide.shape);
  out.number("loss_null_averaged", with.loss);
  out.add("d_logits_null_averaged", with.d_logits);
  switch_balance const literal{.alpha = 1, .share = load_share::per_token};
  out.number("loss_unaveraged", run_loss(x, literal, router<>{}, batch_of(wide), f32.ids.matrix(), wide.shape).loss);
  return out;
}

// ---- 22 ----------------------------------------------------------------------------------------------------------

outputs hash_table_case(case_file const& c, any_executor const& x) {
  auto const experts = c.integer("E", 1, 1 << 20);
  auto const table = c.integers<index_t>("table", {any}, 0, experts - 1);
  auto const words = c.integers<index_t>("token_ids", {any}, 0, table.size() - 1);
  c.same("T", words.size()), c.same("V", table.size());
  router const r{.select = hash_choice{.table = {table.values.data(), table.size(), 1}, .vocabulary_id = words.row()},
                 .weigh = constant_weight{}};
  tensor<float> const logits({words.size(), experts});
  auto const routed = forward(x, r, logits);
  outputs out;
  out.describe = describe(r).c_str();
  out.add("ids", routed.ids);
  out.add("weights", routed.weights);
  out.add("counts", counted(x, routed.ids, experts));
  return out;
}
outputs balanced_hash_builder(case_file const& c, any_executor const&) {
  auto const frequency = c.integers<index_t>("frequency", {any}, 0, 1 << 24);
  auto const experts = c.integer("E", 1, 1 << 20);
  c.same("V", frequency.size());
  auto const table = balanced_hash(frequency.row(), as_index(experts));
  tensor<std::int32_t> load({experts});
  for (std::int64_t v = 0; v < frequency.size(); ++v) load[table[static_cast<std::size_t>(v)]] += frequency[v];
  outputs out;
  out.describe = "token ids by descending frequency, each to the expert of least accumulated frequency";
  out.add("table", table, {frequency.size()});
  out.add("load", load);
  return out;
}
outputs hash_ids_learned_weights(case_file const& c, any_executor const& x) {
  auto const experts = logits_of<float>(c).extent(1);
  auto const table = c.integers<index_t>("table", {any, any}, 0, experts - 1);
  auto const words = c.integers<index_t>("token_ids", {any}, 0, table.extent(0) - 1);
  c.same("V", table.extent(0)), c.same("k", table.extent(1)), c.same("T", words.size());
  if (auto const score = c.words("score", "sqrtsoftplus"); score != "sqrtsoftplus")
    c.bad("params.score", "sqrtsoftplus", score);
  return route_case(c, x,
                    router{.score = sqrt_softplus{},
                           .select = hash_choice{.table = table.matrix(), .vocabulary_id = words.row()},
                           .weigh = renormalize{.scale = static_cast<float>(c.number("scale", 1)),
                                                .epsilon = static_cast<float>(c.number("eps", 0))}});
}

// ---- 12 ----------------------------------------------------------------------------------------------------------

template <class V>
tensor<V> plan_of(any_executor const& x, sinkhorn how, tensor<V> const& logits) {
  tensor<V> plan(logits.shape);
  auto work = memory(sinkhorn_workspace_bytes<any_executor, V>(x, logits.extent(0), logits.extent(1)));
  sinkhorn_plan(x, how, logits.matrix(), plan.matrix(), workspace(work));
  return plan;
}
template <class Score>
outputs sinkhorn_with(case_file const& c, any_executor const& x, Score score) {
  auto const wide = logits_of<double>(c);
  auto const narrow = wide.template as<float>();
  auto const k = as_index(c.integer("k", 1, wide.extent(1)));
  sinkhorn const how{.tolerance = static_cast<float>(c.number("tol", 1e-4)),
                     .epsilon = static_cast<float>(c.number("eps", 1e-8))};
  auto const plan = plan_of(x, how, narrow);
  auto const plan64 = plan_of(x, how, wide);
  router<no_gate, no_prior, Score, no_bias, ranked_by<>> const r{.score = score,
                                                                 .select = {.plan = plan.matrix(), .base = {k}}};
  router<no_gate, no_prior, Score, no_bias, ranked_by<top_k<>, double>> const r64{
      .score = score, .select = {.plan = plan64.matrix(), .base = {k}}};
  auto const f32 = forward(x, r, narrow);
  outputs out;
  out.describe = describe(r).c_str();
  out.add("plan", plan), out.add("plan_f64", plan64);
  out.add("ids", f32.ids), out.add("weights", f32.weights);
  out.add("weights_f64", forward(x, r64, wide).weights);
  out.add("d_logits", backward(x, r, narrow, f32.ids, c.floats<float>("d_weights", f32.ids.shape, nan::forbidden)));
  out.add("eval_ids",
          forward(x, router<no_gate, no_prior, Score, no_bias, top_k<>>{.score = score, .select = {k}}, narrow).ids);
  return out;
}
outputs sinkhorn_case(case_file const& c, any_executor const& x) {
  auto const activation = c.words("activation", "softmax");
  if (activation == "softmax") return sinkhorn_with(c, x, softmax{});
  if (activation == "sigmoid") return sinkhorn_with(c, x, sigmoid{});
  c.bad("params.activation", "softmax or sigmoid", activation);
}

// ---- 15 ----------------------------------------------------------------------------------------------------------

template <class V>
struct expert_picks {
  tensor<offset_t> tokens;
  tensor<V> weights;
};
using expert_choice_router_of_cases = router<no_gate, no_prior, softmax, no_bias, top_tokens<choice_scope::group>>;

outputs expert_choice_case(case_file const& c, any_executor const& x) {
  auto const wide = c.floats<double>("logits", {any, any, any});
  auto const groups = wide.extent(0), tokens = wide.extent(1), experts = wide.extent(2);
  c.same("groups", groups), c.same("T", tokens), c.same("E", experts);
  if (groups * tokens * experts == 0) c.wrong("logits", "shape", "no empty axis", in_words(wide.shape));
  auto const capacity = c.integer("capacity", 1, tokens);
  tensor<std::uint8_t> valid({groups, tokens}, 1);
  if (c.has_input("valid")) valid = c.mask("valid", {groups, tokens});
  std::vector<index_t> group(static_cast<std::size_t>(groups * tokens));
  for (std::int64_t i = 0; i < groups * tokens; ++i) group[static_cast<std::size_t>(i)] = as_index(i / tokens);
  expert_choice_router_of_cases const r{.select = {.fixed_count = capacity}};
  shape_t const picks{groups, experts, capacity};
  auto const bytes = [&]<class V>(V) {
    return route_experts_workspace_bytes<any_executor, expert_choice_router_of_cases, V>(
        x, r, groups * tokens, as_index(experts), groups, capacity);
  };
  auto const run = [&]<class V>(tensor<V> const& logits, expert_picks<V>& out) {
    out = {tensor<offset_t>(picks), tensor<V>(picks)};
    batch<V> const in{.logits = {logits.values.data(), groups * tokens, experts}, .group = group, .valid = valid.row()};
    auto work = memory(bytes(V{}));
    route_experts(x, r, in, expert_routing_view<V>{out.tokens.matrix(), out.weights.matrix()}, workspace(work));
  };
  expert_picks<double> f64;
  expert_picks<float> f32;
  run(wide, f64), run(wide.as<float>(), f32);
  outputs out;
  out.describe = describe(r).c_str();
  tensor<std::int64_t> local(picks), per_token({groups, tokens});
  for (std::int64_t i = 0; i < local.size(); ++i) {
    auto const t = f32.tokens[i];
    local[i] = t < 0 ? t : t % tokens;
    if (t >= 0) ++per_token[t];
  }
  out.add("token_ids", local), out.add("experts_per_token", per_token);
  out.add("weights", f32.weights), out.add("weights_f64", f64.weights);
  if (c.has_input("d_weights")) {
    auto const d = c.floats<double>("d_weights", picks, nan::forbidden);
    tensor<double> d_logits(wide.shape);
    batch<double> const in{
        .logits = {wide.values.data(), groups * tokens, experts}, .group = group, .valid = valid.row()};
    auto work = memory(bytes(double{}));
    route_experts_backward(x, r, in, as_const(f64.tokens.matrix()), d.matrix(), d_logits.matrix(), workspace(work));
    out.add("d_logits", d_logits);
  }
  return out;
}

// ---- 16 ----------------------------------------------------------------------------------------------------------

outputs base_balanced_assignment(case_file const& c, any_executor const& x) {
  auto const scores = c.floats<float>("scores", {any, any});
  auto const tokens = scores.extent(0), experts = scores.extent(1);
  c.same("T", tokens), c.same("E", experts);
  tensor<index_t> assignment({tokens});
  auto work = memory(balanced_workspace_bytes<any_executor, float>(x, tokens, experts));
  auto const report = balanced_assignment(x, auction{}, scores.matrix(), assignment.row(), workspace(work));
  router const greedy{.score = sigmoid{}, .select = top_k{1}};
  auto const plain = forward(x, greedy, scores);
  double greedy_objective = 0;
  for (std::int64_t t = 0; t < tokens; ++t) greedy_objective += static_cast<double>(scores[t * experts + plain.ids[t]]);
  router const chosen{.score = sigmoid{},
                      .select = replay<>{.base = {1}, .trace = {assignment.values.data(), tokens, 1}}};
  outputs out;
  out.describe = "auction: exactly T / E tokens an expert, total score within T epsilon of the best";
  out.add("assignment", assignment);
  out.number("objective", report.total_score), out.number("eps", report.epsilon);
  out.add("greedy_assignment", plain.ids.values, {tokens});
  out.number("greedy_objective", greedy_objective);
  out.number("auction_objective", report.total_score), out.flag("auction_available", true);
  out.integer("auction_rounds", report.rounds);
  out.add("alpha", forward(x, chosen, scores).weights.values, {tokens});
  return out;
}

// ---- 23 ----------------------------------------------------------------------------------------------------------

template <class V>
struct mixed {
  tensor<index_t> ids;
  tensor<V> weights, factor;
  tensor<std::uint8_t> kept;
};
template <class V>
mixed<V> mix(any_executor const& x, sparsemixer_v2 const& how, tensor<V> const& logits) {
  auto const tokens = logits.extent(0), experts = logits.extent(1), k = std::int64_t{how.k};
  mixed<V> out{tensor<index_t>({tokens, k}), tensor<V>({tokens, k}), tensor<V>({tokens, k}),
               tensor<std::uint8_t>({tokens, k, experts})};
  auto work = memory(sparsemixer_workspace_bytes<any_executor, V>(x, how, as_index(experts)));
  route_sparsemixer(x, how, batch_of(logits),
                    sparsemixer_view<V>{out.ids.matrix(), out.weights.matrix(), out.factor.matrix(), out.kept.matrix()},
                    workspace(work));
  return out;
}
outputs sparsemixer_case(case_file const& c, any_executor const& x) {
  auto const wide = logits_of<double>(c);
  auto const narrow = wide.as<float>();
  auto const tokens = wide.extent(0), experts = wide.extent(1),
             k = c.integer("k", 1, std::min<std::int64_t>(experts, 64));
  bool const training = c.flag("training", false);
  sparsemixer_v2 how{.k = as_index(k),
                     .jitter_eps = static_cast<float>(c.number_in("jitter_eps", 0, 1e6)),
                     .pick = training ? sampling::drawn : sampling::largest,
                     .third = static_cast<float>(c.number("third", .3333))};
  tensor<float> exponential({tokens, k * experts}), uniform({tokens, k});
  if (training) {
    for (std::int64_t j = 0; j < k; ++j) {
      auto const e = c.floats<float>("exponential_" + std::to_string(j + 1), {tokens, experts}, nan::forbidden);
      auto const u = c.floats<float>("uniform_" + std::to_string(j + 1), {tokens, 1}, nan::forbidden);
      for (std::int64_t t = 0; t < tokens; ++t) {
        uniform[t * k + j] = u[t];
        for (std::int64_t i = 0; i < experts; ++i) exponential[(t * k + j) * experts + i] = e[t * experts + i];
      }
    }
    how.given = {exponential.matrix(), uniform.matrix()};
  }
  auto const f32 = mix(x, how, narrow);
  auto const f64 = mix(x, how, wide);
  outputs out;
  text t;
  how.describe(t);
  out.describe = t.c_str();
  out.add("ids", f32.ids), out.add("weights", f32.weights), out.add("weights_f64", f64.weights);
  out.add("factor", f32.factor), out.add("kept", f32.kept);
  auto const d = c.floats<float>("d_weights", f32.ids.shape, nan::forbidden);
  tensor<float> d_logits(narrow.shape);
  auto work = memory(sparsemixer_workspace_bytes<any_executor, float>(x, how, as_index(experts)));
  route_sparsemixer_backward(x, how, batch_of(narrow), f32.ids.matrix(), d.matrix(), d_logits.matrix(),
                             workspace(work));
  out.add("d_logits", d_logits);
  return out;
}

// ---- 26 ----------------------------------------------------------------------------------------------------------

outputs soft_moe_case(case_file const& c, any_executor const& x) {
  auto const tokens_in = c.floats<double>("x", {any, any, any});
  auto const groups = tokens_in.extent(0), tokens = tokens_in.extent(1), width = tokens_in.extent(2);
  auto const phi = c.floats<double>("phi", {width, any, any});
  auto const experts = phi.extent(1), each = phi.extent(2), slots = experts * each;
  c.same("groups", groups), c.same("T", tokens), c.same("D", width), c.same("E", experts), c.same("slots", each);
  if (groups * tokens * width * slots == 0) c.wrong("x", "shape", "no empty axis", in_words(tokens_in.shape));
  auto const layer = c.floats<double>("expert_matrix", {experts, width, width});
  auto const d_output = c.floats<double>("d_output", tokens_in.shape, nan::forbidden);
  slot_logits const how{.normalized = c.flag("normalized", false),
                        .scale = static_cast<float>(c.number("scale", 1)),
                        .epsilon = static_cast<float>(c.number("norm_eps", 0))};
  matrix_view<double const> const vectors{phi.values.data(), width, slots};
  shape_t const assigned{groups, tokens, experts, each}, filled{groups, experts, each, width};
  tensor<double> logits(assigned), dispatch(assigned), combine(assigned), in_slots(filled), out_slots(filled),
      y(tokens_in.shape), d_x(tokens_in.shape), d_phi(phi.shape), d_layer(layer.shape), d_out(filled), d_in(filled),
      d_logits(assigned);
  auto const part = [&](tensor<double>& v, std::int64_t g, std::int64_t rows, std::int64_t cols) {
    return matrix_view<double>{v.values.data() + g * rows * cols, rows, cols};
  };
  // The experts of the case: row vector times matrix, and the two ways back.
  auto const through = [&](std::int64_t g) {
    auto const a = part(in_slots, g, slots, width), b = part(out_slots, g, slots, width);
    for (std::int64_t s = 0; s < slots; ++s)
      for (std::int64_t j = 0; j < width; ++j)
        for (std::int64_t i = 0; i < width; ++i) b[s][j] += a[s][i] * layer[(s / each * width + i) * width + j];
  };
  auto const through_backward = [&](std::int64_t g) {
    auto const a = part(in_slots, g, slots, width), d = part(d_out, g, slots, width), da = part(d_in, g, slots, width);
    for (std::int64_t s = 0; s < slots; ++s)
      for (std::int64_t i = 0; i < width; ++i)
        for (std::int64_t j = 0; j < width; ++j) {
          da[s][i] += d[s][j] * layer[(s / each * width + i) * width + j];
          d_layer[(s / each * width + i) * width + j] += a[s][i] * d[s][j];
        }
  };
  for (std::int64_t g = 0; g < groups; ++g) {
    matrix_view<double const> const xs{tokens_in.values.data() + g * tokens * width, tokens, width},
        dy{d_output.values.data() + g * tokens * width, tokens, width};
    auto const l = part(logits, g, tokens, slots), d = part(dispatch, g, tokens, slots),
               cb = part(combine, g, tokens, slots);
    auto const in = part(in_slots, g, slots, width), out = part(out_slots, g, slots, width),
               dl = part(d_logits, g, tokens, slots);
    auto const dx = part(d_x, g, tokens, width);
    compute_slot_logits(x, how, xs, vectors, l);
    soft_weights(x, as_const(l), d, cb);
    soft_slots(x, as_const(d), xs, in);
    through(g);
    soft_combine(x, as_const(cb), as_const(out), part(y, g, tokens, width));
    soft_combine_backward(x, as_const(cb), as_const(out), dy, part(d_out, g, slots, width), dl);
    through_backward(g);
    soft_slots_backward(x, as_const(d), xs, as_const(part(d_in, g, slots, width)), dx, dl);
    slot_logits_backward(x, how, xs, vectors, as_const(l), as_const(dl), dx,
                         matrix_view<double>{d_phi.values.data(), width, slots});
  }
  outputs out;
  out.describe = "dispatch: softmax over tokens; combine: softmax over slots";
  out.add("logits", logits), out.add("dispatch", dispatch), out.add("combine", combine), out.add("slots", in_slots);
  out.add("output", y), out.add("d_x", d_x), out.add("d_phi", d_phi), out.add("d_expert_matrix", d_layer);
  return out;
}

register_schemes const registered{
    {"sinkhorn", "P37", "top k of the Sinkhorn plan, weights sigmoid or softmax of the logits", sinkhorn_case},
    {"expert_choice", "S014", "every expert takes its best tokens, weights softmax over experts", expert_choice_case},
    {"base_balanced_assignment", "S019", "auction: T / E tokens an expert, total score within T epsilon of the best",
     base_balanced_assignment},
    {"adamoe_null_experts", "S065", "top k over E true and N null experts, true weights renormalized",
     adamoe_null_experts},
    {"relu_routing", "S096", "every expert with a positive logit, weight = the logit, balanced L1", relu_routing},
    {"top_p", "S013", "shortest prefix whose probability passes p, raw weights", top_p_case},
    {"dynmole", "S061", "all experts above the Tsallis entropy threshold, else top-p without the crossing expert",
     dynmole},
    {"hash_table", "S121", "expert = table[token id], weight 1", hash_table_case},
    {"balanced_hash_builder", "S121", "by descending frequency to the least loaded expert", balanced_hash_builder},
    {"hash_ids_learned_weights", "P9", "ids from a table, weights the renormalized score at them",
     hash_ids_learned_weights},
    {"sparsemixer_v2", "S085", "two sequential masked softmax picks with their own backward", sparsemixer_case},
    {"soft_moe", "S088", "dispatch softmax over tokens, combine softmax over slots", soft_moe_case},
};

}  // namespace
}  // namespace moeroute_examples
