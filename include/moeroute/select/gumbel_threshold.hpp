// Decides by a noisy softmax: every expert whose probability under noise and temperature passes a small
// threshold. Anneals from all experts to one. Source: EvoMoE (S164), dense-to-sparse gate.
//
//   g = softmax((z + Gumbel) / tau), keep e if g_e > threshold; weight = softmax(z)_e (keep_scores)
// With threshold < 1/E somebody always stays. `hard` keeps the largest only; without noise: top-1 of z.
// The released default turns the gate hard at once; here it is a field. g as weight: gumbel noise as a prior,
// temperature and softmax as the score, `above` as the selector.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>
#include <moeroute/core/philox.hpp>
#include <moeroute/score.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct gumbel_threshold {
  float tau = 1;
  float threshold = 1e-3f;
  index_t max_experts = 8;
  bool hard = false;  // the largest noisy one alone
  bool noise = true;  // false: evaluation, top-1 of the logits
  draws random{.purpose = 0x45564F4D};
  static constexpr key_kind keys = key_kind::logit;

  MOEROUTE_HD index_t experts_per_token() const { return max_experts; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& z, row_view<Id> out) const {
    using V = typename Row::value_type;
    row_view<Id> const first{out.data, out.size < 1 ? out.size : 1};
    auto const noisy = mapped_row{z, [=, this](index_t e, V x) {
                                    return x > -infinity<V>
                                               ? (x + (noise ? random.template gumbel<V>(c.token, e) : V(0))) / V(tau)
                                               : -infinity<V>;
                                  }};
    if (hard || !noise) {
      take_best(g, noisy, first);
      for (offset_t j = 1 + g.rank(); j < out.size; j += g.size()) out[j] = no_expert_of<Id>;
      return g.sync();
    }
    auto const m = softmax{}.summarize(g, noisy);
    take_best(g, noisy, out, [&](index_t e) { return softmax{}(m, noisy.at(e)) > V(threshold); });
  }
  status validate(index_t experts) const {
    checks c;
    c.at_least("select.max_experts", max_experts, 1).at_most("select.max_experts", max_experts, experts);
    if (!(tau > 0)) c.also({errc::bad_value, "select.tau", "must be above", static_cast<std::int64_t>(tau), 0});
    return c.result();
  }
  void describe(text& t) const {
    if (hard || !noise) t.add(noise ? "the largest of z + Gumbel" : "the largest logit");
    else t.add("every expert whose softmax((z + Gumbel) / ").add(tau).add(") is above ").add(threshold);
  }
};
static_assert(token_choice<gumbel_threshold>);

// tau of step t: from most to least over `steps`, then constant.
struct linear_anneal {
  double most = 2, least = .3, steps = 1;
  double operator()(double t) const { return most - (t < steps ? t : steps) * (most - least) / steps; }
};
struct exponential_anneal {
  double most = 2, least = .3, steps = 1;
  double operator()(double t) const { return most * MOEROUTE_LIBM(pow)(least / most, (t < steps ? t : steps) / steps); }
};

}  // namespace moeroute::inline MOEROUTE_ABI
