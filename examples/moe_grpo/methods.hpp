// Decides which methods are compared, and the bench they run on: every method starts from the same weights and sees the
// same items in the same order. Namespace: moeroute_training.
#pragma once

#include <moeroute/grpo/objective.hpp>

#include "training/adam.hpp"
#include "training/routing.hpp"

namespace moeroute_training {

inline constexpr char const* bench_names = "routing, all, more, wide or upcycled";

// A few items, some with wrong labels. `routing`: only the gates learn. `all`: every weight does.
struct bench {
  std::string name = "routing";
  part trained = part::gates;
  double rate = 5e-3, gate_factor = 1;
  int images = 60, glosses = 60, prompts = 8, steps = 400;
  double wrong = .3;                                 // share of the labels drawn anew
  std::vector<int> experts{1, 2, 3, 4, 5, 6, 7, 8};  // each from a descendant of the dense model, 0: itself
  int settling = 0;  // steps before: as the bench, but labels, right ones, deterministic routes, the start's own items
};
inline bench named_bench(std::string const& name) {
  if (name == "routing") return {};
  bench b{.name = name, .trained = part::everything, .rate = 1e-3, .gate_factor = 5};
  if (name == "all") return b;
  b.images = b.glosses = 500;  // from here on: many items
  if (name == "more") return b.prompts = 16, b.steps = 300, b;
  if (name == "wide") {  // sixteen experts, two of a kind, of which deterministic routes have left some aside
    b.experts.insert(b.experts.end(), {1, 2, 3, 4, 5, 6, 7, 8});
    b.settling = 400;
    return b;
  }
  if (name == "upcycled") return b.experts.assign(8, 0), b;  // eight equal copies of the dense model
  throw moeroute_examples::input_error("command line", "--bench", bench_names, name);
}

enum class teacher { nobody, labels, rewards };
enum class scope { every_position, answers };

struct method {
  std::string name, words;
  teacher by = teacher::rewards;
  route_mode mode = route_mode::draw;
  bool guided = true;
  float percent = 25;  // of the experts are closed for each modality
  double token_weight = 1, gate_weight = 1;
  double balance = 0;
  double wrong = -1;  // share of wrong labels; below 0: the bench's
  int longer = 1;     // times the steps of the bench
  int rollouts = 8, inner = 1;
  bool shuffled = false;  // rewards exchanged inside a group
  scope over = scope::every_position;
  moeroute::probability_of measure = moeroute::probability_of::ordered;
  moeroute::policy_surrogate surrogate = moeroute::grpo_surrogate();
  moeroute::group_advantage advantage{};
  moeroute::guidance_refresh refresh{};
};

inline std::vector<method> all_methods() {
  using moeroute::probability_of;
  std::vector<method> m;
  auto const add = [&](std::string name, std::string words) -> method& {
    m.push_back({.name = std::move(name), .words = std::move(words)});
    return m.back();
  };
  auto const taught = [&](std::string name, std::string words, route_mode mode) -> method& {
    method& x = add(std::move(name), std::move(words));
    x.by = teacher::labels, x.mode = mode, x.guided = false;
    return x;
  };
  add("start", "untuned").by = teacher::nobody;
  taught("det_ft", "labels, deterministic top-k", route_mode::top_k);
  taught("noise_ft", "labels, Gaussian noise 1/8 on the logits", route_mode::noise);
  taught("multi_ft", "labels, experts drawn", route_mode::draw);
  taught("transport_ft", "labels, top-k of a Sinkhorn plan over the batch", route_mode::transport);
  taught("expert_choice_ft", "labels, experts choose in the batch", route_mode::experts_choose);
  add("moe_grpo", "rewards, guided draws, token and gate loss");
  add("token_only", "without the gate loss").gate_weight = 0;
  add("gate_only", "without the token loss").token_weight = 0;
  add("no_mask", "plain draws instead of guided ones").guided = false;
  add("half_mask", "guided draws, half of the experts closed").percent = 50;
  {
    method& x = add("noise_mask", "noise instead of guided draws");
    x.guided = false, x.mode = route_mode::noise;
  }
  {
    method& x = add("top_k_routes", "rewards, deterministic routes, token loss alone");
    x.guided = false, x.mode = route_mode::top_k, x.gate_weight = 0;
  }
  add("balanced", "with a balance loss of 0.01").balance = .01;
  add("shuffled", "rewards exchanged inside the group").shuffled = true;
  taught("det_ft_x8", "det_ft with 8 times the steps", route_mode::top_k).longer = 8;
  taught("det_ft_clean", "det_ft, no wrong labels", route_mode::top_k).wrong = 0;
  add("moe_grpo_clean", "moe_grpo, no wrong labels").wrong = 0;
  add("answers", "gate loss at the answer position alone").over = scope::answers;
  add("product", "gate ratio: product of probabilities").measure = probability_of::product;
  add("per_expert_mean", "gate ratio: mean over the experts").measure = probability_of::per_expert_mean;
  add("set", "gate ratio: the unordered pair").measure = probability_of::set;
  add("inner_2", "two updates for each rollout").inner = 2;
  {
    method& x = add("dapo", "DAPO, two updates for each rollout");
    x.surrogate = moeroute::dapo_surrogate(), x.inner = 2;
  }
  {
    method& x = add("sapo", "SAPO, two updates for each rollout");
    x.surrogate = moeroute::sapo_surrogate(), x.inner = 2;
  }
  add("mean_only", "advantages not divided by the deviation").advantage.against = moeroute::baseline::mean_only;
  add("refreshed", "guidance renewed every 50 steps, half kept").refresh = {.every = 50, .beta = .5};
  add("strong_gate", "gate loss weighted 10").gate_weight = 10;
  return m;
}

}  // namespace moeroute_training
