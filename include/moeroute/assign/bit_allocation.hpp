// Decides how many bits the weights of each expert get: the exact optimum of
//
//   minimize sum_e cost[e, o_e]   with   sum_e bits[o_e] <= budget   and every required option used at least once
// by dynamic programming over experts, bits spent and options seen. Source: MC-MoE, PMQ (S161); MC# (S167):
//   cost[e, b] = frequency_e^alpha weight_e^beta error_eb^gamma; the release also raises the error to alpha.
// Ties: the earlier option, from the last expert down. On the host; a few thousand steps a layer.
#pragma once

#include <moeroute/core/executor.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct bit_cost {
  double alpha = 1, beta = 1.5, gamma = 2;

  double operator()(double frequency, double weight, double error) const {
    return power(frequency, alpha) * power(weight, beta) * power(error, gamma);
  }
  static double power(double x, double p) { return x > 0 ? math::exp(p * math::log(x)) : p == 0 ? 1. : 0.; }
};

namespace detail {
inline constexpr index_t most_options = 8;  // and as many required: a step fits 16 bits
inline offset_t bit_states(offset_t budget, index_t required) { return (budget + 1) << required; }
}  // namespace detail

inline offset_t bit_allocation_workspace_bytes(offset_t experts, offset_t budget, index_t required) {
  offset_t const states = detail::bit_states(budget, required);
  return 2 * aligned_bytes<double>(states) + aligned_bytes<std::uint16_t>(experts * states) + workspace_alignment;
}

// option[e]: the column of `cost` (experts x options) that expert e gets; `bits` of each option, at least 0;
// `required`: options that must be used. No allocation within the budget: bad_value.
inline status try_allocate_bits(matrix_view<double const> cost, row_view<index_t const> bits, offset_t budget,
                                row_view<index_t const> required, row_view<index_t> option, workspace w,
                                double* total = nullptr) noexcept {
  auto const experts = cost.rows;
  auto const options = static_cast<index_t>(cost.cols), wanted = static_cast<index_t>(required.size);
  checks c;
  c.must_be("bits size", bits.size, options).must_be("option size", option.size, experts).at_least("budget", budget, 0);
  c.at_least("cost columns (options)", options, 1).at_most("cost columns (options)", options, detail::most_options);
  c.at_most("required size", wanted, options);
  for (index_t const b : bits) c.at_least("bits", b, 0, errc::bad_value);
  for (index_t const o : required)
    c.at_least("required", o, 0, errc::bad_value).at_most("required", o, options - 1, errc::bad_value);
  if (c.result().ok()) c.also(workspace_ok(w, bit_allocation_workspace_bytes(experts, budget, wanted)));
  if (!c.result().ok()) return c.result();
  auto const all = static_cast<index_t>((1 << wanted) - 1);
  offset_t const states = detail::bit_states(budget, wanted);
  scratch s = aligned_scratch(w);
  double* now = s.take<double>(states);
  double* next = s.take<double>(states);
  auto* const took = s.take<std::uint16_t>(experts * states);
  auto const seen_with = [&](index_t seen, index_t o) {
    for (index_t r = 0; r < wanted; ++r)
      if (required[r] == o) seen |= 1 << r;
    return seen;
  };
  for (offset_t i = 0; i < states; ++i) now[i] = infinity<double>;
  now[0] = 0;  // state: spent * 2^wanted + seen
  for (offset_t e = 0; e < experts; ++e) {
    for (offset_t i = 0; i < states; ++i) next[i] = infinity<double>;
    for (offset_t spent = 0; spent <= budget; ++spent)
      for (index_t seen = 0; seen <= all; ++seen) {
        double const before = now[(spent << wanted) + seen];
        if (!(before < infinity<double>)) continue;
        for (index_t o = 0; o < options; ++o) {
          if (spent + bits[o] > budget) continue;
          offset_t const to = ((spent + bits[o]) << wanted) + seen_with(seen, o);
          double const sum = before + cost[e][o];
          if (sum < next[to] || (sum == next[to] && o < took[e * states + to] % 16)) {
            next[to] = sum;
            took[e * states + to] = static_cast<std::uint16_t>(o | seen << 4);
          }
        }
      }
    double* const t = now;
    now = next, next = t;
  }
  offset_t at = -1;
  for (offset_t spent = 0; spent <= budget; ++spent)
    if (offset_t const i = (spent << wanted) + all; now[i] < (at < 0 ? infinity<double> : now[at])) at = i;
  if (at < 0) return {errc::bad_value, "budget (no allocation fits)", "must be above", budget, budget};
  if (total != nullptr) *total = now[at];
  for (offset_t e = experts; e-- > 0;) {
    index_t const step = took[e * states + at];
    option[e] = step % 16;
    at = (((at >> wanted) - bits[option[e]]) << wanted) + (step >> 4);
  }
  return {};
}

}  // namespace moeroute::inline MOEROUTE_ABI
