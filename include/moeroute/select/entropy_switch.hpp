// Decides by the entropy of a token how it is routed: an uncertain token (entropy above the threshold) goes to
// all experts, any other to what `base` picks. Sources: DynMoLE (S061, base top_p with the crossing expert
// dropped and at least 2), GW-MoE (S080, Shannon entropy, fine-tuning only).
//
//   H_q(p) = (1 - sum_e p_e^q) / (q - 1), divided by its value at p = 1/E; q = 1 is Shannon.
// Written as  sum p_e u_e f((q - 1) u_e) with u = log p, f(x) = (1 - e^x) / x: no cancellation near q = 1.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>
#include <moeroute/core/exact_sum.hpp>
#include <moeroute/select/top_p.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
// (e^x - 1) / x, 1 at 0.
template <class V>
MOEROUTE_HD V relative_exp(V x) {
  if (x > V(-0.7) && x < V(0.7)) {
    V sum = 1;
    for (int n = 18; n >= 2; --n) sum = math::fma(sum, x / V(n), V(1));
    return sum;
  }
  return (math::exp(x) - V(1)) / x;
}
}  // namespace detail

struct tsallis_entropy {
  float q = 1.1f;
  float shift = 0;         // the released DynMoLE code adds 1e-5 to p and does not renormalize
  bool normalized = true;  // divided by the value of the uniform distribution

  // The rows hold probabilities; closed experts and NaN count as 0.
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row>
  MOEROUTE_HD auto operator()(G const& g, Row const& p) const {
    using V = typename Row::value_type;
    V const order = V(q) - V(1);
    exact_sum<V> total, mass;
    p.each(g, [&](index_t, V const& x) {
      V const y = (x > V(0) ? x : V(0)) + V(shift);
      mass.add(y);
      if (!(y > V(0))) return;
      V const u = math::log(y);
      total.add(-math::mul(y, u) * detail::relative_exp(math::mul(order, u)));
    });
    total.ticks = g.sum(total.ticks);
    mass.ticks = g.sum(mass.ticks);
    V h = total.value();
    if (shift != 0 && q != 1) h += (V(1) - mass.value()) / order;  // (1 - sum y^q) / order with sum y > 1
    if (!normalized) return h;
    V const most = math::log(static_cast<V>(p.size()));
    V const uniform = most * detail::relative_exp(-math::mul(order, most));
    return uniform > V(0) ? h / uniform : V(0);
  }
  void describe(text& t) const {
    if (q == 1) t.add("Shannon entropy");
    else t.add("Tsallis entropy of order ").add(q);
    if (normalized) t.add(" over its maximum");
  }
};

template <class Base = top_p, class Entropy = tsallis_entropy>
struct entropy_switch {
  float threshold = .9f;
  [[no_unique_address]] Base base{};
  [[no_unique_address]] Entropy entropy{};
  static constexpr key_kind keys = key_kind::value;

  MOEROUTE_HD index_t experts_per_token() const { return base.experts_per_token(); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    using V = typename Row::value_type;
    if (entropy(g, key) > V(threshold)) take_best(g, key, out, [&](index_t e) { return key.at(e) > -infinity<V>; });
    else base(g, c, key, out);
  }
  status validate_tokens(offset_t tokens) const { return tokens_fit(base, tokens); }
  status validate(index_t experts) const {
    checks c;
    c.also(experts_fit(base, experts));
    c.must_be("select.base experts_per_token (an uncertain token takes all experts)", experts_per_token(), experts,
              errc::bad_value);
    return c.result();
  }
  void describe(text& t) const {
    t.add("all experts where the ");
    entropy.describe(t);
    t.add(" is above ").add(threshold).add(", elsewhere ");
    if constexpr (describes<Base>) base.describe(t);
  }
};
static_assert(token_choice<entropy_switch<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
