// Decides how terms and statistics meet a batch: one pass over the tokens that sums, one that adds gradients.
//
//   observe(x, router, batch, ids, sums, w)           sums += this batch
//   loss_value(router.regularize, experts, sums)      after merging what is to be merged
//   add_gradient(x, router, batch, ids, sums, d_logits, w)
//
// All terms of a router share one pass over the logits. A term may also stand alone, given instead of the
// router's field; `from_logits` and `from_scores` say by type what a matrix holds, so that nothing is put
// through softmax twice.
#pragma once

#include <moeroute/loss/term.hpp>
#include <moeroute/route.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Scores as they are: for from_scores only.
struct given_scores {
  static constexpr bool strictly_increasing = true, sums_to_one = true, are_given = true;
  template <class V>
  MOEROUTE_HD V operator()(V x) const {
    return x == -infinity<V> ? V(0) : x;
  }
  template <class V>
  MOEROUTE_HD V derivative(V, V) const {
    return V(1);
  }
};
// A matrix of logits (tokens x experts) and the score that turns them into probabilities.
template <element T, class Score = softmax>
struct from_logits {
  matrix_view<T const> logits{};
  [[no_unique_address]] Score score{};
  row_view<std::uint8_t const> valid{};
};
template <class T, class... More>
from_logits(matrix_view<T>, More...) -> from_logits<std::remove_const_t<T>>;
template <class T, score_policy S>
from_logits(matrix_view<T>, S) -> from_logits<std::remove_const_t<T>, S>;
template <class T, score_policy S, class M>
from_logits(matrix_view<T>, S, M) -> from_logits<std::remove_const_t<T>, S>;
// A matrix of scores (tokens x experts): taken as they are, gradients are d_scores.
template <element T>
struct from_scores {
  matrix_view<T const> scores{};
  row_view<std::uint8_t const> valid{};
};
template <class T, class... More>
from_scores(matrix_view<T>, More...) -> from_scores<std::remove_const_t<T>>;

namespace detail {

template <class R>
inline constexpr bool gives_scores =
    requires { std::remove_cvref_t<decltype(R::score)>::are_given; };

// Scratch of one token: logits, scores and, for gradients, their two gradient rows.
template <class V, class R, class T, class H, class Id, class G>
MOEROUTE_HD auto token_row_of(R const& r, batch<T, H> const& in, matrix_view<Id const> ids,
                              G const& g, offset_t t, V* x, V* y) {
  memory_row<V> const logits = prepared_row(r, in, g, t, x);
  logits.each(g, [&](index_t, V& z) { z = closed_if_nan(z); });
  g.sync();
  auto const m = summarize(r.score, g, logits);
  memory_row<V> const scores{y, logits.count};
  scores.each(g, [&](index_t e, V& s) {
    V const p = score_of(r.score, m, x[e]);
    s = p == -infinity<V> ? V(0) : p;
  });
  g.sync();
  using score = std::remove_cvref_t<decltype(R::score)>;
  struct result {
    token_row<V, Id, score> row;
    decltype(m) summary;
  };
  result out{{}, m};
  out.row.t = t;
  out.row.context = in.context(t);
  out.row.experts = logits.count;
  out.row.logits = logits;
  out.row.scores = scores;
  if (ids.rows > 0) out.row.ids = ids[t];
  if constexpr (std::same_as<score, softmax>) out.row.shared = m;
  return out;
}

template <class R, class P, class T, class H, class Id>
struct observe_token {
  using V = compute_t<T>;
  R r;
  P term;
  batch<T, H> in;
  matrix_view<Id const> ids;
  offset_t scratch_bytes() const { return 2 * aligned_bytes<V>(in.logits.cols); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, row_view<wide_sum> sums, scratch s) const {
    if (!in.is_valid(t)) return;
    V* const x = s.take<V>(in.logits.cols);
    V* const y = s.take<V>(in.logits.cols);
    auto const seen = token_row_of<V>(r, in, ids, g, t, x, y);
    term.observe(g, seen.row, sums);
  }
};

template <class P>
struct finish_term {
  P term;
  index_t experts;
  row_view<wide_sum const> sums;
  row_view<double> coefficients;
  double* value;  // or null
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    double const v = term.finish(g, experts, sums, coefficients);
    if (g.rank() == 0 && value != nullptr) *value = v;
    g.sync();
  }
};

template <class R, class P, class T, class H, class Id, class D>
struct add_gradient_token {
  using V = compute_t<T>;
  R r;
  P term;
  batch<T, H> in;
  matrix_view<Id const> ids;
  row_view<double const> coefficients;
  matrix_view<D> d_logits;
  double scale;
  offset_t scratch_bytes() const { return 4 * aligned_bytes<V>(in.logits.cols); }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    if (!in.is_valid(t)) return;
    V* const x = s.take<V>(in.logits.cols);
    V* const y = s.take<V>(in.logits.cols);
    V* const ds = s.take<V>(in.logits.cols);
    V* const dz = s.take<V>(in.logits.cols);
    auto seen = token_row_of<V>(r, in, ids, g, t, x, y);
    seen.row.d_scores = memory_row<V>{ds, seen.row.experts};
    seen.row.d_logits = memory_row<V>{dz, seen.row.experts};
    seen.row.d_scores.each(g, [&](index_t e, V& d) { d = V(0), dz[e] = V(0); });
    g.sync();
    term.add_gradient(g, seen.row, coefficients);
    g.sync();
    V dot = V(0);
    if constexpr (!elementwise_score<std::remove_cvref_t<decltype(R::score)>>)
      dot = tree_sum<V>(g, seen.row.experts, [&](offset_t e) { return math::mul(y[e], ds[e]); });
    row_view<D> const out = d_logits[t];
    seen.row.logits.each(g, [&](index_t e, V z) {
      if (z == -infinity<V>) return;
      V d = pull_back(r.score, seen.summary, z, y[e], ds[e], dot) + dz[e];
      if constexpr (requires { r.prior.derivative(seen.row.context, e, z); })
        d *= r.prior.derivative(seen.row.context, e, z);
      out[e] = static_cast<D>(static_cast<V>(out[e]) + static_cast<V>(scale) * d);
    });
    g.sync();
  }
};

template <class P, class R, class T, class H, class Id>
status validate_terms(P const& term, R const& r, batch<T, H> const& in, matrix_view<Id> ids,
                      offset_t sums) {
  index_t const experts = static_cast<index_t>(in.logits.cols);
  checks c;
  c.also(validate(r, in)).must_be("sums size", sums, term.sums(experts));
  if (ids.rows != 0 || wants_ids(term)) c.must_be("ids rows", ids.rows, in.logits.rows);
  c.strided("ids", ids);
  if constexpr (validates<P>) c.also(term.validate(experts));
  return c.result();
}

}  // namespace detail

// ---- workspace ---------------------------------------------------------------------------------------------

template <executor X, statistic P, element T = float>
offset_t observe_workspace_bytes(X const& x, P const& term, offset_t tokens, index_t experts) {
  return token_sums_workspace_bytes<wide_sum>(x, tokens, term.sums(experts),
                                              2 * aligned_bytes<compute_t<T>>(experts));
}
template <executor X, loss_term P, element T = float>
offset_t add_gradient_workspace_bytes(X const& x, P const& term, offset_t, index_t experts) {
  return x.workspace_bytes(4 * aligned_bytes<compute_t<T>>(experts)) +
         aligned_bytes<double>(term.coefficients(experts)) + workspace_alignment;
}

// ---- the verbs ---------------------------------------------------------------------------------------------

template <executor X, statistic P, any_router R, class T, class H, class Id>
status try_observe(X const& x, P const& term, R const& r, batch<T, H> const& in,
                   matrix_view<Id> ids, row_view<wide_sum> sums, workspace w) noexcept {
  static_assert(!(wants_logits<P> && detail::gives_scores<R>),
                "this term is made of logits: give from_logits");
  if (status const s = detail::validate_terms(term, r, in, ids, sums.size); !s.ok()) return s;
  using I = std::remove_const_t<Id>;
  return try_sum_over_tokens<wide_sum>(x, in.logits.rows, sums,
                                       detail::observe_token<R, P, T, H, I>{r, term, in, ids}, w);
}
// L into memory that the executor can write; for the CPU, loss_value is enough.
template <executor X, loss_term P>
status try_loss_value(X const& x, P const& term, index_t experts, row_view<wide_sum const> sums,
                      double* value, workspace w) noexcept {
  checks c;
  c.must_be("sums size", sums.size, term.sums(experts));
  if (!c.result().ok()) return c.result();
  return x.run(1, detail::finish_term<P>{term, experts, sums, row_view<double>{}, value}, w);
}
// d_logits += scale * dL/dlogits for the valid rows of this batch; `sums` may hold other batches too.
template <executor X, loss_term P, any_router R, class T, class H, class Id, class D>
status try_add_gradient(X const& x, P const& term, R const& r, batch<T, H> const& in,
                        matrix_view<Id> ids, row_view<wide_sum const> sums, matrix_view<D> d_logits,
                        workspace w, double scale = 1) noexcept {
  static_assert(!(wants_logits<P> && detail::gives_scores<R>),
                "this term is made of logits: give from_logits");
  static_assert(
      differentiable_score<decltype(R::score)>,
      "add_gradient: router.score has no derivative (elementwise) or pull_back (summary)");
  index_t const experts = static_cast<index_t>(in.logits.cols);
  checks c;
  c.also(detail::validate_terms(term, r, in, ids, sums.size));
  c.must_be("d_logits rows", d_logits.rows, in.logits.rows)
      .must_be("d_logits columns", d_logits.cols, experts);
  c.strided("d_logits", d_logits);
  c.also(workspace_ok(w, add_gradient_workspace_bytes<X, P, T>(x, term, in.logits.rows, experts)));
  if (!c.result().ok() || in.logits.empty()) return c.result();
  scratch mine = aligned_scratch(w);
  offset_t const n = term.coefficients(experts);
  row_view<double> const coefficients{mine.take<double>(n), n};
  workspace const rest{mine.at, w.bytes - (mine.at - w.data)};
  status const s =
      x.run(1, detail::finish_term<P>{term, experts, sums, coefficients, nullptr}, rest);
  if (!s.ok()) return s;
  using I = std::remove_const_t<Id>;
  return x.run(
      in.logits.rows,
      detail::add_gradient_token<R, P, T, H, I, D>{r, term, in, ids, coefficients, d_logits, scale},
      rest);
}

// ---- through the router's own field, through a typed matrix, and throwing ------------------------------------

template <executor X, any_router R, class T, class H, class Id>
status try_observe(X const& x, R const& r, batch<T, H> const& in, matrix_view<Id> ids,
                   row_view<wide_sum> sums, workspace w) noexcept {
  return try_observe(x, r.regularize, r, in, ids, sums, w);
}
template <executor X, any_router R, class T, class H, class Id, class D>
status try_add_gradient(X const& x, R const& r, batch<T, H> const& in, matrix_view<Id> ids,
                        row_view<wide_sum const> sums, matrix_view<D> d_logits, workspace w,
                        double scale = 1) noexcept {
  return try_add_gradient(x, r.regularize, r, in, ids, sums, d_logits, w, scale);
}

namespace detail {
template <class T, class S>
auto router_of(from_logits<T, S> const& m) {
  return router<no_gate, no_prior, S>{.score = m.score};
}
template <class T>
auto router_of(from_scores<T> const&) {
  return router<no_gate, no_prior, given_scores>{};
}
template <class T, class S>
batch<T> batch_of(from_logits<T, S> const& m) {
  batch<T> b;
  b.logits = m.logits, b.valid = m.valid;
  return b;
}
template <class T>
batch<T> batch_of(from_scores<T> const& m) {
  batch<T> b;
  b.logits = m.scores, b.valid = m.valid;
  return b;
}
template <class M>
concept typed_matrix = requires(M const& m) { router_of(m), batch_of(m); };
}  // namespace detail

template <executor X, statistic P, detail::typed_matrix M, class Id>
status try_observe(X const& x, P const& term, M const& m, matrix_view<Id> ids,
                   row_view<wide_sum> sums, workspace w) noexcept {
  return try_observe(x, term, detail::router_of(m), detail::batch_of(m), ids, sums, w);
}
template <executor X, loss_term P, detail::typed_matrix M, class Id, class D>
status try_add_gradient(X const& x, P const& term, M const& m, matrix_view<Id> ids,
                        row_view<wide_sum const> sums, matrix_view<D> d, workspace w,
                        double scale = 1) noexcept {
  return try_add_gradient(x, term, detail::router_of(m), detail::batch_of(m), ids, sums, d, w,
                          scale);
}

template <executor X, class... A>
void observe(X const& x, A const&... a) {
  throw_if_bad(try_observe(x, a...));
}
template <executor X, class... A>
void add_gradient(X const& x, A const&... a) {
  throw_if_bad(try_add_gradient(x, a...));
}

}  // namespace moeroute::inline MOEROUTE_ABI
