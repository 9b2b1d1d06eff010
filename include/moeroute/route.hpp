// Decides how one token is routed: logits to scores to keys to chosen experts to weights. One body for every
// executor; the verb checks shapes and runs it. The gradient back: route_backward.hpp.
#pragma once

#include <moeroute/batch.hpp>
#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/fits.hpp>
#endif

namespace moeroute::inline MOEROUTE_ABI {

#if defined(MOEROUTE_SIMD)
namespace simd {  // cpu/simd/route_rows.hpp, included below
template <class Body>
void route_rows(Body const&, offset_t first, offset_t last, scratch);
template <class Select>
offset_t rows_scratch_bytes(Select const&, index_t experts);
}  // namespace simd
#endif

// Bytes one row of route and its backward need, and several rows on the vector path.
template <class V>
offset_t route_scratch_bytes(offset_t experts, offset_t k) {
  return 2 * aligned_bytes<V>(experts) + 2 * aligned_bytes<V>(k);
}
template <class V, class R>
offset_t route_rows_scratch_bytes(R const& r, offset_t experts) {
#if defined(MOEROUTE_SIMD)
  if constexpr (simd::fits<R, V>) {
    offset_t const one = route_scratch_bytes<V>(experts, r.select.experts_per_token());
    return one + simd::rows_scratch_bytes(r.select, static_cast<index_t>(experts));
  }
#endif
  static_cast<void>(r), static_cast<void>(experts);
  return 0;
}

template <class R, class T, class H, class Id, class W>
struct route_row {
  using V = compute_t<T>;
  R r;
  batch<T, H> in;
  routing_view<Id, W> out;

  offset_t scratch_bytes() const { return route_scratch_bytes<V>(in.logits.cols, out.ids.cols); }
#if defined(MOEROUTE_SIMD)
  offset_t rows_scratch_bytes() const
    requires simd::fits<R, V>
  {
    return route_rows_scratch_bytes<V>(r, in.logits.cols);
  }
  void rows(offset_t first, offset_t last, scratch s) const
    requires simd::fits<R, V>
  {
    simd::route_rows(*this, first, last, s);
  }
#endif
  // A row that chooses nobody.
  template <class G>
  MOEROUTE_HD void nobody(G const& g, offset_t t) const {
    for (offset_t j = g.rank(); j < out.ids.cols; j += g.size()) {
      out.ids[t][j] = no_expert_of<Id>;
      out.weights[t][j] = W(0);
    }
    if (!out.scores.empty())
      for (offset_t e = g.rank(); e < out.scores.cols; e += g.size()) out.scores[t][e] = W(0);
    g.sync();
  }
  // Whether the weights need no sum over the row: it cancels, and the best expert is always chosen.
  MOEROUTE_HD bool ratios_suffice() const {
    if constexpr (ranks_logits<R> && takes_best<decltype(R::select)> &&
                  requires(serial_group g, memory_row<V> z) { r.score.summarize_ratios(g, z); })
      return cancels_scale(r.weigh, out.ids.cols);
    else return false;
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G, class Row>
  MOEROUTE_HD auto summary(G const& g, Row const& z) const {
    if constexpr (requires { r.score.summarize_ratios(g, z); }) {
      if (ratios_suffice()) return r.score.summarize_ratios(g, z);
    }
    return summarize(r.score, g, z);
  }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    row_view<Id> const ids = out.ids[t];
    row_view<W> const weights = out.weights[t];
    if (!knows_row(r, in, t)) return nobody(g, t);

    V* const x = s.take<V>(in.logits.cols);
    V* const y = s.take<V>(in.logits.cols);
    row_view<V> const chosen{s.take<V>(ids.size), ids.size};
    auto const logits = detail::prepared_row(r, in, g, t, x);
    bool bad = false;
    if (in.nan != nan_rule::rank_last) {
      logits.each(g, [&](index_t, V z) { bad = bad || is_nan(z); });
      bad = g.any(bad);
      if (bad && in.nan == nan_rule::drop_row) return nobody(g, t);
    }
    auto const m = summary(g, mapped_row{logits, detail::nan_to_closed{}});
    choose(g, t, m, logits, y, ids);

    if (g.rank() == 0) {
      for (offset_t j = 0; j < ids.size; ++j)
        chosen[j] = carries_weight(r.select, ids[j], in.logits.cols)
                        ? score_of(r.score, m, detail::closed_if_nan(x[ids[j]]))
                        : V(absent_of<decltype(r.weigh)>);
      r.weigh(chosen);
      for (offset_t j = 0; j < ids.size; ++j) {
        V const w = carries_weight(r.select, ids[j], in.logits.cols) ? chosen[j] : V(0);
        weights[j] = static_cast<W>(bad ? not_a_number<V> : w);
      }
    }
    if (!out.scores.empty()) {
      auto const all = summarize(r.score, g, mapped_row{logits, detail::nan_to_closed{}});
      logits.each(g, [&](index_t e, V z) {
        out.scores[t][e] = static_cast<W>(score_of(r.score, all, detail::closed_if_nan(z)));
      });
    }
    g.sync();
  }

 private:
  template <class G, class M>
  MOEROUTE_HD void choose(G const& g, offset_t t, M const& m, memory_row<V> logits, V* y, row_view<Id> ids) const {
    row_context const c = in.context(t);
    if constexpr (ranks_logits<R>) {
      g.sync();
      r.select(g, c, memory_row<V const>{logits.data, logits.count}, ids);
    } else {
      auto const b = r.bias.parameters(c);
      logits.each(g, [&](index_t e, V z) {  // closed stays closed, NaN stays last, whatever the bias
        V key = z;
        if (!is_nan(z) && z != -infinity<V>) {
          key = score_of(r.score, m, z);
          if constexpr (!is_none<decltype(r.bias)>) key = r.bias(key, static_cast<V>(b[e]));
        }
        y[e] = key;
      });
      g.sync();
      r.select(g, c, memory_row<V const>{y, logits.count}, ids);
    }
  }
};

template <token_choice_router R, class T, class H, class Id, class W>
status validate(R const& r, batch<T, H> const& in, routing_view<Id, W> const& out) {
  offset_t const tokens = in.logits.rows, experts = in.logits.cols, k = r.select.experts_per_token();
  if (status const s = validate(r, in); !s.ok()) return s;
  checks c;
  c.must_be("out.ids rows", out.ids.rows, tokens).must_be("out.ids columns", out.ids.cols, k);
  c.must_be("out.weights rows", out.weights.rows, tokens).must_be("out.weights columns", out.weights.cols, k);
  c.strided("out.ids", out.ids).strided("out.weights", out.weights).strided("out.scores", out.scores);
  if (!out.scores.empty())
    c.must_be("out.scores rows", out.scores.rows, tokens).must_be("out.scores columns", out.scores.cols, experts);
  c.at_most("experts for this id type", experts, nameable_experts<Id>, errc::bad_shape);
  return c.result();
}

// ---- the verbs ------------------------------------------------------------------------------------------------

// Bytes of workspace `route` and `route_backward` need; grows with every argument.
template <executor X, any_router R, class T = float>
offset_t route_workspace_bytes(X const& x, R const& r, offset_t tokens, index_t experts) {
  offset_t const k = r.select.experts_per_token();
  offset_t bytes = body_workspace_bytes(x, route_scratch_bytes<compute_t<T>>(experts, k),
                                        route_rows_scratch_bytes<compute_t<T>>(r, experts));
  if constexpr (has_gate<R>)
    bytes += aligned_bytes<compute_t<T>>(tokens * experts) + workspace_alignment + r.gate.workspace_bytes(x, tokens);
  else static_cast<void>(tokens);
  return bytes;
}

namespace detail {
// The logits of a router with a gate, from the hidden states of the batch, in the first part of the workspace.
template <class X, class R, class T, class H>
status gate_logits(X const& x, R const& r, batch<T, H>& in, workspace& w) noexcept {
  if constexpr (has_gate<R>) {
    if (in.logits.empty() && !in.hidden.empty()) {
      index_t const experts = static_cast<index_t>(r.gate.experts());
      offset_t const bytes = aligned_bytes<compute_t<T>>(in.hidden.rows * experts) + workspace_alignment;
      if (status const s = workspace_ok(w, bytes); !s.ok()) return s;
      if constexpr (std::same_as<T, compute_t<T>>) {
        matrix_view<T> const logits{aligned_scratch(w).template take<T>(in.hidden.rows * experts), in.hidden.rows,
                                    experts};
        workspace const rest{w.data + bytes, w.bytes - bytes};
        if (status const s = r.gate(x, in.hidden, logits, rest); !s.ok()) return s;
        in.logits = logits;
        w = rest;
      } else {
        return {errc::unsupported, "batch.logits bits (a gate writes float or double logits)", "must be at least", 16,
                32};
      }
    }
  } else static_cast<void>(x), static_cast<void>(r), static_cast<void>(in), static_cast<void>(w);
  return {};
}
template <executor X, class Body>
status run_route(X const& x, Body const& body, workspace w) noexcept {
  if (status const s = validate(body.r, body.in, body.out); !s.ok()) return s;
  if (status const s = validate_modalities(x, body.r, body.in); !s.ok()) return s;
  return x.run(body.in.logits.rows, body, w);
}
}  // namespace detail

// Chooses experts and weights for every token of the batch. A router with a gate and a batch with hidden
// states computes its logits first, in the workspace.
// Inlined, so that the caller writes the arguments once, where they are checked and the rows read them: a copy would
// be read back in other widths than they were just written, and all the call would wait for it.
template <executor X, token_choice_router R, class T, class H, class Id, class W>
MOEROUTE_INLINE status try_route(X const& x, R const& r, batch<T, H> in, routing_view<Id, W> out,
                                 workspace w) noexcept {
  if (status const s = detail::gate_logits(x, r, in, w); !s.ok()) return s;
  return detail::run_route(x, route_row<R, T, H, Id, W>{r, in, out}, w);
}
template <executor X, token_choice_router R, class Id, class W>
MOEROUTE_INLINE status try_route(X const& x, R const& r, batch<> in, routing_view<Id, W> out, workspace w) noexcept {
  return try_route<X, R, float, float, Id, W>(x, r, in, out, w);
}

template <executor X, token_choice_router R, class T, class H, class Id, class W>
MOEROUTE_INLINE void route(X const& x, R const& r, batch<T, H> const& in, routing_view<Id, W> out, workspace w) {
  throw_if_bad(try_route(x, r, in, out, w));
}
template <executor X, token_choice_router R, class Id, class W>
MOEROUTE_INLINE void route(X const& x, R const& r, batch<> const& in, routing_view<Id, W> out, workspace w) {
  throw_if_bad(try_route(x, r, in, out, w));
}
}  // namespace moeroute::inline MOEROUTE_ABI

#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/route_rows.hpp>
#endif
