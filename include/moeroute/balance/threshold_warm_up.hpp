// Decides how causal expert choice starts (P36): for the first `steps` experts choose their tokens, so that loads are
// exact while the thresholds are still being learned; then the thresholds alone decide, and a token's choice no longer
// depends on any other. During the warm-up a threshold is the plain mean of the cuts seen so far, until that mean would
// remember longer than beta does: no trace stays of where it started. Source: Expert Threshold routing, 4000 steps.
#pragma once

#include <moeroute/balance/threshold_update.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class choice_by : std::uint8_t { experts, thresholds };

struct threshold_warm_up {
  std::int64_t steps = 4000;

  // Who chooses at this step (0, 1, ...): route_experts, or route with `expert_threshold`.
  constexpr choice_by chooser(std::int64_t step) const {
    return step < steps ? choice_by::experts : choice_by::thresholds;
  }
  // The rule of this step: its beta is at most 1 - 1 / (step + 1).
  constexpr threshold_update at(threshold_update rule, std::int64_t step) const {
    double const mean = 1 - 1 / static_cast<double>(step + 1);
    if (step < steps && mean < rule.beta) rule.beta = mean;
    return rule;
  }
  status validate() const { return checks{}.at_least("threshold_warm_up.steps", steps, 0).result(); }
};

// One step: the thresholds move after the choice of the step. A start without warm-up, from thresholds that nobody
// learned, is refused.
template <executor X, class T, class P>
status try_update_threshold(X const& x, threshold_update const& rule, threshold_warm_up const& warm, std::int64_t step,
                            matrix_view<T> scores, row_view<P> threshold,
                            row_view<std::uint8_t const> valid = {}) noexcept {
  checks c;
  c.also(warm.validate()).at_least("step", step, 0);
  if (step == 0) c.at_least("threshold_warm_up.steps (a cold start)", warm.steps, 1);
  return c.result().ok() ? try_update_threshold(x, warm.at(rule, step), scores, threshold, valid) : c.result();
}

}  // namespace moeroute::inline MOEROUTE_ABI
