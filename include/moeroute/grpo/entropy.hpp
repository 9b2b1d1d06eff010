// Decides how spread a gate is: H_t = -sum_e p_e log p_e of the softmax after prior and temperature, in nats, and
// its gradient d H / d z_e = -p_e (log p_e + H). A bonus c H is the loss -c H. Closed experts take no part.
#pragma once

#include <moeroute/core/tree_sum.hpp>
#include <moeroute/grpo/log_prob.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class Prior, class T, class H, class P, class D>
struct gate_entropy_row {
  using V = compute_t<T>;
  Prior prior;
  route_measure measure;
  batch<T, H> in;
  row_view<P> entropy;          // tokens, optional
  row_view<P const> d_entropy;  // tokens, for the gradient
  matrix_view<D> d_logits;      // tokens x experts, optional; added to

  offset_t scratch_bytes() const { return aligned_bytes<V>(in.logits.cols); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    if (!in.is_valid(t)) {
      if (g.rank() == 0 && !entropy.empty()) entropy[t] = P(0);
      return g.sync();
    }
    auto const experts = static_cast<index_t>(in.logits.cols);
    V* const z = s.take<V>(experts);
    detail::measured_row(prior, measure, in, g, t, z);
    detail::route_walk<V> const walk{measure, z, nullptr};
    V const total = walk.log_sum(g, experts, everyone{});
    auto const nats = [&](offset_t e) {
      V const l = z[e] - total;  // log p
      return z[e] == -infinity<V> ? V(0) : -math::mul(math::exp(l), l);
    };
    V const h = tree_sum<V>(g, experts, nats);
    if (g.rank() == 0 && !entropy.empty()) entropy[t] = static_cast<P>(h);
    if (!d_logits.empty()) {
      row_context const c = in.context(t);
      V const d = static_cast<V>(d_entropy[t]) / V(measure.temperature);
      memory_row<V>{z, experts}.each(g, [&](index_t e, V x) {
        if (x == -infinity<V>) return;
        V dz = math::mul(-d * math::exp(x - total), x - total + h);
        if constexpr (requires { prior.derivative(c, e, x); }) dz = math::mul(dz, prior.derivative(c, e, x));
        d_logits[t][e] = static_cast<D>(static_cast<V>(d_logits[t][e]) + dz);
      });
    }
    g.sync();
  }
};

// entropy[t], and if d_logits is given, the gradient of sum_t d_entropy[t] entropy[t] added to it.
template <executor X, prior_policy Prior, class T, class H, class P, class D = float>
status try_gate_entropy(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in, row_view<P> entropy,
                        workspace w, row_view<std::type_identity_t<P> const> d_entropy = {},
                        matrix_view<D> d_logits = {}) noexcept {
  offset_t const tokens = in.logits.rows;
  checks c;
  c.empty_or("entropy size", entropy, tokens).strided("batch.logits", in.logits).strided("d_logits", d_logits);
  if (!d_logits.empty()) {
    c.must_be("d_logits rows", d_logits.rows, tokens).must_be("d_logits columns", d_logits.cols, in.logits.cols);
    c.must_be("d_entropy size", d_entropy.size, tokens);
  }
  c.also(m.validate(0)).also(context_fits(in, tokens)).also(tokens_fit(prior, in.first_row + tokens));
  c.also(experts_fit(prior, static_cast<index_t>(in.logits.cols)));
  if (!c.result().ok()) return c.result();
  return x.run(tokens, gate_entropy_row<Prior, T, H, P, D>{prior, m, in, entropy, d_entropy, d_logits}, w);
}
template <executor X, prior_policy Prior, class T, class H, class P, class D = float>
void gate_entropy(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in, row_view<P> entropy,
                  workspace w, row_view<std::type_identity_t<P> const> d_entropy = {}, matrix_view<D> d_logits = {}) {
  throw_if_bad(try_gate_entropy(x, prior, m, in, entropy, w, d_entropy, d_logits));
}

}  // namespace moeroute::inline MOEROUTE_ABI
