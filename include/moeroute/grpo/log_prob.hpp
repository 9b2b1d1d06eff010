// Decides how probable a route is, and how that moves with the logits. With z~ the logits after prior and
// temperature, e_1..e_K the choice, L_j = logsumexp of the experts still available at draw j:
//
//   ordered          sum_j z~[e_j] - L_j                       what gumbel_top_k draws (MoE-GRPO, reading G1)
//   product          sum_j z~[e_j] - L_1                       what multinomial draws
//   per_expert_mean  product / K                               geometric mean of the experts' probabilities
//   set              log of the sum of `ordered` over all K! orders
//
// Stable and exact for any K up to all experts: L_K is the logsumexp of the never chosen and e_K, and
// L_j = logsumexp(L_{j+1}, z~[e_j]); nothing is subtracted. `set` walks the 2^K subsets (K <= 10) in the same
// way. Gradient: d/dz~[e] = (times e was chosen) - sum over draws of softmax of the available; closed experts
// get exactly 0. Places without an expert end the route. A route over a closed expert has log-probability
// -inf and passes no gradient.
#pragma once

#include <moeroute/route.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class probability_of : std::uint8_t { ordered, product, per_expert_mean, set };

struct route_measure {
  probability_of of = probability_of::ordered;
  float temperature = 1;

  static constexpr index_t most_in_set = 10;
  status validate(index_t k) const {
    checks c;
    if (of == probability_of::set) c.at_most("measure.of = set: k", k, most_in_set);
    return c
        .also(temperature > 0 ? status{}
                              : status{errc::bad_value, "measure.temperature", "must be above",
                                       static_cast<std::int64_t>(temperature), 0})
        .result();
  }
  // Numbers of scratch next to the logits: draws or subsets.
  MOEROUTE_HD offset_t memory(offset_t k) const {
    return of == probability_of::set ? offset_t{3} << (k < most_in_set ? k : most_in_set) : k;
  }
};

namespace detail {

// log(e^a + e^b).
template <class V>
MOEROUTE_HD V log_add(V a, V b) {
  V const top = math::max(a, b), low = a > b ? b : a;
  return top == -infinity<V> ? top : top + math::log1p_unit(math::exp(low - top));
}

// What every lane knows of a route: its log-probability, the logsumexp `rest` of the experts that stay
// unchosen, and how much every expert outside the choice loses for each unit of exp(z - rest).
template <class V>
struct route_facts {
  V log_prob = 0;
  V rest = 0;
  V loss = 0;
  index_t drawn = 0;
};

template <class V>
struct route_walk {
  route_measure m;
  V* z;        // experts: logits after prior and temperature; -inf closed
  V* memory;   // m.memory(k)

  // logsumexp of all experts for which `in` holds.
  template <class G, class In>
  MOEROUTE_HD V log_sum(G const& g, index_t experts, In const& in) const {
    memory_row<V> const row{z, experts};
    V top = -infinity<V>;
    row.each(g, [&](index_t e, V x) {
      if (in(e)) top = math::max(x, top);
    });
    top = g.max(top);
    if (top == -infinity<V>) return top;
    exact_sum<V> mass;
    row.each(g, [&](index_t e, V x) {
      if (in(e)) mass.add(math::where(x == top, V(1), math::exp(x - top)));
    });
    mass.ticks = g.sum(mass.ticks);
    return top + math::log(mass.value());
  }
  template <class Ids>
  MOEROUTE_HD static bool among(Ids const& id, index_t drawn, index_t e) {
    for (index_t j = 0; j < drawn; ++j)
      if (static_cast<index_t>(id[j]) == e) return true;
    return false;
  }

  template <class G, class Ids>
  MOEROUTE_HD route_facts<V> forward(G const& g, index_t experts, Ids const& id) const {
    using Id = std::remove_cvref_t<decltype(id[0])>;
    route_facts<V> f;
    while (f.drawn < id.size && id[f.drawn] != no_expert_of<Id>) ++f.drawn;
    bool const with_replacement = m.of == probability_of::product || m.of == probability_of::per_expert_mean;
    f.rest = log_sum(g, experts, [&](index_t e) { return with_replacement || !among(id, f.drawn, e); });
    if (with_replacement) {
      V const share = m.of == probability_of::product || f.drawn == 0 ? V(1) : V(1) / static_cast<V>(f.drawn);
      for (index_t j = 0; j < f.drawn; ++j) f.log_prob += z[id[j]] - f.rest;
      f.log_prob *= share;
      f.loss = share * static_cast<V>(f.drawn);
    } else if (m.of == probability_of::ordered) {
      V available = f.rest;
      for (index_t j = f.drawn; j-- > 0;) {
        available = log_add(available, z[id[j]]);
        if (g.rank() == 0) memory[j] = available;
        f.log_prob += z[id[j]] - available;
        f.loss += of_rest(f.rest, available);
      }
    } else {
      g.sync();
      if (g.rank() == 0) subsets(id, f.drawn, f.rest);
      g.sync();
      index_t const all = (1 << f.drawn) - 1;
      for (index_t j = 0; j < f.drawn; ++j) f.log_prob += z[id[j]];
      f.log_prob += forward_of(all);
      for (index_t a = 0; a < all; ++a) f.loss += math::mul(share(a, all), of_rest(f.rest, available_of(a)));
    }
    if (!(f.log_prob > -infinity<V>)) f.log_prob = -infinity<V>, f.loss = 0;
    return f;
  }

  // d log_prob / d z~[e]
  template <class Ids>
  MOEROUTE_HD V slope(route_facts<V> const& f, Ids const& id, index_t e) const {
    V const x = z[e];
    if (x == -infinity<V> || f.log_prob == -infinity<V> || f.drawn == 0) return V(0);
    V const unchosen = f.rest == -infinity<V> ? V(0) : math::mul(math::exp(x - f.rest), f.loss);
    if (m.of == probability_of::product || m.of == probability_of::per_expert_mean) {
      index_t times = 0;
      for (index_t j = 0; j < f.drawn; ++j) times += static_cast<index_t>(id[j]) == e;
      V const share = m.of == probability_of::product ? V(1) : V(1) / static_cast<V>(f.drawn);
      return math::fma(share, static_cast<V>(times), -unchosen);
    }
    index_t at = 0;
    while (at < f.drawn && static_cast<index_t>(id[at]) != e) ++at;
    if (at == f.drawn) return -unchosen;
    V pull = 0;
    if (m.of == probability_of::ordered) {
      for (index_t j = 0; j <= at; ++j) pull += math::exp(x - memory[j]);
    } else {
      index_t const all = (1 << f.drawn) - 1;
      for (index_t a = 0; a < all; ++a)
        if ((a >> at & 1) == 0) pull += math::mul(share(a, all), math::exp(x - available_of(a)));
    }
    return V(1) - pull;
  }

 private:
  MOEROUTE_HD static V of_rest(V rest, V available) {
    return rest == -infinity<V> ? V(0) : math::exp(rest - available);
  }
  // The set form. For a subset A of the choice that is drawn first, in the bits of a:
  //   available(A) = logsumexp(rest, chosen outside A)
  //   forward(A) = log of the sum over orders of A of prod 1 / available;  backward(A) the same from A to all.
  MOEROUTE_HD V& available_of(index_t a) const { return memory[3 * a]; }
  MOEROUTE_HD V& forward_of(index_t a) const { return memory[3 * a + 1]; }
  MOEROUTE_HD V& backward_of(index_t a) const { return memory[3 * a + 2]; }
  // Probability that the draw passes through A, given that it ends in the whole choice.
  MOEROUTE_HD V share(index_t a, index_t all) const {
    return math::exp(forward_of(a) + backward_of(a) - forward_of(all));
  }
  template <class Ids>
  MOEROUTE_HD void subsets(Ids const& id, index_t drawn, V rest) const {
    index_t const all = (1 << drawn) - 1;
    for (index_t a = 0; a <= all; ++a) {
      V available = rest, paths = a == 0 ? V(0) : -infinity<V>;
      for (index_t j = drawn; j-- > 0;) {
        if ((a >> j & 1) == 0) available = log_add(available, z[id[j]]);
        else paths = log_add(paths, forward_of(a ^ (1 << j)) - available_of(a ^ (1 << j)));
      }
      available_of(a) = available;
      forward_of(a) = paths;
    }
    for (index_t a = all; a >= 0; --a) {
      V paths = a == all ? V(0) : -infinity<V>;
      for (index_t j = 0; j < drawn; ++j)
        if ((a >> j & 1) == 0) paths = log_add(paths, backward_of(a | (1 << j)));
      backward_of(a) = a == all ? paths : paths - available_of(a);
    }
  }
};

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

}  // namespace detail

template <class Prior, class T, class H, class Id, class P>
struct route_log_prob_row {
  using V = compute_t<T>;
  Prior prior;
  route_measure measure;
  batch<T, H> in;
  matrix_view<Id const> ids;
  row_view<P> log_prob;

  offset_t scratch_bytes() const {
    return aligned_bytes<V>(in.logits.cols) + aligned_bytes<V>(measure.memory(ids.cols));
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    if (!in.is_valid(t)) {
      if (g.rank() == 0) log_prob[t] = P(0);
      return g.sync();
    }
    auto const experts = static_cast<index_t>(in.logits.cols);
    V* const z = s.take<V>(experts);
    V* const memory = s.take<V>(measure.memory(ids.cols));
    detail::measured_row(prior, measure, in, g, t, z);
    detail::route_walk<V> const walk{measure, z, memory};
    auto const f = walk.forward(g, experts, ids[t]);
    if (g.rank() == 0) log_prob[t] = static_cast<P>(f.log_prob);
    g.sync();
  }
};

template <class Prior, class T, class H, class Id, class P, class D>
struct route_log_prob_backward_row {
  using V = compute_t<T>;
  Prior prior;
  route_measure measure;
  batch<T, H> in;
  matrix_view<Id const> ids;
  row_view<P const> d_log_prob;
  matrix_view<D> d_logits;
  bool accumulate;

  offset_t scratch_bytes() const {
    return aligned_bytes<V>(in.logits.cols) + aligned_bytes<V>(measure.memory(ids.cols));
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    row_view<D> const out = d_logits[t];
    V const d = in.is_valid(t) ? static_cast<V>(d_log_prob[t]) : V(0);
    if (d == V(0)) {  // clipped, out of scope, padding: most rows of a late step
      if (!accumulate)
        for (offset_t e = g.rank(); e < out.size; e += g.size()) out[e] = D(0);
      return g.sync();
    }
    auto const experts = static_cast<index_t>(in.logits.cols);
    V* const z = s.take<V>(experts);
    V* const memory = s.take<V>(measure.memory(ids.cols));
    detail::measured_row(prior, measure, in, g, t, z);
    detail::route_walk<V> const walk{measure, z, memory};
    auto const f = walk.forward(g, experts, ids[t]);
    g.sync();
    row_context const c = in.context(t);
    memory_row<V>{z, experts}.each(g, [&](index_t e, V x) {
      V dz = d * walk.slope(f, ids[t], e) / V(measure.temperature);
      if constexpr (requires { prior.derivative(c, e, x); })
        if (x != -infinity<V>) dz *= prior.derivative(c, e, x);
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
status try_route_log_prob(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in,
                          matrix_view<Id> ids, row_view<P> log_prob, workspace w) noexcept {
  using I = std::remove_const_t<Id>;
  offset_t const tokens = in.logits.rows;
  checks c;
  c.must_be("ids rows", ids.rows, tokens).strided("ids", ids).must_be("log_prob size", log_prob.size, tokens);
  c.strided("batch.logits", in.logits);
  c.also(context_fits(in, tokens)).also(m.validate(static_cast<index_t>(ids.cols)));
  if constexpr (validates<Prior>) c.also(prior.validate(static_cast<index_t>(in.logits.cols)));
  c.also(tokens_fit(prior, in.first_row + tokens));
  if (!c.result().ok()) return c.result();
  return x.run(tokens, route_log_prob_row<Prior, T, H, I, P>{prior, m, in, ids, log_prob}, w);
}
template <executor X, prior_policy Prior, class T, class H, class Id, class P>
void route_log_prob(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in, matrix_view<Id> ids,
                    row_view<P> log_prob, workspace w) {
  throw_if_bad(try_route_log_prob(x, prior, m, in, ids, log_prob, w));
}

// d_logits (tokens x experts) from d_log_prob; rows with d = 0 cost nothing. accumulate adds to what is there.
template <executor X, prior_policy Prior, class T, class H, class Id, class P, class D>
status try_route_log_prob_backward(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in,
                                   matrix_view<Id> ids, row_view<P> d_log_prob, matrix_view<D> d_logits,
                                   workspace w, bool accumulate = false) noexcept {
  using I = std::remove_const_t<Id>;
  using Pv = std::remove_const_t<P>;
  offset_t const tokens = in.logits.rows;
  checks c;
  c.must_be("ids rows", ids.rows, tokens).strided("ids", ids);
  c.must_be("d_log_prob size", d_log_prob.size, tokens).must_be("d_logits rows", d_logits.rows, tokens);
  c.must_be("d_logits columns", d_logits.cols, in.logits.cols).strided("d_logits", d_logits);
  c.strided("batch.logits", in.logits);
  c.also(context_fits(in, tokens)).also(m.validate(static_cast<index_t>(ids.cols)));
  if constexpr (validates<Prior>) c.also(prior.validate(static_cast<index_t>(in.logits.cols)));
  c.also(tokens_fit(prior, in.first_row + tokens));
  if (!c.result().ok()) return c.result();
  return x.run(tokens,
               route_log_prob_backward_row<Prior, T, H, I, Pv, D>{prior, m, in, ids, d_log_prob, d_logits, accumulate},
               w);
}
template <executor X, prior_policy Prior, class T, class H, class Id, class P, class D>
void route_log_prob_backward(X const& x, Prior const& prior, route_measure m, batch<T, H> const& in,
                             matrix_view<Id> ids, row_view<P> d_log_prob, matrix_view<D> d_logits, workspace w,
                             bool accumulate = false) {
  throw_if_bad(try_route_log_prob_backward(x, prior, m, in, ids, d_log_prob, d_logits, w, accumulate));
}

}  // namespace moeroute::inline MOEROUTE_ABI
