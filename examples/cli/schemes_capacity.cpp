// Decides how capacity and dropping are read from a case: golden folder 10.
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/routing.hpp>
#include <moeroute/select/second_of_rest.hpp>

#include "cli/lossy.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

enum class divide { not_at_all, before_drop, over_kept };
divide divide_of(case_file const& c) {
  auto const words = c.words("renormalize", "none");
  if (words == "before_drop") return divide::before_drop;
  if (words == "over_kept") return divide::over_kept;
  if (words != "none") c.bad("params.renormalize", "none, before_drop or over_kept", words);
  return divide::not_at_all;
}

capacity_rule rule_of(case_file const& c, capacity_formula formula) {
  capacity_rule rule{.formula = formula,
                     .factor = c.number("capacity_factor", 1),
                     .floor = c.integer_or("min_capacity", 0, 0, 1 << 30),
                     .multiple = c.integer_or("alignment", 1, 1, 1 << 20)};
  auto const words = c.words("capacity_rule", "");
  if (words == "ceil(T*k/E*factor)") rule.formula = capacity_formula::megatron;
  if (words.starts_with("max(min_capacity")) rule.formula = capacity_formula::deepspeed;
  if (words == "2*ceil(T/E)") rule.formula = capacity_formula::torchscale;
  return rule;
}

// What one run gives: the choice of a router, the plan of its choices, the weights that are left, and back.
struct dropped {
  dispatch_plan plan;
  tensor<index_t> ids;
  tensor<double> weights, d_logits;
};
template <class R>
dropped drop(case_file const& c, any_executor const& x, R const& r, tensor<double> const& logits,
             capacity_options<double> limit, tensor<std::uint8_t> const& valid) {
  auto const T = logits.extent(0), E = logits.extent(1), k = std::int64_t{r.select.experts_per_token()};
  auto chosen = forward(x, r, logits);
  dropped out{{}, chosen.ids, tensor<double>({T, k}), {}};
  tensor<double> of_token({T}), of_choice = chosen.weights;
  for (std::int64_t t = 0; t < T; ++t) of_token[t] = chosen.weights[t * k];
  if (c.has_input("priority")) {
    auto const given = c.floats<double>("priority", logits.shape, nan::forbidden);
    for (std::int64_t i = 0; i < of_choice.size(); ++i) of_choice[i] = given[i / k * E + out.ids[i]];
  }
  limit.queue.of_token = of_token.row(), limit.queue.of_choice = of_choice.matrix();
  choices_view<index_t> const choices{.ids = out.ids.matrix(), .valid = valid.row()};
  out.plan = make_plan(x, choices, as_index(E), {}, limit);
  plan_view<> const plan = out.plan.view();

  auto const division = divide_of(c);
  double const eps = c.has("eps") ? c.number_in("eps", 0, 1) : 0x1p-23;
  renormalize const norm{.epsilon = 0, .floor = static_cast<float>(eps)};
  tensor<double> before = chosen.weights;
  if (division == divide::before_drop)
    for (std::int64_t t = 0; t < T; ++t) norm(before.matrix()[t]);
  kept_weights const rule{division == divide::over_kept, eps};
  keep_weights(x, rule, plan, before.matrix(), out.weights.matrix());
  if (c.has_input("d_weights")) {
    auto d = c.floats<double>("d_weights", out.weights.shape, nan::forbidden);
    keep_weights_backward(x, rule, plan, before.matrix(), d.matrix());
    if (division == divide::before_drop)
      for (std::int64_t t = 0; t < T; ++t)
        norm.backward(row_view<double const>(chosen.weights.matrix()[t]), d.matrix()[t]);
    out.d_logits = backward(x, r, logits, out.ids, d);
  }
  return out;
}

template <class R>
outputs drop_outputs(case_file const& c, any_executor const& x, R const& r, capacity_options<double> const& limit) {
  auto const logits = logits_of<double>(c);
  auto const T = logits.extent(0), E = logits.extent(1);
  tensor<std::uint8_t> valid({T}, 1);
  if (c.has_input("valid")) valid = c.mask("valid", {T});
  auto const run = drop(c, x, r, logits, limit, valid);
  auto const n = std::ssize(run.plan.slot_of_choice);
  tensor<std::uint8_t> kept(run.ids.shape);
  tensor<std::int32_t> slot(run.ids.shape), location(run.ids.shape);
  for (std::int64_t i = 0; i < n; ++i) {
    auto const s = run.plan.slot_of_choice[static_cast<std::size_t>(i)];
    kept[i] = s >= 0;
    slot[i] = s < 0 ? -1 : static_cast<std::int32_t>(s - run.plan.offsets[static_cast<std::size_t>(run.ids[i])]);
    location[i] = static_cast<std::int32_t>(run.plan.rank_of_choice[static_cast<std::size_t>(i)]);
  }
  std::int64_t tokens = 0, largest = 0;
  for (auto const v : valid.values) tokens += v;
  for (auto const count : run.plan.counts) largest = std::max(largest, count);
  outputs out;
  text words;
  limit.rule.describe(words);
  out.describe = std::string(describe(r).c_str()) + "; " + words.c_str();
  out.add("ids", run.ids);
  out.add("weights", run.weights.template as<float>());
  out.add("weights_f64", run.weights);
  out.add("kept", kept);
  out.add("slot", slot);
  out.add("location", location);
  out.add("counts", run.plan.counts, {E});
  out.add("counts_kept", run.plan.kept, {E});
  out.integer("capacity", capacity(limit.rule, {tokens, tokens * run.ids.extent(1), as_index(E), largest}));
  if (!run.d_logits.values.empty()) out.add("d_logits", run.d_logits.template as<float>());
  return out;
}
// The balance loss of the source, of the choices before any drop.
void add_loss(case_file const& c, any_executor const& x, switch_balance const& term, outputs& out) {
  auto const logits = logits_of<double>(c);
  batch<double> in{.logits = logits.matrix()};
  tensor<std::uint8_t> valid({logits.extent(0)}, 1);
  if (c.has_input("valid")) valid = c.mask("valid", {logits.extent(0)});
  in.valid = valid.row();
  tensor<index_t> const ids(out.arrays.at("ids").values<index_t>(), out.arrays.at("ids").shape);
  out.number("aux_loss", run_loss(x, term, router<>{}, in, ids.matrix(), logits.shape).loss);
}

auto plain(case_file const& c) {
  auto const k = as_index(c.integer("k", 1, logits_of<double>(c).extent(1)));
  return router{.score = softmax{}, .select = top_k{k}};
}
queue_keys<double> queue(queue_order order) {
  queue_keys<double> keys;
  keys.order = order;
  return keys;
}
queue_keys<double> choice_major(case_file const& c) {
  return queue(c.flag("batch_prioritized", false) ? queue_order::batch_priority : queue_order::choice_major);
}
bool is_deepspeed(case_file const& c) { return c.words("capacity_rule", "").starts_with("max(min_capacity"); }

outputs by_probs(case_file const& c, any_executor const& x) {
  auto out = drop_outputs(c, x, plain(c),
                          {.rule = rule_of(c, capacity_formula::megatron), .queue = queue(queue_order::score)});
  if (is_deepspeed(c)) add_loss(c, x, {.alpha = 1}, out);
  return out;
}
outputs by_position(case_file const& c, any_executor const& x) {
  auto out = drop_outputs(c, x, plain(c),
                          {.rule = rule_of(c, capacity_formula::deepspeed), .queue = queue(queue_order::position)});
  add_loss(c, x, {.alpha = 1}, out);
  return out;
}
outputs by_given_priority(case_file const& c, any_executor const& x) {
  if (!c.has_input("priority")) c.bad("inputs.priority", "a number for every token and expert", "none");
  auto out = drop_outputs(c, x, plain(c),
                          {.rule = rule_of(c, capacity_formula::deepspeed), .queue = queue(queue_order::score)});
  add_loss(c, x, gshard_balance(1), out);
  return out;
}
outputs gshard_top2(case_file const& c, any_executor const& x) {
  capacity_options<double> const limit{
      .rule = rule_of(c, capacity_formula::deepspeed), .queue = choice_major(c), .slots = slot_order::queue};
  c.same("k", 2);
  outputs out;
  if (c.has_input("noise")) {
    auto const noise = c.floats<double>("noise", logits_of<double>(c).shape, nan::forbidden);
    out = drop_outputs(c, x, router{.score = softmax{}, .select = second_of_rest{given_noise<double>{noise.matrix()}}},
                       limit);
  } else {
    out = drop_outputs(c, x, router{.score = softmax{}, .select = second_of_rest<>{}}, limit);
  }
  add_loss(c, x, gshard_balance(1), out);
  return out;
}
outputs tutel(case_file const& c, any_executor const& x) {
  auto out =
      drop_outputs(c, x, plain(c),
                   {.rule = rule_of(c, capacity_formula::tutel), .queue = choice_major(c), .slots = slot_order::queue});
  add_loss(c, x, gshard_balance(1), out);
  return out;
}
// The capacity is given. Means of the loss run over padding too: (valid / T)^2 of the loss of the valid.
outputs tokens_choose(case_file const& c, any_executor const& x) {
  auto rule = rule_of(c, capacity_formula::given);
  rule.slots = c.has("capacity") || !c.expected.contains("capacity") ? c.integer("capacity", 0, 1 << 30)
                                                                     : c.expected["capacity"].get<std::int64_t>();
  auto out = drop_outputs(c, x, plain(c), {.rule = rule, .queue = choice_major(c), .slots = slot_order::queue});
  auto const T = logits_of<double>(c).extent(0);
  double share = 1;
  if (c.has_input("valid")) {
    share = 0;
    for (auto const v : c.mask("valid", {T}).values) share += v;
    share /= static_cast<double>(T);
  }
  add_loss(c, x, hf_balance(share * share), out);
  return out;
}

register_schemes const registered{
    {"capacity_drop_by_probs", "P18", "each expert keeps its C choices of highest probability (Megatron-LM)", by_probs},
    {"capacity_drop_by_position", "S077", "each expert keeps its first C choices, token by token", by_position},
    {"capacity_drop_random", "S124", "each expert keeps its C choices of highest given (random) priority",
     by_given_priority},
    {"gshard_top2", "P31", "first choices queue before second choices; the second is the best of the rest",
     gshard_top2},
    {"tutel_extract_critical", "P33",
     "choice-major queue, optionally by batch priority; weights normalized before dropping", tutel},
    {"tokens_choose_masked", "P33", "choice-major queue of the valid tokens, optionally by batch priority",
     tokens_choose},
};

}  // namespace
}  // namespace moeroute_examples
