// Decides what `moeroute route --preset NAME --logits L.npy` does: routes, plans the groups of rows by expert,
// and writes ids, weights, counts, offsets, slot_of_choice, token_of_slot and load statistics.
#include <algorithm>

#include <moeroute/plan/kept_weights.hpp>

#include "cli/commands.hpp"
#include "cli/names.hpp"
#include "cli/output_folder.hpp"
#include "cli/planned.hpp"
#include "cli/preset.hpp"
#include "support/load_statistics.hpp"

namespace moeroute_examples {
namespace {

// One array of the command line, by the checks of a case: the option is the field that errors name.
struct option_arrays {
  case_file c;
  explicit option_arrays(preset_files const& f) {
    c.path = "command line";
    add("logits", f.logits), add("bias", f.bias), add("modality", f.modality), add("valid", f.valid),
        add("group", f.group);
  }
  void add(char const* name, std::string const& file) {
    if (!file.empty()) c.inputs[name] = std::filesystem::absolute(file).string();
  }
};

// Isolation groups as 0, 1, 2, ... in ascending order.
std::vector<moeroute::index_t> numbered(std::vector<moeroute::index_t> const& groups, moeroute::index_t& count) {
  auto names = groups;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (!names.empty()) count = as_index(std::ssize(names));
  std::vector<moeroute::index_t> out;
  for (auto const g : groups) out.push_back(as_index(std::lower_bound(names.begin(), names.end(), g) - names.begin()));
  return out;
}

preset const& preset_named(std::vector<preset> const& all, std::string const& name) {
  for (auto const& p : all)
    if (p.name == name) return p;
  std::vector<std::string> names;
  for (auto const& p : all) names.push_back(p.name);
  throw unknown_name("preset '" + one_line(name) + "' is not known; nearest: " + joined(nearest(name, names)));
}

}  // namespace

int command_route_preset(std::string const& name, preset_files const& files, std::string const& out_folder,
                         any_executor const& x) {
  auto const& p = preset_named(all_presets(), name);
  case_file const c = option_arrays(files).c;
  if (files.logits.empty())
    throw input_error("command line", "--logits", "an array of logits [tokens, experts]", "none");
  preset_request q;
  q.executor = x;
  q.logits = c.floats<float>("logits", {any, any});
  auto const tokens = q.logits.extent(0), experts = q.logits.extent(1);
  if (experts < 1) c.wrong("logits", "shape", "at least one expert", in_words(q.logits.shape));
  if (files.k < 0 || files.k > experts)
    throw input_error("command line", "--k", "a number from 1 to " + std::to_string(experts), std::to_string(files.k));
  if (files.align < 1 || files.align > 1 << 20)
    throw input_error("command line", "--align", "a number from 1 to 1048576", std::to_string(files.align));
  if (!(files.capacity_factor >= 0) || files.capacity_factor > 1e6)
    throw input_error("command line", "--capacity-factor", "a number from 0 to 1e6", in_words(files.capacity_factor));
  if (c.has_input("bias") && !p.takes_bias)
    throw input_error("command line", "--bias", "none: " + p.name + " has no bias", files.bias);
  if (c.has_input("bias")) q.bias = bias_of(c, experts);
  else if (p.takes_bias) q.bias = tensor<float>({experts});
  constexpr std::int64_t most = 1 << 30;
  if (c.has_input("modality")) q.modality = c.integers<moeroute::index_t>("modality", {tokens}, 0, most).values;
  if (c.has_input("group")) q.group = c.integers<moeroute::index_t>("group", {tokens}, 0, most).values;
  if (c.has_input("valid")) q.valid = c.mask("valid", {tokens}).values;
  q.k = files.k;

  preset_routes routes;
  outputs out;
  try {
    routes = p.run(q);
  } catch (moeroute::error const& e) {
    throw input_error(files.logits, "shape", "logits that " + p.name + " can route", e.what());
  }
  auto const k = routes.ids.extent(1);
  if (files.k > 0 && k != files.k)
    throw input_error("command line", "--k", std::to_string(k) + ", fixed in " + p.name, std::to_string(files.k));
  moeroute::choices_view<moeroute::index_t> const choices{.ids = routes.ids.matrix(), .valid = q.valid};
  moeroute::plan_options const rows{.align = files.align};
  moeroute::index_t segments = 1;
  auto const segment = numbered(q.group, segments);
  moeroute::capacity_options<> limit{
      .rule = {.formula = moeroute::capacity_formula::megatron, .factor = files.capacity_factor},
      .segment = segment,
      .segments = segments};
  if (files.capacity_factor == 0) limit.rule.formula = moeroute::capacity_formula::unlimited;
  planned const plan(x, choices, experts, rows, limit);
  moeroute::throw_if_bad(moeroute::try_keep_weights(x, moeroute::kept_weights{}, plan.view, routes.weights.matrix(),
                                                    routes.weights.matrix()));
  out.describe = routes.describe;
  out.add("ids", routes.ids);
  out.add("weights", routes.weights);
  out.add("counts", plan.counts);
  out.add("offsets", plan.offsets);
  out.add("slot_of_choice", plan.slot_of_choice);
  out.arrays["slot_of_choice"].shape = {tokens, k};
  out.add("token_of_slot", plan.token_of_slot);
  if (!q.modality.empty()) out.add("modality", q.modality, {tokens});
  auto const s = statistics_of(routes.ids, routes.weights.values, q.modality, experts);
  out.integer("tokens", tokens), out.integer("experts", experts), out.integer("k", k);
  std::int64_t dropped = 0;
  for (auto const slot : plan.slot_of_choice.values) dropped += slot == moeroute::dropped_slot ? 1 : 0;
  out.integer("dropped", dropped);
  if (files.capacity_factor > 0) {
    moeroute::text words;
    limit.rule.describe(words);
    out.describe += std::string("; ") + words.c_str() + (segments > 1 ? ", in each group" : "");
  }
  out.integer("rows", plan.rows()), out.integer("unused_experts", s.summary.dead);
  out.number("max_over_mean", s.summary.max_over_mean()), out.number("variation", s.summary.cv);
  out.number("gini", s.summary.gini), out.number("relative_entropy", s.summary.relative_entropy());
  out.number("top_weight", s.top_weight);
  if (!q.modality.empty()) out.number("modality_specialization", s.specialization);
  write_result(out_folder, p.name, out, {{"preset", p.name}, {"source", p.source}, {"id", p.id}});
  return 0;
}

}  // namespace moeroute_examples
