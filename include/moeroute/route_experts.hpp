// Decides how experts choose tokens: scores by rows, choice by columns, weights by the picks of one expert, and
// the gradient back. Sources: Expert Choice (S014, P35), pMoE (S002), UoE (S016), Mesh-TensorFlow (token axis).
//
//   S = score(logits);  tokens[e, :] = the best tokens of column e;  weights[e, :] = weigh(S[tokens[e, :], e])
// Nothing is renormalized over a token: it may have no expert, or all of them.
#pragma once

#include <moeroute/select/token_order.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Where an expert-choice router writes: row s * experts + e holds the picks of expert e in segment s (one segment
// with batch scope); the columns are the most tokens an expert may take. Unused places: token -1, weight 0.
template <class W>
struct expert_routing_view {
  matrix_view<offset_t> tokens{};
  matrix_view<W> weights{};
};

namespace detail {

inline constexpr offset_t choice_block = 16;  // tokens whose scores are turned into columns together

template <class S>
inline constexpr choice_scope scope_of = choice_scope::batch;
template <class S>
  requires requires { S::scope; }
inline constexpr choice_scope scope_of<S> = S::scope;

// Everything the passes share: scores as columns, in the order of the tokens.
template <class R, class T, class H>
struct expert_choice_state {
  using V = compute_t<T>;
  R r;
  batch<T, H> in;
  row_view<offset_t> start, token_at, place_of;
  V* columns{};     // experts x stride: scores (axis experts) or logits (axis tokens)
  offset_t stride;  // padded, so that columns do not fall on one cache set

  MOEROUTE_HD index_t experts() const { return static_cast<index_t>(in.logits.cols); }
  MOEROUTE_HD score_axis axis() const {
    if constexpr (requires { r.select.axis; }) return r.select.axis;
    else return score_axis::experts;
  }
  MOEROUTE_HD index_t within() const {
    if constexpr (requires { r.select.within; }) return r.select.within;
    else return 0;
  }
  MOEROUTE_HD memory_row<V> column(index_t e, offset_t segment) const {
    return {columns + e * stride + start[segment], static_cast<index_t>(start[segment + 1] - start[segment])};
  }
  static constexpr offset_t padded(offset_t tokens) { return (tokens + 15) / 16 * 16 + 16; }
};

// Rows: blocks of tokens in their order. Writes the columns.
template <class R, class T, class H>
struct score_columns {
  using V = compute_t<T>;
  expert_choice_state<R, T, H> s;

  offset_t scratch_bytes() const {
    return (choice_block + 1) * aligned_bytes<V>(s.experts()) + aligned_bytes<index_t>(s.within());
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t b, scratch space) const {
    offset_t const first = b * choice_block, all = s.start[s.start.size - 1];
    offset_t const count = all - first < choice_block ? all - first : choice_block;
    V* const block = space.take<V>(choice_block * s.experts());
    V* const key = space.take<V>(s.experts());
    row_view<index_t> const own{space.take<index_t>(s.within()), s.within()};
    for (offset_t i = 0; i < count; ++i) {
      V* const x = block + i * s.experts();
      auto const logits = prepared_row(s.r, s.in, g, s.token_at[first + i], x);
      if (s.axis() == score_axis::experts) {
        auto const m = summarize(s.r.score, g, mapped_row{logits, nan_to_closed{}});
        logits.each(g, [&](index_t, V& z) {  // without branches; NaN is not above -inf either
          V const score = score_of(s.r.score, m, z);
          z = z > -infinity<V> ? score : -infinity<V>;
        });
      }
      if (own.size > 0) {
        g.sync();
        take_best(g, memory_row<V const>{x, s.experts()}, own);
        logits.each(g, [&](index_t e, V& z) {
          bool mine = false;
          for (auto const id : own) mine = mine || id == e;
          key[e] = mine ? z : -infinity<V>;
        });
        g.sync();
        logits.each(g, [&](index_t e, V& z) { z = key[e]; });
      }
    }
    g.sync();
    for (index_t e = g.rank(); e < s.experts(); e += g.size())
      for (offset_t i = 0; i < count; ++i) s.columns[e * s.stride + first + i] = block[i * s.experts() + e];
    g.sync();
  }
};

// Rows: (segment, expert). Chooses tokens and weighs them.
template <class R, class T, class H, class W>
struct choose_tokens {
  static constexpr bool long_rows = true;  // an executor may give such a row more lanes
  using V = compute_t<T>;
  expert_choice_state<R, T, H> s;
  expert_routing_view<W> out;

  offset_t scratch_bytes() const { return aligned_bytes<V>(out.tokens.cols); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t row, scratch space) const {
    offset_t const segment = row / s.experts();
    auto const column = s.column(static_cast<index_t>(row % s.experts()), segment);
    offset_t const wanted = s.r.select.tokens_per_expert(column.size(), s.experts());
    offset_t const n = wanted < out.tokens.cols ? wanted : out.tokens.cols;
    row_view<offset_t> const picks{out.tokens[row].data, n};
    row_view<V> const chosen{space.take<V>(out.tokens.cols), n};
    if (s.axis() == score_axis::experts) {
      s.r.select(g, memory_row<V const>{column.data, column.count}, picks);
      weigh(g, picks, chosen, out.weights[row], [&](offset_t p) { return column.at(static_cast<index_t>(p)); });
    } else {
      auto const m = summarize(s.r.score, g, mapped_row{column, nan_to_closed{}});
      auto const score = [&](index_t, V z) {
        return is_nan(z) || z == -infinity<V> ? -infinity<V> : score_of(s.r.score, m, z);
      };
      auto const scores = mapped_row{column, score};
      s.r.select(g, scores, picks);
      weigh(g, picks, chosen, out.weights[row], [&](offset_t p) { return scores.at(static_cast<index_t>(p)); });
    }
    for (offset_t j = g.rank(); j < out.tokens.cols; j += g.size()) {
      bool const here = j < n && out.tokens[row][j] >= 0;
      out.tokens[row][j] = here ? s.token_at[s.start[segment] + out.tokens[row][j]] : offset_t{-1};
      if (!here) out.weights[row][j] = W(0);
    }
    g.sync();
  }

 private:
  template <class G, class Score>
  MOEROUTE_HD void weigh(G const& g, row_view<offset_t> picks, row_view<V> chosen, row_view<W> weights,
                         Score const& score) const {
    for (offset_t j = g.rank(); j < picks.size; j += g.size())
      chosen[j] = picks[j] < 0 ? V(absent_of<decltype(s.r.weigh)>) : score(picks[j]);
    g.sync();
    if (g.rank() == 0) s.r.weigh(chosen);
    g.sync();
    for (offset_t j = g.rank(); j < picks.size; j += g.size()) weights[j] = static_cast<W>(chosen[j]);
  }
};

// Rows: (segment, expert). The column becomes the gradient of its scores (axis experts) or logits (axis tokens).
template <class R, class T, class H, class W>
struct choose_tokens_backward {
  static constexpr bool long_rows = true;
  using V = compute_t<T>;
  expert_choice_state<R, T, H> s;
  matrix_view<offset_t const> tokens;
  matrix_view<W const> d_weights;

  offset_t scratch_bytes() const { return 2 * aligned_bytes<V>(tokens.cols); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t row, scratch space) const {
    offset_t const segment = row / s.experts(), first = s.start[segment], k = tokens.cols;
    auto const column = s.column(static_cast<index_t>(row % s.experts()), segment);
    row_view<V> const chosen{space.take<V>(k), k}, d{space.take<V>(k), k};
    auto const place = [&](offset_t j) {
      offset_t const t = tokens[row][j];
      offset_t const p = t < 0 ? -1 : s.place_of[t] - first;
      return p >= 0 && p < column.size() ? static_cast<index_t>(p) : index_t{-1};
    };
    auto const m = summarize(s.r.score, g, mapped_row{column, nan_to_closed{}});
    auto const score = [&](V z) {
      return s.axis() == score_axis::experts ? closed_if_nan(z) : score_of(s.r.score, m, closed_if_nan(z));
    };
    for (offset_t j = g.rank(); j < k; j += g.size()) {
      index_t const p = place(j);
      chosen[j] = p < 0 ? V(absent_of<decltype(s.r.weigh)>) : score(column.at(p));
      d[j] = p < 0 ? V(0) : static_cast<V>(d_weights[row][j]);
    }
    g.sync();
    V dot = 0;
    if (g.rank() == 0) s.r.weigh.backward(row_view<V const>(chosen), d);
    g.sync();
    if (s.axis() == score_axis::tokens) {
      for (offset_t j = 0; j < k; ++j)
        if (place(j) >= 0) dot = math::fma(chosen[j], d[j], dot);
      g.sync();
      // The pull back is linear in (d, dot): the picks' own part first, while the column still holds logits.
      for (offset_t j = g.rank(); j < k; j += g.size())
        if (index_t const p = place(j); p >= 0)
          d[j] = column.at(p) > -infinity<V> ? pull_back(s.r.score, m, column.at(p), chosen[j], d[j], V(0)) : V(0);
      g.sync();
      column.each(g, [&](index_t, V& z) {
        V const x = closed_if_nan(z);
        z = x == -infinity<V> ? V(0) : pull_back(s.r.score, m, x, score_of(s.r.score, m, x), V(0), dot);
      });
      g.sync();
      for (offset_t j = g.rank(); j < k; j += g.size())
        if (index_t const p = place(j); p >= 0) column.data[p] += d[j];
    } else {
      column.each(g, [](index_t, V& z) { z = 0; });
      g.sync();
      for (offset_t j = g.rank(); j < k; j += g.size())
        if (index_t const p = place(j); p >= 0) column.data[p] = d[j];
    }
    g.sync();
  }
};

// Rows: tokens. From the columns of gradients to d logits.
template <class R, class T, class H, class D>
struct columns_to_logits {
  using V = compute_t<T>;
  expert_choice_state<R, T, H> s;
  matrix_view<D> d_logits;

  offset_t scratch_bytes() const { return aligned_bytes<V>(s.experts()); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch space) const {
    offset_t const p = s.place_of[t];
    row_view<D> const out = d_logits[t];
    if (p < 0) {
      for (offset_t e = g.rank(); e < out.size; e += g.size()) out[e] = D(0);
      return g.sync();
    }
    V* const x = space.take<V>(s.experts());
    auto const logits = prepared_row(s.r, s.in, g, t, x);
    g.sync();
    auto const grad = [&](index_t e) { return s.columns[e * s.stride + p]; };
    row_context const c = s.in.context(t);
    bool const by_row = s.axis() == score_axis::experts;
    auto const m = summarize(s.r.score, g, mapped_row{logits, nan_to_closed{}});
    V dot = 0;
    if (by_row)
      for (index_t e = 0; e < s.experts(); ++e)
        if (V const d = grad(e); d != V(0)) dot = math::fma(score_of(s.r.score, m, closed_if_nan(x[e])), d, dot);
    logits.each(g, [&](index_t e, V z0) {
      V const z = closed_if_nan(z0);
      V d = V(0);
      if (z != -infinity<V>) {
        d = by_row ? pull_back(s.r.score, m, z, score_of(s.r.score, m, z), grad(e), dot) : grad(e);
        if constexpr (requires { s.r.prior.derivative(c, e, z); }) d *= s.r.prior.derivative(c, e, z);
      }
      out[e] = static_cast<D>(d);
    });
    g.sync();
  }
};

template <class V>
offset_t expert_choice_bytes(offset_t tokens, index_t experts, offset_t segments) {
  return aligned_bytes<offset_t>(segments + 1) + 2 * aligned_bytes<offset_t>(tokens) +
         aligned_bytes<V>(experts * expert_choice_state<router<>, V, V>::padded(tokens)) + workspace_alignment;
}
template <class R, class T, class H>
expert_choice_state<R, T, H> expert_choice_arrays(R const& r, batch<T, H> const& in, offset_t segments, workspace& w) {
  using V = compute_t<T>;
  offset_t const tokens = in.logits.rows, stride = expert_choice_state<R, T, H>::padded(tokens);
  offset_t const bytes = expert_choice_bytes<V>(tokens, static_cast<index_t>(in.logits.cols), segments);
  scratch s = aligned_scratch(w);
  expert_choice_state<R, T, H> state{r, in, {s.take<offset_t>(segments + 1), segments + 1}, {}, {}, nullptr, stride};
  state.token_at = {s.take<offset_t>(tokens), tokens};
  state.place_of = {s.take<offset_t>(tokens), tokens};
  state.columns = s.take<V>(in.logits.cols * stride);
  w = {w.data + bytes, w.bytes - bytes};
  return state;
}
template <class X, class R, class T, class H>
status order_and_score(X const& x, expert_choice_state<R, T, H> const& s, workspace rest) {
  if (status const bad = validate_modalities(x, s.r, s.in); !bad.ok()) return bad;
  auto ties = tie_rule::index;
  std::uint64_t secret = 0;
  if constexpr (requires { s.r.select.ties; }) ties = s.r.select.ties, secret = s.r.select.secret;
  order_tokens<T, H> const order{s.in, scope_of<decltype(R::select)>, ties, secret, s.start, s.token_at, s.place_of};
  if (status const bad = x.run(1, order, rest); !bad.ok()) return bad;
  return x.run((s.in.logits.rows + choice_block - 1) / choice_block, score_columns<R, T, H>{s}, rest);
}
template <class R, class T, class H, class M>
status validate_experts(R const& r, batch<T, H> const& in, M const& tokens) {
  checks c;
  c.also(validate(r, in));
  if (!c.result().ok()) return c.result();
  c.divides("batch.logits columns (experts)", in.logits.cols, tokens.rows).strided("out.tokens", tokens);
  if (scope_of<decltype(R::select)> == choice_scope::batch) c.must_be("out.tokens rows", tokens.rows, in.logits.cols);
  if (scope_of<decltype(R::select)> == choice_scope::sequence)
    c.must_be("batch.sequence size (the scope needs it)", in.sequence.size, in.logits.rows, errc::missing);
  if (scope_of<decltype(R::select)> == choice_scope::group)
    c.must_be("batch.group size (the scope needs it)", in.group.size, in.logits.rows, errc::missing);
  return c.result();
}

}  // namespace detail

// Bytes for `route_experts` and its backward. `capacity`: columns of the output.
template <executor X, expert_choice_router R, class T = float>
offset_t route_experts_workspace_bytes(X const& x, R const& r, offset_t tokens, index_t experts, offset_t segments,
                                       offset_t capacity) {
  using V = compute_t<T>;
  index_t within = 0;
  if constexpr (requires { r.select.within; }) within = r.select.within;
  offset_t const scores = (detail::choice_block + 1) * aligned_bytes<V>(experts) + aligned_bytes<index_t>(within);
  offset_t const picks = 2 * aligned_bytes<V>(capacity);
  return detail::expert_choice_bytes<V>(tokens, experts, segments) +
         x.workspace_bytes(scores > picks ? scores : picks);
}

// Every expert chooses its tokens. Segments = rows of the output / experts; sequence or group numbers at or past
// that are left out, as padding is.
template <executor X, expert_choice_router R, class T, class H, class W>
status try_route_experts(X const& x, R const& r, batch<T, H> const& in, expert_routing_view<W> out,
                         workspace w) noexcept {
  static_assert(is_none<decltype(R::bias)>, "route_experts: a bias per expert changes nothing inside one expert's column");
  checks c;
  c.also(detail::validate_experts(r, in, out.tokens)).strided("out.weights", out.weights);
  c.must_be("out.weights rows", out.weights.rows, out.tokens.rows);
  c.must_be("out.weights columns", out.weights.cols, out.tokens.cols);
  if (!c.result().ok()) return c.result();
  offset_t const segments = out.tokens.rows / in.logits.cols;
  c.also(workspace_ok(w, route_experts_workspace_bytes<X, R, T>(x, r, in.logits.rows, static_cast<index_t>(in.logits.cols),
                                                                segments, out.tokens.cols)));
  if (!c.result().ok()) return c.result();
  auto const state = detail::expert_choice_arrays(r, in, segments, w);
  if (status const s = detail::order_and_score(x, state, w); !s.ok()) return s;
  return x.run(out.tokens.rows, detail::choose_tokens<R, T, H, W>{state, out}, w);
}

// From d weights to d logits for fixed picks; every row of d_logits is written.
template <executor X, expert_choice_router R, class T, class H, class W, class D>
status try_route_experts_backward(X const& x, R const& r, batch<T, H> const& in, matrix_view<offset_t const> tokens,
                                  matrix_view<W> d_weights, matrix_view<D> d_logits, workspace w) noexcept {
  static_assert(differentiable_score<decltype(R::score)> && differentiable_weigh<decltype(R::weigh)>,
                "route_experts_backward: router.score or router.weigh has no backward");
  checks c;
  c.also(detail::validate_experts(r, in, tokens)).must_be("d_weights rows", d_weights.rows, tokens.rows);
  c.must_be("d_weights columns", d_weights.cols, tokens.cols).must_be("d_logits rows", d_logits.rows, in.logits.rows);
  c.must_be("d_logits columns", d_logits.cols, in.logits.cols).strided("d_logits", d_logits);
  if (!c.result().ok()) return c.result();
  offset_t const segments = tokens.rows / in.logits.cols;
  c.also(workspace_ok(w, route_experts_workspace_bytes<X, R, T>(x, r, in.logits.rows, static_cast<index_t>(in.logits.cols),
                                                                segments, tokens.cols)));
  if (!c.result().ok()) return c.result();
  auto const state = detail::expert_choice_arrays(r, in, segments, w);
  if (status const s = detail::order_and_score(x, state, w); !s.ok()) return s;
  using Wt = std::remove_const_t<W>;
  status const s = x.run(tokens.rows, detail::choose_tokens_backward<R, T, H, Wt>{state, tokens, d_weights}, w);
  if (!s.ok()) return s;
  return x.run(in.logits.rows, detail::columns_to_logits<R, T, H, D>{state, d_logits}, w);
}

template <executor X, expert_choice_router R, class T, class H, class W>
void route_experts(X const& x, R const& r, batch<T, H> const& in, expert_routing_view<W> out, workspace w) {
  throw_if_bad(try_route_experts(x, r, in, out, w));
}
template <executor X, expert_choice_router R, class T, class H, class W, class D>
void route_experts_backward(X const& x, R const& r, batch<T, H> const& in, matrix_view<offset_t const> tokens,
                            matrix_view<W> d_weights, matrix_view<D> d_logits, workspace w) {
  throw_if_bad(try_route_experts_backward(x, r, in, tokens, d_weights, d_logits, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
