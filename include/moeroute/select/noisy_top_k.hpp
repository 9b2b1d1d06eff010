// Decides a choice under noise that the weights do not see: the top k of noisy logits, weights from the clean
// ones. Put the noise in the router's prior instead where the weights must see it, as V-MoE and
// Shazeer et al. have it:
//
//   V-MoE (2021):          router{.prior = gaussian_noise<>{}, .select = top_k{2}}
//   Shazeer et al. (2017): router{.prior = learned_noise<>{.noise_logits = r}, .score = identity{},
//                                 .select = top_k{4}, .weigh = softmax_over_chosen{}}
#pragma once

#include <moeroute/core/best.hpp>
#include <moeroute/prior/noise.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class K = index_t, perturbation Noise = gaussian_noise<>>
struct noisy_top_k {
  [[no_unique_address]] K k{};
  Noise noise{};
  static constexpr key_kind keys = key_kind::logit;

  MOEROUTE_HD index_t experts_per_token() const { return k; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Out>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& logits, Out out) const {
    using V = typename Row::value_type;
    index_t const experts = logits.size();
    take_best(g, mapped_row{logits, [&](index_t e, V z) { return noise.noisy(c, e, experts, z); }}, out);
  }
  status validate_tokens(offset_t tokens) const { return tokens_fit(noise, tokens); }
  status validate(index_t experts) const {
    checks c;
    c.at_least("select.k", k, 1).at_most("select.k", k, experts);
    return c.also(experts_fit(noise, experts)).result();
  }
  void describe(text& t) const {
    t.add("top ").add(static_cast<index_t>(k)).add(" after noise (");
    if constexpr (describes<Noise>) noise.describe(t);
    t.add(")");
  }
};
static_assert(token_choice<noisy_top_k<>> && token_choice<noisy_top_k<fixed_index<2>, learned_noise<>>>);

}  // namespace moeroute::inline MOEROUTE_ABI
