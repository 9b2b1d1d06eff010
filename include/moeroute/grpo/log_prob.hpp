// Decides how probable the routes of a batch are, and how that moves with the logits: a row a token over the walk of
// grpo/detail/route_walk.hpp, which holds the four measures. A route over a closed expert has log-probability -inf and
// passes no gradient; rows with gradient 0 cost nothing.
#pragma once

#include <moeroute/grpo/detail/route_walk.hpp>
#include <moeroute/route.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

// The logits of a row as log_prob sees them: prior, NaN closed, divided by the temperature.
template <class Prior, class T, class H, class G, class V>
MOEROUTE_HD void measured_row(Prior const& prior, route_measure m, batch<T, H> const& in, G const& g, offset_t t,
                              V* z) {
  memory_row<V> const row{z, static_cast<index_t>(in.logits.cols)};
  row_view<T const> const from = in.logits[t];
  row.each(g, [&](index_t e, V& x) { x = load(from[e]); });
  if constexpr (!is_none<Prior>) prior(g, in.context(t), row);
  row.each(g, [&](index_t, V& x) { x = is_nan(x) ? -infinity<V> : x / V(m.temperature); });
  g.sync();
}

// The routes of a batch, to be walked one by one.
template <class Prior, class T, class H, class Id>
struct measured_routes {
  using V = compute_t<T>;
  Prior prior;
  route_measure measure;
  batch<T, H> in;
  matrix_view<Id const> ids;

  offset_t scratch_bytes() const {
    return aligned_bytes<V>(in.logits.cols) + aligned_bytes<V>(measure.memory(ids.cols));
  }
  template <lane_group G>
  MOEROUTE_HD route_walk<V> walk(G const& g, offset_t t, scratch& s) const {
    V* const z = s.take<V>(in.logits.cols);
    V* const memory = s.take<V>(measure.memory(ids.cols));
    measured_row(prior, measure, in, g, t, z);
    return {measure, z, memory};
  }
  status fit() const {
    checks c;
    c.must_be("ids rows", ids.rows, in.logits.rows).strided("ids", ids).strided("batch.logits", in.logits);
    c.also(context_fits(in, in.logits.rows)).also(measure.validate(static_cast<index_t>(ids.cols)));
    c.also(experts_fit(prior, static_cast<index_t>(in.logits.cols)));
    return c.also(tokens_fit(prior, in.first_row + in.logits.rows)).result();
  }
};

}  // namespace detail

template <class Prior, class T, class H, class Id, class P>
struct route_log_prob_row {
  using V = compute_t<T>;
  detail::measured_routes<Prior, T, H, Id> routes;
  row_view<P> log_prob;

  offset_t scratch_bytes() const { return routes.scratch_bytes(); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    if (!routes.in.is_valid(t)) {
      if (g.rank() == 0) log_prob[t] = P(0);
      return g.sync();
    }
    auto const f = routes.walk(g, t, s).forward(g, static_cast<index_t>(routes.in.logits.cols), routes.ids[t]);
    if (g.rank() == 0) log_prob[t] = static_cast<P>(f.log_prob);
    g.sync();
  }
};

template <class Prior, class T, class H, class Id, class P, class D>
struct route_log_prob_backward_row {
  using V = compute_t<T>;
  detail::measured_routes<Prior, T, H, Id> routes;
  row_view<P const> d_log_prob;
  matrix_view<D> d_logits;
  bool accumulate;

  offset_t scratch_bytes() const { return routes.scratch_bytes(); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    row_view<D> const out = d_logits[t];
    V const d = routes.in.is_valid(t) ? static_cast<V>(d_log_prob[t]) : V(0);
    if (d == V(0)) {  // clipped, out of scope, padding: most rows of a late step
      if (!accumulate)
        for (offset_t e = g.rank(); e < out.size; e += g.size()) out[e] = D(0);
      return g.sync();
    }
    auto const experts = static_cast<index_t>(routes.in.logits.cols);
    auto const walk = routes.walk(g, t, s);
    auto const f = walk.forward(g, experts, routes.ids[t]);
    g.sync();
    row_context const c = routes.in.context(t);
    memory_row<V>{walk.z, experts}.each(g, [&](index_t e, V x) {
      V dz = math::mul(d, walk.slope(f, routes.ids[t], e)) / V(routes.measure.temperature);
      if constexpr (requires { routes.prior.derivative(c, e, x); })
        if (x != -infinity<V>) dz = math::mul(dz, routes.prior.derivative(c, e, x));
      out[e] = static_cast<D>(accumulate ? static_cast<V>(out[e]) + dz : dz);
    });
    g.sync();
  }
};

// ---- the verbs -----------------------------------------------------------------------------------------------

template <executor X, class T = float>
offset_t route_log_prob_workspace_bytes(X const& x, route_measure m, index_t experts, index_t k) {
  using V = compute_t<T>;
  return x.workspace_bytes(aligned_bytes<V>(experts) + aligned_bytes<V>(m.memory(k)));
}

// log_prob[t] of the route ids[t] (tokens x k, in draw order) under the logits of the batch.
template <executor X, prior_policy Prior, class T, class H, class Id, class P>
status try_route_log_prob(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in, matrix_view<Id> ids,
                          row_view<P> log_prob, workspace w) noexcept {
  using I = std::remove_const_t<Id>;
  offset_t const tokens = in.logits.rows;
  detail::measured_routes<Prior, T, H, I> const routes{prior, m, in, ids};
  checks c;
  c.also(routes.fit()).must_be("log_prob size", log_prob.size, tokens);
  if (!c.result().ok()) return c.result();
  return x.run(tokens, route_log_prob_row<Prior, T, H, I, P>{routes, log_prob}, w);
}
template <executor X, prior_policy Prior, class T, class H, class Id, class P>
void route_log_prob(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in, matrix_view<Id> ids,
                    row_view<P> log_prob, workspace w) {
  throw_if_bad(try_route_log_prob(x, prior, m, in, ids, log_prob, w));
}

// d_logits (tokens x experts) from d_log_prob; rows with d = 0 cost nothing. accumulate adds to what is there.
template <executor X, prior_policy Prior, class T, class H, class Id, class P, class D>
status try_route_log_prob_backward(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in,
                                   matrix_view<Id> ids, row_view<P> d_log_prob, matrix_view<D> d_logits, workspace w,
                                   bool accumulate = false) noexcept {
  using I = std::remove_const_t<Id>;
  using Pv = std::remove_const_t<P>;
  offset_t const tokens = in.logits.rows;
  detail::measured_routes<Prior, T, H, I> const routes{prior, m, in, ids};
  checks c;
  c.also(routes.fit());
  c.must_be("d_log_prob size", d_log_prob.size, tokens).must_be("d_logits rows", d_logits.rows, tokens);
  c.must_be("d_logits columns", d_logits.cols, in.logits.cols).strided("d_logits", d_logits);
  if (!c.result().ok()) return c.result();
  return x.run(tokens, route_log_prob_backward_row<Prior, T, H, I, Pv, D>{routes, d_log_prob, d_logits, accumulate}, w);
}
template <executor X, prior_policy Prior, class T, class H, class Id, class P, class D>
void route_log_prob_backward(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in,
                             matrix_view<Id> ids, row_view<P> d_log_prob, matrix_view<D> d_logits, workspace w,
                             bool accumulate = false) {
  throw_if_bad(try_route_log_prob_backward(x, prior, m, in, ids, d_log_prob, d_logits, w, accumulate));
}

}  // namespace moeroute::inline MOEROUTE_ABI
