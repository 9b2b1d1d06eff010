// Decides what an expert does with its column: it picks tokens and weighs them, and sends the gradient of the weights
// back through the column to the logits.
#pragma once

#include <moeroute/select/expert_columns.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Where an expert-choice router writes: row s * experts + e holds the picks of expert e in segment s (one segment
// with batch scope); the columns are the most tokens an expert may take. Unused places: token -1, weight 0.
template <class W>
struct expert_routing_view {
  matrix_view<offset_t> tokens{};
  matrix_view<W> weights{};
};

namespace detail {

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

}  // namespace detail
}  // namespace moeroute::inline MOEROUTE_ABI
