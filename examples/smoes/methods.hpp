// Decides what is compared: SMoES, its ablations and its baselines as one struct of switches.
// Namespace: moeroute_smoes.
#pragma once

#include <string>
#include <vector>

#include <moeroute/smoes/smoes.hpp>

namespace moeroute_smoes {

enum class scored_by { attention, gaussian, hard, random };

struct method {
  std::string name;
  moeroute::inter_bin_term term{.alpha = 0, .bins = 4};  // alpha 0: no inter-bin term
  scored_by score = scored_by::attention;
  moeroute::expert_binning binning{.bins = 4, .beta = .95};
  moeroute::balance_form balance = moeroute::balance_form::in_bin;
  double balance_alpha = 1e-2;
  moeroute::expert_pools pools{};  // experts() == 0: every expert open
  int k = 2;
};

inline method with_mi(std::string name, scored_by score, double alpha, int bins = 4) {
  method m{.name = std::move(name), .term = moeroute::inter_bin_mi(bins, alpha), .score = score};
  m.binning.bins = bins;
  return m;
}

// The main comparison, every seed.
inline std::vector<method> main_methods(int experts) {
  using enum scored_by;
  std::vector<method> all;
  all.push_back({.name = "none", .balance = moeroute::balance_form::global});
  all.push_back(with_mi("soft-attention", attention, .3));
  all.push_back({.name = "hard-routing",
                 .balance = moeroute::balance_form::global,
                 .pools = moeroute::isolated_pools(experts / 2, experts / 2)});
  all.push_back(with_mi("hard-score", hard, .3));
  all.push_back(with_mi("random-labels", random, .3));
  all.push_back({.name = "binning-only"});
  auto kl = with_mi("inter-bin-kl", attention, .03);
  kl.term = moeroute::inter_bin_kl(4, .03);
  kl.term.low = 2,
  kl.term.high = 4;  // strong enough to be compared at the specialization of soft + MI
  all.push_back(kl);
  auto fixed = with_mi("fixed-bins", attention, .3);
  fixed.binning.rule = moeroute::bin_rule::fixed;
  all.push_back(fixed);
  all.push_back(with_mi("soft-attention-.1", attention, .1));
  all.push_back(with_mi("soft-gaussian", gaussian, .3));
  all.push_back({.name = "hybrid",
                 .balance = moeroute::balance_form::global,
                 .pools = moeroute::hybrid_pools(experts / 4, experts / 2, experts / 4)});
  all.push_back({.name = "smar", .term = moeroute::smar(.1), .score = hard, .balance = moeroute::balance_form::off});
  return all;
}
// The number of bins, every seed.
inline std::vector<method> bin_sweep() {
  std::vector<method> all;
  for (int const bins : {2, 8, 16})
    all.push_back(with_mi("bins-" + std::to_string(bins), scored_by::attention, .3, bins));
  return all;
}
// Strengths of the term, the first seeds.
inline std::vector<method> alpha_sweep() {
  using enum scored_by;
  return {with_mi("soft-attention-.03", attention, .03), with_mi("soft-attention-1", attention, 1),
          with_mi("soft-gaussian-1", gaussian, 1)};
}
inline std::vector<method> four_choices(int experts) {
  std::vector<method> all;
  for (auto m : main_methods(experts))
    if (m.name == "none" || m.name == "soft-attention" || m.name == "hard-score" || m.name == "hard-routing") {
      m.k = 4, m.name += "-k4";
      all.push_back(m);
    }
  return all;
}

}  // namespace moeroute_smoes
