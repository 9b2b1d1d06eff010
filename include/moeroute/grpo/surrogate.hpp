// Decides what one term of a policy loss is worth: a surrogate of the ratio r = exp(log_prob - old) and the advantage A.
//
//   clip       -min(r A, clip(r, 1 - low, 1 + high) A)          GRPO, MoE-GRPO eq. 4 and 5; high > low: DAPO
//   soft_gate  -A (4 / tau) sigmoid(tau (r - 1))                SAPO; tau by the sign of A
//   sequence   clip with one r for the rollout: exp(mean of log_prob - old)                      GSPO
//   + weight * KL to a reference: k1 = -x, k2 = x^2 / 2, k3 = e^x - 1 - x with x = reference - log_prob
//
// The gradient of a clipped term is 0; where nothing is clipped it is -A r.
#pragma once

#include <moeroute/core/math.hpp>
#include <moeroute/core/status.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class ratio_bound : std::uint8_t { clip, soft_gate };
enum class ratio_level : std::uint8_t { term, sequence };
enum class term_average : std::uint8_t { per_rollout, per_term };
enum class kl_estimator : std::uint8_t { none, k1, k2, k3 };

struct policy_surrogate {
  ratio_bound bound = ratio_bound::clip;
  ratio_level level = ratio_level::term;
  double clip_low = .2, clip_high = .2;
  double tau_positive = 1, tau_negative = 1.05;  // soft_gate
  term_average average = term_average::per_rollout;
  kl_estimator kl = kl_estimator::none;
  double kl_weight = 0;

  status validate() const {
    if (!(clip_low >= 0 && clip_low <= 1 && clip_high >= 0))
      return {errc::bad_value, "surrogate.clip_low/high (negative, or low above 1)", "must be at least", -1, 0};
    if (!(tau_positive > 0 && tau_negative > 0)) return {errc::bad_value, "surrogate.tau", "must be above", 0, 0};
    return {};
  }
};
constexpr policy_surrogate grpo_surrogate(double clip = .2) { return {.clip_low = clip, .clip_high = clip}; }
constexpr policy_surrogate dapo_surrogate() {
  return {.clip_low = .2, .clip_high = .28, .average = term_average::per_term};
}
constexpr policy_surrogate gspo_surrogate() {
  return {.level = ratio_level::sequence, .clip_low = 3e-4, .clip_high = 4e-4};
}
constexpr policy_surrogate sapo_surrogate() { return {.bound = ratio_bound::soft_gate}; }

namespace detail {

// Value and slope of one clipped or soft term in the log-ratio.
struct term_value {
  double loss, slope;
  bool clipped;
};
MOEROUTE_HD inline term_value surrogate_term(policy_surrogate const& s, double ratio, double a) {
  if (s.bound == ratio_bound::soft_gate) {
    double const tau = a > 0 ? s.tau_positive : s.tau_negative;
    double const gate = math::sigmoid(tau * (ratio - 1));
    return {math::mul(-a * (4 / tau), gate), -a * 4 * gate * (1 - gate) * ratio, false};
  }
  double const low = 1 - s.clip_low, high = 1 + s.clip_high;
  double const bounded = math::min(math::max(ratio, low), high);
  double const free_value = math::mul(ratio, a), held = math::mul(bounded, a);
  bool const passes = (a > 0 && ratio < high) || (a < 0 && ratio > low);
  return {-math::min(free_value, held), passes ? -free_value : 0., a != 0 && !passes};
}
MOEROUTE_HD inline term_value kl_term(kl_estimator k, double x) {  // x = reference - log_prob; slope in log_prob
  if (k == kl_estimator::k1) return {-x, 1, false};
  if (k == kl_estimator::k2) return {x * x / 2, -x, false};
  double const grown = math::exp(x);
  return {grown - 1 - x, 1 - grown, false};
}
// 0 for equal values, so that two impossible routes agree.
MOEROUTE_HD inline double log_ratio(double a, double b) { return a == b ? 0 : a - b; }

}  // namespace detail

}  // namespace moeroute::inline MOEROUTE_ABI
