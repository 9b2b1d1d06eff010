// Decides a random choice with replacement: k independent draws from softmax(z / temperature), so an expert
// may stand in several places (its weights then add up when the outputs are combined).
//
//   id_j = the first e with  u_j * sum_i exp(z_i) < sum_{i <= e} exp(z_i),   u_j from (seed, step, token, j)
//
// The masses are added in fixed point: same draws in every lane group. Mass below 2^-40 of the largest is 0
// in float. Log-probability: probability_of::product in grpo/log_prob.hpp.
#pragma once

#include <moeroute/core/exact_sum.hpp>
#include <moeroute/prior/noise.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class K = index_t, noise_source Source = drawn_uniform>
struct multinomial {
  [[no_unique_address]] K k{};
  float temperature = 1;
  Source source{};  // numbers in (0, 1), one a place
  static constexpr key_kind keys = key_kind::logit;

  MOEROUTE_HD index_t experts_per_token() const { return k; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& logits, row_view<Id> out) const {
    using V = typename Row::value_type;
    V top = -infinity<V>;
    logits.each(g, [&](index_t, V const& z) { top = math::max(z, top); });
    top = g.max(top);
    auto const mass = [&](V z) {
      return z == top ? exact_sum<V>::to_ticks(V(1))
                      : (z > -infinity<V> ? exact_sum<V>::to_ticks(math::exp((z - top) / V(temperature))) : 0);
    };
    std::int64_t total = 0;
    if (top > -infinity<V>) logits.each(g, [&](index_t, V const& z) { total += mass(z); });
    total = g.sum(total);
    if (g.rank() == 0) {
      for (offset_t j = 0; j < out.size; ++j) out[j] = no_expert_of<Id>;
      std::int64_t before = 0;
      for (index_t e = 0; e < logits.size() && total > 0; ++e) {
        std::int64_t const upto = before + mass(logits.at(e));
        if (upto == before) continue;
        for (offset_t j = 0; j < out.size; ++j) {
          auto const u = source.template at<double>(c, static_cast<index_t>(j));
          auto const target = static_cast<std::int64_t>(math::mul(u, static_cast<double>(total)));
          if (target >= before && target < upto) out[j] = static_cast<Id>(e);
        }
        before = upto;
      }
    }
    g.sync();
  }
  status validate_tokens(offset_t tokens) const { return tokens_fit(source, tokens); }
  status validate(index_t experts) const {
    checks c;
    c.at_least("select.k", k, 1).at_least("experts", experts, 1);
    c.also(temperature > 0 ? status{}
                           : status{errc::bad_value, "select.temperature", "must be above",
                                    static_cast<std::int64_t>(temperature), 0});
    return c.also(experts_fit(source, static_cast<index_t>(k))).result();
  }
  void describe(text& t) const {
    t.add(static_cast<index_t>(k)).add(" drawn with replacement");
    if (temperature != 1) t.add(" at temperature ").add(temperature);
  }
};
static_assert(token_choice<multinomial<>> && token_choice<multinomial<fixed_index<2>, given_noise<>>>);

}  // namespace moeroute::inline MOEROUTE_ABI
