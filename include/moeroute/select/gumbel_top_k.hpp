// Decides a random choice without replacement: k experts drawn one after the other in proportion to
// exp(z / temperature) among those not yet drawn, in draw order.
//
//   ids = the k largest of  z_e / temperature + G_e,   G_e = -log(-log u_e),  best first
//
// is that very draw (Plackett-Luce; Yellott 1977, Kool et al. 2019), without a loop over draws. G depends on
// (seed, step, token, expert) alone. Closed experts (-inf) and NaN are never drawn: if fewer than k are
// open, the places left over hold no_expert. Its log-probability: grpo/log_prob.hpp.
#pragma once

#include <moeroute/core/best.hpp>
#include <moeroute/prior/noise.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class K = index_t, noise_source Source = drawn_gumbel>
struct gumbel_top_k {
  [[no_unique_address]] K k{};
  float temperature = 1;
  Source source{};
  static constexpr key_kind keys = key_kind::logit;

  MOEROUTE_HD index_t experts_per_token() const { return k; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Out>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& logits, Out out) const {
    using V = typename Row::value_type;
    auto const perturbed = [&](index_t e, V z) {
      return z > -infinity<V> ? z / V(temperature) + source.template at<V>(c, e) : -infinity<V>;
    };
    take_best(g, mapped_row{logits, perturbed}, out, [&](index_t e) { return logits.at(e) > -infinity<V>; });
  }
  status validate(index_t experts) const {
    checks c;
    c.at_least("select.k", k, 1).at_most("select.k", k, experts);
    c.also(temperature > 0 ? status{}
                           : status{errc::bad_value, "select.temperature", "must be above",
                                    static_cast<std::int64_t>(temperature), 0});
    return c.also(detail::validate_source(source, experts)).result();
  }
  void describe(text& t) const {
    t.add(static_cast<index_t>(k)).add(" drawn without replacement");
    if (temperature != 1) t.add(" at temperature ").add(temperature);
  }
};
static_assert(token_choice<gumbel_top_k<>> && token_choice<gumbel_top_k<fixed_index<2>, given_noise<>>>);

}  // namespace moeroute::inline MOEROUTE_ABI
