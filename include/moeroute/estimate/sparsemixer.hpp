// Decides and weighs k experts one after another, each from its own masked softmax, with a gradient that sees past
// the sampling. Sources: GRIN / SparseMixer-v2 (S085), Phi-3.5-MoE (P28).
//
// For each pick, over the experts still there (max = their largest logit):
//   mask      e is dropped if (max - z_e) / max(|z_e|, max) > 2 jitter_eps          (no gradient)
//   pick      training: e ~ softmax(masked z) by Gumbel; evaluation: the largest z
//   weight    pi_e * factor; factor 1 for the argmax and with probability 1/4, else `third` (Heun's method)
//   backward  d z = d weight * pi_pick * (1[e = pick] - pi_e), the factor left out; nothing is renormalized
// The released code writes 0.3333 + 0.6667; exact thirds by setting the field.
#pragma once

#include <moeroute/core/exact_sum.hpp>
#include <moeroute/core/philox.hpp>
#include <moeroute/route.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class sampling : std::uint8_t { largest, drawn };

// Draws from outside, in place of the policy's own: tokens x (k experts) of Exp(1), tokens x k uniform.
struct given_draws {
  matrix_view<float const> exponential{};
  matrix_view<float const> uniform{};
};

struct sparsemixer_v2 {
  index_t k = 2;
  float jitter_eps = .01f;
  sampling pick = sampling::largest;
  draws random{.purpose = 0x534D5832};
  float third = .3333f;
  given_draws given{};

  status validate(index_t experts) const {
    checks c;
    c.at_least("sparsemixer.k", k, 1).at_most("sparsemixer.k", k, experts).at_most("sparsemixer.k", k, 64);
    if (!(jitter_eps >= 0))
      c.also({errc::bad_value, "sparsemixer.jitter_eps", "must be at least", static_cast<std::int64_t>(jitter_eps), 0});
    return c.result();
  }
  void describe(text& t) const {
    t.add(k).add(" sequential picks, each ");
    t.add(pick == sampling::drawn ? "drawn from" : "the largest of").add(" a softmax masked at 2 x ").add(jitter_eps);
    t.add("; weight: its probability");
    if (pick == sampling::drawn) t.add(" (times ").add(third).add(" with probability 3/4 unless the largest)");
  }
};

// What a call writes beside ids and weights, where given: factor tokens x k, kept (tokens k) x experts.
template <class W = float>
struct sparsemixer_view {
  matrix_view<index_t> ids{};
  matrix_view<W> weights{};
  matrix_view<W> factor{};
  matrix_view<std::uint8_t> kept{};
};

namespace detail {

template <class V>
struct masked_softmax {
  V top, total;
  float limit;
  MOEROUTE_HD bool keeps(V z) const {
    if (!(z > -infinity<V>)) return false;
    V const size = z < V(0) ? -z : z;
    return z == top || !((top - z) / (size > top ? size : top) > V(2) * V(limit));
  }
  MOEROUTE_HD V numerator(V z) const { return keeps(z) ? math::where(z == top, V(1), math::exp(z - top)) : V(0); }
  MOEROUTE_HD V operator()(V z) const { return total > V(0) ? numerator(z) / total : V(0); }
};
// Over the experts that are not in taken[0, j).
template <class G, class V>
MOEROUTE_HD masked_softmax<V> mask_rest(G const& g, memory_row<V> z, index_t const* taken, index_t j, float limit) {
  masked_softmax<V> m{-infinity<V>, V(0), limit};
  auto const is_taken = [=](index_t e) {
    bool yes = false;
    for (index_t i = 0; i < j; ++i) yes = yes || taken[i] == e;
    return yes;
  };
  z.each(g, [&](index_t e, V const& x) { m.top = is_taken(e) ? m.top : math::max(x, m.top); });
  m.top = g.max(m.top);
  exact_sum<V> mass;
  z.each(g, [&](index_t e, V const& x) { mass.add(is_taken(e) || m.top == -infinity<V> ? V(0) : m.numerator(x)); });
  mass.ticks = g.sum(mass.ticks);
  m.total = mass.value();
  return m;
}

template <class T, class W>
struct sparsemixer_row {
  using V = compute_t<T>;
  sparsemixer_v2 how;
  batch<T> in;
  sparsemixer_view<W> out;
  offset_t scratch_bytes() const { return aligned_bytes<V>(in.logits.cols) + aligned_bytes<index_t>(how.k); }

  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    memory_row<V> const z{s.take<V>(in.logits.cols), static_cast<index_t>(in.logits.cols)};
    index_t* const taken = s.take<index_t>(how.k);
    row_view<T const> const from = in.logits[t];
    z.each(g,
           [&](index_t e, V& x) { x = in.is_valid(t) ? closed_if_nan(static_cast<V>(load(from[e]))) : -infinity<V>; });
    g.sync();
    offset_t const token = in.context(t).token;
    for (index_t j = 0; j < how.k; ++j) {
      auto const m = mask_rest(g, z, taken, j, how.jitter_eps);
      ranked<key_t<V>> best, largest_one;
      z.each(g, [&](index_t e, V const& x) {
        bool gone = false;
        for (index_t i = 0; i < j; ++i) gone = gone || taken[i] == e;
        bool const candidate = !gone && m.keeps(x);
        if (!out.kept.empty()) out.kept[t * how.k + j][e] = candidate;
        if (!candidate) return;
        ranked<key_t<V>> const plain{order_key<V>(x), e}, drawn{order_key<V>(x + noise(t, token, j, e, z.size())), e};
        if (beats(plain, largest_one)) largest_one = plain;
        if (beats(drawn, best)) best = drawn;
      });
      largest_one = g.best(largest_one);
      best = how.pick == sampling::largest ? largest_one : g.best(best);
      bool const found = best.id < z.size();
      if (g.rank() == 0) {
        bool const full = best.id == largest_one.id || how.pick == sampling::largest || uniform(t, token, j) > V(.75);
        V const factor = full ? V(1) : V(how.third);
        taken[j] = found ? best.id : no_expert;
        out.ids[t][j] = taken[j];
        out.weights[t][j] = static_cast<W>(found ? m(z.at(best.id)) * factor : V(0));
        if (!out.factor.empty()) out.factor[t][j] = static_cast<W>(found ? factor : V(0));
      }
      g.sync();
    }
  }

 private:
  MOEROUTE_HD V noise(offset_t t, offset_t token, index_t j, index_t e, index_t experts) const {
    if (how.pick == sampling::largest) return V(0);
    if (!how.given.exponential.empty()) return -math::log(static_cast<V>(how.given.exponential[t][j * experts + e]));
    return how.random.template gumbel<V>(token, j * experts + e);
  }
  MOEROUTE_HD V uniform(offset_t t, offset_t token, index_t j) const {
    if (!how.given.uniform.empty()) return static_cast<V>(how.given.uniform[t][j]);
    draws other = how.random;
    other.purpose ^= 0x80000000u;
    return other.template uniform<V>(token, j);
  }
};

template <class T, class W, class D>
struct sparsemixer_row_backward {
  using V = compute_t<T>;
  sparsemixer_v2 how;
  batch<T> in;
  matrix_view<index_t const> ids;
  matrix_view<W const> d_weights;
  matrix_view<D> d_logits;
  offset_t scratch_bytes() const { return 2 * aligned_bytes<V>(in.logits.cols) + aligned_bytes<index_t>(how.k); }

  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    memory_row<V> const z{s.take<V>(in.logits.cols), static_cast<index_t>(in.logits.cols)};
    V* const grad = s.take<V>(in.logits.cols);
    index_t* const taken = s.take<index_t>(how.k);
    row_view<T const> const from = in.logits[t];
    z.each(g, [&](index_t e, V& x) {
      x = in.is_valid(t) ? closed_if_nan(static_cast<V>(load(from[e]))) : -infinity<V>;
      grad[e] = 0;
    });
    for (index_t j = g.rank(); j < how.k; j += g.size()) taken[j] = ids[t][j];
    g.sync();
    for (index_t j = 0; j < how.k; ++j) {
      auto const m = mask_rest(g, z, taken, j, how.jitter_eps);
      index_t const pick = taken[j];
      if (pick < 0 || pick >= z.size()) continue;
      V const d = static_cast<V>(d_weights[t][j]) * m(z.at(pick));
      z.each(g, [&](index_t e, V const& x) {
        bool gone = false;
        for (index_t i = 0; i < j; ++i) gone = gone || taken[i] == e;
        if (!gone) grad[e] += math::mul(d, (e == pick ? V(1) : V(0)) - m(x));
      });
    }
    for (offset_t e = g.rank(); e < d_logits.cols; e += g.size()) d_logits[t][e] = static_cast<D>(grad[e]);
    g.sync();
  }
};

}  // namespace detail

template <executor X, element T = float>
offset_t sparsemixer_workspace_bytes(X const& x, sparsemixer_v2 const& how, index_t experts) {
  return x.workspace_bytes(2 * aligned_bytes<compute_t<T>>(experts) + aligned_bytes<index_t>(how.k));
}

template <executor X, element T, class W>
status try_route_sparsemixer(X const& x, sparsemixer_v2 const& how, batch<T> const& in, sparsemixer_view<W> out,
                             workspace w) noexcept {
  offset_t const tokens = in.logits.rows, experts = in.logits.cols;
  checks c;
  c.also(how.validate(static_cast<index_t>(experts))).strided("batch.logits", in.logits).also(context_fits(in, tokens));
  c.must_be("out.ids rows", out.ids.rows, tokens).must_be("out.ids columns", out.ids.cols, how.k);
  c.must_be("out.weights rows", out.weights.rows, tokens).must_be("out.weights columns", out.weights.cols, how.k);
  if (!out.factor.empty())
    c.must_be("out.factor rows", out.factor.rows, tokens).must_be("out.factor columns", out.factor.cols, how.k);
  if (!out.kept.empty())
    c.must_be("out.kept rows", out.kept.rows, tokens * how.k).must_be("out.kept columns", out.kept.cols, experts);
  if (!how.given.exponential.empty())
    c.must_be("given.exponential rows", how.given.exponential.rows, tokens)
        .must_be("given.exponential columns", how.given.exponential.cols, how.k * experts);
  if (!how.given.uniform.empty())
    c.must_be("given.uniform rows", how.given.uniform.rows, tokens)
        .must_be("given.uniform columns", how.given.uniform.cols, how.k);
  if (!c.result().ok()) return c.result();
  return x.run(tokens, detail::sparsemixer_row<T, W>{how, in, out}, w);
}
template <executor X, element T, class W, class D>
status try_route_sparsemixer_backward(X const& x, sparsemixer_v2 const& how, batch<T> const& in,
                                      matrix_view<index_t const> ids, matrix_view<W> d_weights, matrix_view<D> d_logits,
                                      workspace w) noexcept {
  checks c;
  c.also(how.validate(static_cast<index_t>(in.logits.cols)))
      .strided("batch.logits", in.logits)
      .strided("d_logits", d_logits);
  c.also(context_fits(in, in.logits.rows));
  c.must_be("ids rows", ids.rows, in.logits.rows).must_be("ids columns", ids.cols, how.k);
  c.must_be("d_weights rows", d_weights.rows, ids.rows).must_be("d_weights columns", d_weights.cols, how.k);
  c.must_be("d_logits rows", d_logits.rows, ids.rows).must_be("d_logits columns", d_logits.cols, in.logits.cols);
  if (!c.result().ok()) return c.result();
  return x.run(ids.rows,
               detail::sparsemixer_row_backward<T, std::remove_const_t<W>, D>{how, in, ids, d_weights, d_logits}, w);
}
template <executor X, element T, class W>
void route_sparsemixer(X const& x, sparsemixer_v2 const& how, batch<T> const& in, sparsemixer_view<W> out,
                       workspace w) {
  throw_if_bad(try_route_sparsemixer(x, how, in, out, w));
}
template <executor X, element T, class W, class D>
void route_sparsemixer_backward(X const& x, sparsemixer_v2 const& how, batch<T> const& in,
                                matrix_view<index_t const> ids, matrix_view<W> d_weights, matrix_view<D> d_logits,
                                workspace w) {
  throw_if_bad(try_route_sparsemixer_backward(x, how, in, ids, d_weights, d_logits, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
