// Decides how the runs are summed up: means with paired bootstrap intervals against another method on the same seeds, the
// claims R1 to R10, and figures. Namespace: moeroute_training.
#pragma once

#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>

#include "moe_grpo/methods.hpp"
#include "support/svg.hpp"

namespace moeroute_training {

inline std::vector<nlohmann::json> read_lines(std::filesystem::path const& file) {
  std::vector<nlohmann::json> out;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (auto j = nlohmann::json::parse(line, nullptr, false); j.is_object()) out.push_back(std::move(j));
  return out;
}
inline double mean_of(std::vector<double> const& x) {
  return x.empty() ? 0 : std::accumulate(x.begin(), x.end(), 0.) / static_cast<double>(x.size());
}

struct interval {
  double mean = 0, low = 0, high = 0;
  std::size_t n = 0;
};
// 95 % by Student's t, for few seeds the wider and the safer of the two.
inline interval student(std::vector<double> const& x) {
  constexpr double quantiles[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                                  2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093};
  interval i{mean_of(x), mean_of(x), mean_of(x), x.size()};
  if (x.size() < 2) return i;
  double squares = 0;
  for (double const v : x) squares += (v - i.mean) * (v - i.mean);
  auto const n = static_cast<double>(x.size());
  double const half = quantiles[std::min(x.size() - 2, std::size(quantiles) - 1)] * std::sqrt(squares / (n - 1) / n);
  return {i.mean, i.mean - half, i.mean + half, x.size()};
}
// 95 % of the means of 10,000 resamples of the paired differences.
inline interval bootstrap(std::vector<double> const& x) {
  interval i{mean_of(x), 0, 0, x.size()};
  if (x.size() < 2) return {i.mean, i.mean, i.mean, x.size()};
  generator g(2026, x.size());
  std::vector<double> means(10000);
  for (auto& m : means) {
    for (std::size_t j = 0; j < x.size(); ++j) m += x[static_cast<std::size_t>(g.below(static_cast<int>(x.size())))];
    m /= static_cast<double>(x.size());
  }
  std::sort(means.begin(), means.end());
  i.low = means[250], i.high = means[9749];
  return i;
}

// A figure of a run by name: accuracy, image, text, use_entropy, gate_entropy, divergence, train, shifted, area, spread.
inline double figure_of(nlohmann::json const& run, std::string const& name) {
  auto const third = [&](char const* key) {  // mean over the first third of training
    auto x = run.at(key).get<std::vector<double>>();
    x.resize(x.size() / 3);
    return mean_of(x);
  };
  if (name == "train") return run.at("train").get<double>();
  if (name == "shifted") return run.at("shifted_image").get<double>();
  if (name == "gap") return run.at("train").get<double>() - run.at("test").at("accuracy").get<double>();
  if (name == "area") return third("reward");
  if (name == "spread") return third("spread");
  if (name == "seconds") return run.at("seconds").get<double>();
  return run.at("test").at(name).get<double>();
}

class comparison {
 public:
  explicit comparison(std::vector<nlohmann::json> const& runs) {
    for (auto const& r : runs) by_[r.at("method").get<std::string>()][r.at("seed").get<int>()] = r;
  }
  bool has(std::string const& m) const { return by_.contains(m); }
  std::map<int, nlohmann::json> const& runs(std::string const& m) const { return by_.at(m); }
  std::vector<double> values(std::string const& m, std::string const& figure) const {
    std::vector<double> out;
    if (has(m))
      for (auto const& [seed, r] : by_.at(m)) out.push_back(figure_of(r, figure));
    return out;
  }
  // a - b on the seeds that both have, times `factor`.
  std::vector<double> differences(std::string const& a, std::string const& b, std::string const& figure,
                                  double factor = 1) const {
    std::vector<double> d;
    if (has(a) && has(b))
      for (auto const& [seed, r] : by_.at(a))
        if (auto const o = by_.at(b).find(seed); o != by_.at(b).end())
          d.push_back(factor * (figure_of(r, figure) - figure_of(o->second, figure)));
    return d;
  }

 private:
  std::map<std::string, std::map<int, nlohmann::json>> by_;
};

namespace summary_detail {

inline std::string number(double x, int digits, bool sign = false) {
  char text[64];
  std::snprintf(text, sizeof text, sign ? "%+.*f" : "%.*f", digits, x);
  return text;
}
inline std::string ends(interval const& i, int digits) {
  return "[" + number(i.low, digits, true) + ", " + number(i.high, digits, true) + "]";
}
inline std::string words(interval const& i, int digits) {
  return i.n == 0 ? "-" : number(i.mean, digits, true) + " " + ends(i, digits);
}

// Curves averaged over seeds in windows of steps.
inline moeroute_examples::series smooth(comparison const& c, std::string const& m, char const* key) {
  moeroute_examples::series s{.name = m, .x = {}, .y = {}, .error = {}};
  constexpr std::size_t window = 20;
  for (auto const& [seed, r] : c.runs(m)) {
    auto const y = r.at(key).get<std::vector<double>>();
    s.y.resize(y.size() / window);
    for (std::size_t i = 0; i < s.y.size() * window; ++i)
      s.y[i / window] += y[i] / static_cast<double>(window * c.runs(m).size());
  }
  for (std::size_t i = 0; i < s.y.size(); ++i) s.x.push_back(static_cast<double>((i + 1) * window));
  return s;
}

inline void figures(comparison const& c, std::vector<std::string> const& names, std::filesystem::path const& folder) {
  using namespace moeroute_examples;
  std::filesystem::create_directories(folder);
  std::vector<series> reward, spread;
  for (char const* m : {"moe_grpo", "no_mask", "noise_mask", "token_only", "shuffled"})
    if (c.has(m)) reward.push_back(smooth(c, m, "reward")), spread.push_back(smooth(c, m, "spread"));
  if (!reward.empty()) {
    write_text(folder / "reward.svg", line_chart({.title = "Reward during training",
                                                  .subtitle = "mean over seeds, 20 steps a point",
                                                  .x_label = "step",
                                                  .y_label = "mean reward"},
                                                 reward));
    write_text(folder / "spread.svg", line_chart({.title = "Deviation of rewards inside a group",
                                                  .subtitle = "mean over seeds, 20 steps a point",
                                                  .x_label = "step",
                                                  .y_label = "deviation"},
                                                 spread));
  }
  series accuracy{.name = "accuracy", .x = {}, .y = {}, .error = {}},
      entropy{.name = "entropy of use", .x = {}, .y = {}, .error = {}};
  for (auto const& m : names) {
    accuracy.y.push_back(100 * mean_of(c.values(m, "accuracy")));
    entropy.y.push_back(mean_of(c.values(m, "use_entropy")));
  }
  write_text(
      folder / "accuracy.svg",
      bar_chart({.title = "Held-out accuracy", .subtitle = "mean over seeds", .x_label = "", .y_label = "percent"},
                names, {accuracy}));
  write_text(folder / "entropy.svg", bar_chart({.title = "Entropy of expert use",
                                                .subtitle = "held-out, deterministic top-k; log 8 = 2.08",
                                                .x_label = "",
                                                .y_label = "nats"},
                                               names, {entropy}));
  // Expert use by family and by modality, last layer of the first seed.
  for (char const* m : {"start", "det_ft", "moe_grpo"}) {
    if (!c.has(m)) continue;
    auto const& test = c.runs(m).begin()->second.at("test");
    for (char const* by : {"by_family", "by_modality"}) {
      if (!test.contains(by)) continue;
      auto const t = test.at(by).back().get<std::vector<double>>();
      std::vector<std::string> rows = std::string(by) == "by_modality"
                                          ? std::vector<std::string>{"vision", "text"}
                                          : std::vector<std::string>(family_names, family_names + families);
      std::size_t const experts = t.size() / rows.size();
      std::vector<std::string> columns;
      std::vector<double> share;
      for (std::size_t e = 0; e < experts; ++e) columns.push_back(std::to_string(e));
      for (std::size_t r = 0; r < rows.size(); ++r) {
        double total = 0;
        for (std::size_t e = 0; e < experts; ++e) total += t[r * experts + e];
        for (std::size_t e = 0; e < experts; ++e) share.push_back(total > 0 ? t[r * experts + e] / total : 0);
      }
      write_text(
          folder / (std::string("use_") + m + (std::string(by) == "by_modality" ? "_modality.svg" : "_family.svg")),
          heat_map({.title = std::string("Expert use, last layer: ") + m, .x_label = "expert"}, rows, columns, share,
                   {.low = 0, .legend = "share of choices"}));
    }
  }
}

}  // namespace summary_detail

// Tables in Markdown; figures into `folder`.
inline std::string summarize(std::vector<nlohmann::json> const& runs, std::vector<method> const& methods,
                             std::filesystem::path const& folder) {
  using summary_detail::number;
  using summary_detail::words;
  comparison const c(runs);
  std::string out =
      "| method | what | n | accuracy | minus det_ft [95 %] | image / text | shifted image | train | use entropy | "
      "divergence | seconds |\n|---|---|---|---|---|---|---|---|---|---|---|\n";
  std::vector<std::string> names;
  for (auto const& m : methods) {
    if (!c.has(m.name)) continue;
    names.push_back(m.name);
    auto const mean = [&](char const* f, double factor, int digits) {
      return number(factor * mean_of(c.values(m.name, f)), digits);
    };
    out += "| " + m.name + " | " + m.words + " | " + std::to_string(c.runs(m.name).size()) + " | " +
           mean("accuracy", 100, 1) + " | " + words(bootstrap(c.differences(m.name, "det_ft", "accuracy", 100)), 1) +
           " | " + mean("image", 100, 1) + " / " + mean("text", 100, 1) + " | " + mean("shifted", 100, 1) + " | " +
           mean("train", 100, 1) + " | " + mean("use_entropy", 1, 3) + " | " + mean("divergence", 1, 3) + " | " +
           mean("seconds", 1, 0) + " |\n";
  }
  struct claim {
    char const *id, *what, *a, *b, *figure;
    double factor;
    int digits;
  };
  claim const claims[] = {
      {"R1", "accuracy, moe_grpo - det_ft", "moe_grpo", "det_ft", "accuracy", 100, 2},
      {"R1", "accuracy, moe_grpo - noise_ft", "moe_grpo", "noise_ft", "accuracy", 100, 2},
      {"R1", "accuracy, moe_grpo - multi_ft", "moe_grpo", "multi_ft", "accuracy", 100, 2},
      {"R1", "accuracy, moe_grpo - transport_ft", "moe_grpo", "transport_ft", "accuracy", 100, 2},
      {"R1", "accuracy, moe_grpo - expert_choice_ft", "moe_grpo", "expert_choice_ft", "accuracy", 100, 2},
      {"R1", "accuracy, moe_grpo - det_ft with 8 times the steps", "moe_grpo", "det_ft_x8", "accuracy", 100, 2},
      {"R1", "accuracy, moe_grpo - start", "moe_grpo", "start", "accuracy", 100, 2},
      {"R1", "clean labels: accuracy, moe_grpo - det_ft", "moe_grpo_clean", "det_ft_clean", "accuracy", 100, 2},
      {"R2", "use entropy, moe_grpo - det_ft (nats)", "moe_grpo", "det_ft", "use_entropy", 1, 3},
      {"R2", "use entropy, moe_grpo - start (nats)", "moe_grpo", "start", "use_entropy", 1, 3},
      {"R2", "use entropy, moe_grpo - multi_ft (nats)", "moe_grpo", "multi_ft", "use_entropy", 1, 3},
      {"R2", "gate entropy, moe_grpo - det_ft (nats)", "moe_grpo", "det_ft", "gate_entropy", 1, 3},
      {"R3", "divergence between families, moe_grpo - det_ft", "moe_grpo", "det_ft", "divergence", 1, 4},
      {"R3", "divergence between families, multi_ft - det_ft", "multi_ft", "det_ft", "divergence", 1, 4},
      {"R3", "divergence between families, moe_grpo - multi_ft", "moe_grpo", "multi_ft", "divergence", 1, 4},
      {"R4", "accuracy, both losses - token alone", "moe_grpo", "token_only", "accuracy", 100, 2},
      {"R4", "accuracy, token alone - gate alone", "token_only", "gate_only", "accuracy", 100, 2},
      {"R5", "accuracy, guided - plain draws", "moe_grpo", "no_mask", "accuracy", 100, 2},
      {"R5", "reward, first third, guided - plain draws", "moe_grpo", "no_mask", "area", 1, 4},
      {"R5", "spread in the group, first third, guided - plain draws", "moe_grpo", "no_mask", "spread", 1, 4},
      {"R5", "accuracy, half closed - plain draws", "half_mask", "no_mask", "accuracy", 100, 2},
      {"R5", "reward, first third, half closed - plain draws", "half_mask", "no_mask", "area", 1, 4},
      {"R5", "spread in the group, first third, half closed - plain draws", "half_mask", "no_mask", "spread", 1, 4},
      {"R6", "accuracy, guided - noise", "moe_grpo", "noise_mask", "accuracy", 100, 2},
      {"R7", "accuracy, balance loss added", "balanced", "moe_grpo", "accuracy", 100, 2},
      {"R7", "use entropy, balance loss added (nats)", "balanced", "moe_grpo", "use_entropy", 1, 3},
      {"R8", "image accuracy under pixel noise, moe_grpo - det_ft", "moe_grpo", "det_ft", "shifted", 100, 2},
      {"R8", "train minus test accuracy, moe_grpo - det_ft", "moe_grpo", "det_ft", "gap", 100, 2},
      {"R9", "accuracy, shuffled rewards - det_ft", "shuffled", "det_ft", "accuracy", 100, 2},
      {"R9", "accuracy, shuffled rewards - moe_grpo", "shuffled", "moe_grpo", "accuracy", 100, 2},
      {"R9", "use entropy, shuffled rewards - moe_grpo (nats)", "shuffled", "moe_grpo", "use_entropy", 1, 3},
      {"R9", "divergence between families, shuffled rewards - det_ft", "shuffled", "det_ft", "divergence", 1, 4},
      {"R10", "accuracy, gate loss at the answer alone", "answers", "moe_grpo", "accuracy", 100, 2},
      {"R10", "accuracy, ratio product", "product", "moe_grpo", "accuracy", 100, 2},
      {"R10", "accuracy, ratio per-expert mean", "per_expert_mean", "moe_grpo", "accuracy", 100, 2},
      {"R10", "accuracy, ratio of the set", "set", "moe_grpo", "accuracy", 100, 2},
      {"R10", "accuracy, DAPO - two updates", "dapo", "inner_2", "accuracy", 100, 2},
      {"R10", "accuracy, SAPO - two updates", "sapo", "inner_2", "accuracy", 100, 2},
      {"R10", "accuracy, two updates for each rollout", "inner_2", "moe_grpo", "accuracy", 100, 2},
      {"R10", "accuracy, advantages not divided by the deviation", "mean_only", "moe_grpo", "accuracy", 100, 2},
      {"R10", "accuracy, guidance refreshed", "refreshed", "moe_grpo", "accuracy", 100, 2},
      {"R10", "accuracy, gate loss weighted 10", "strong_gate", "moe_grpo", "accuracy", 100, 2},
  };
  out += "\n| claim | difference | n | mean [95 %] | by t |\n|---|---|---|---|---|\n";
  for (auto const& k : claims)
    if (auto const d = c.differences(k.a, k.b, k.figure, k.factor); !d.empty())
      out += std::string("| ") + k.id + " | " + k.what + " | " + std::to_string(d.size()) + " | " +
             words(bootstrap(d), k.digits) + " | " + summary_detail::ends(student(d), k.digits) + " |\n";
  if (c.has("moe_grpo") && c.has("det_ft"))
    out += "\nratio of the mean divergences, moe_grpo / det_ft: " +
           number(mean_of(c.values("moe_grpo", "divergence")) / mean_of(c.values("det_ft", "divergence")), 2) + "\n";
  if (!names.empty()) summary_detail::figures(c, names, folder);
  return out;
}

}  // namespace moeroute_training
