// Decides how terms and statistics meet a batch: one pass over the tokens that sums, one that adds gradients.
//
//   observe(x, router, batch, ids, sums, w)           sums += this batch
//   loss_value(router.regularize, experts, sums)      after merging what is to be merged
//   add_gradient(x, router, batch, ids, sums, d_logits, w)
//
// All terms of a router share one pass over the logits. A term may also stand alone, given instead of the
// router's field, and a matrix instead of the router and its batch (given.hpp).
#pragma once

#include <moeroute/loss/detail/token_pass.hpp>
#include <moeroute/loss/given.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {

template <class P, class R, class T, class H, class Id>
status validate_terms(P const& term, R const& r, batch<T, H> const& in, matrix_view<Id> ids, offset_t sums) {
  index_t const experts = static_cast<index_t>(in.logits.cols);
  checks c;
  c.also(validate(r, in)).must_be("sums size", sums, term.sums(experts));
  if (ids.rows != 0 || wants_ids(term)) c.must_be("ids rows", ids.rows, in.logits.rows);
  return c.strided("ids", ids).also(experts_fit(term, experts)).result();
}

}  // namespace detail

// ---- workspace ---------------------------------------------------------------------------------------------

template <executor X, statistic P, element T = float>
offset_t observe_workspace_bytes(X const& x, P const& term, offset_t tokens, index_t experts) {
  return token_sums_workspace_bytes<wide_sum>(x, tokens, term.sums(experts), 2 * aligned_bytes<compute_t<T>>(experts));
}
template <executor X, loss_term P, element T = float>
offset_t add_gradient_workspace_bytes(X const& x, P const& term, offset_t, index_t experts) {
  return x.workspace_bytes(4 * aligned_bytes<compute_t<T>>(experts)) +
         aligned_bytes<double>(term.coefficients(experts)) + workspace_alignment;
}

// ---- the verbs ---------------------------------------------------------------------------------------------

template <executor X, statistic P, any_router R, class T, class H, class Id>
status try_observe(X const& x, P const& term, R const& r, batch<T, H> const& in, matrix_view<Id> ids,
                   row_view<wide_sum> sums, workspace w) noexcept {
  static_assert(!(wants_logits<P> && detail::gives_scores<R>), "this term is made of logits: give from_logits");
  if (status const s = detail::validate_terms(term, r, in, ids, sums.size); !s.ok()) return s;
  using I = std::remove_const_t<Id>;
  return try_sum_over_tokens<wide_sum>(x, in.logits.rows, sums, detail::observe_token<R, P, T, H, I>{r, term, in, ids},
                                       w);
}
// L into memory that the executor can write; for the CPU, loss_value is enough.
template <executor X, loss_term P>
status try_loss_value(X const& x, P const& term, index_t experts, row_view<wide_sum const> sums, double* value,
                      workspace w) noexcept {
  checks c;
  c.must_be("sums size", sums.size, term.sums(experts));
  if (!c.result().ok()) return c.result();
  return x.run(1, detail::finish_term<P>{term, experts, sums, row_view<double>{}, value}, w);
}
// d_logits += scale * dL/dlogits for the valid rows of this batch; `sums` may hold other batches too.
template <executor X, loss_term P, any_router R, class T, class H, class Id, class D>
status try_add_gradient(X const& x, P const& term, R const& r, batch<T, H> const& in, matrix_view<Id> ids,
                        row_view<wide_sum const> sums, matrix_view<D> d_logits, workspace w,
                        double scale = 1) noexcept {
  static_assert(!(wants_logits<P> && detail::gives_scores<R>), "this term is made of logits: give from_logits");
  static_assert(differentiable_score<decltype(R::score)>,
                "add_gradient: router.score has no derivative (elementwise) or pull_back (summary)");
  index_t const experts = static_cast<index_t>(in.logits.cols);
  checks c;
  c.also(detail::validate_terms(term, r, in, ids, sums.size));
  c.must_be("d_logits rows", d_logits.rows, in.logits.rows).must_be("d_logits columns", d_logits.cols, experts);
  c.strided("d_logits", d_logits);
  c.also(workspace_ok(w, add_gradient_workspace_bytes<X, P, T>(x, term, in.logits.rows, experts)));
  if (!c.result().ok() || in.logits.empty()) return c.result();
  scratch mine = aligned_scratch(w);
  offset_t const n = term.coefficients(experts);
  row_view<double> const coefficients{mine.take<double>(n), n};
  workspace const rest{mine.at, w.bytes - (mine.at - w.data)};
  status const s = x.run(1, detail::finish_term<P>{term, experts, sums, coefficients, nullptr}, rest);
  if (!s.ok()) return s;
  using I = std::remove_const_t<Id>;
  return x.run(in.logits.rows,
               detail::add_gradient_token<R, P, T, H, I, D>{r, term, in, ids, coefficients, d_logits, scale}, rest);
}

// ---- through the router's own field, through a typed matrix, and throwing ------------------------------------

template <executor X, any_router R, class T, class H, class Id>
status try_observe(X const& x, R const& r, batch<T, H> const& in, matrix_view<Id> ids, row_view<wide_sum> sums,
                   workspace w) noexcept {
  return try_observe(x, r.regularize, r, in, ids, sums, w);
}
template <executor X, any_router R, class T, class H, class Id, class D>
status try_add_gradient(X const& x, R const& r, batch<T, H> const& in, matrix_view<Id> ids,
                        row_view<wide_sum const> sums, matrix_view<D> d_logits, workspace w,
                        double scale = 1) noexcept {
  return try_add_gradient(x, r.regularize, r, in, ids, sums, d_logits, w, scale);
}

template <executor X, statistic P, detail::typed_matrix M, class Id>
status try_observe(X const& x, P const& term, M const& m, matrix_view<Id> ids, row_view<wide_sum> sums,
                   workspace w) noexcept {
  return try_observe(x, term, detail::router_of(m), detail::batch_of(m), ids, sums, w);
}
template <executor X, loss_term P, detail::typed_matrix M, class Id, class D>
status try_add_gradient(X const& x, P const& term, M const& m, matrix_view<Id> ids, row_view<wide_sum const> sums,
                        matrix_view<D> d, workspace w, double scale = 1) noexcept {
  return try_add_gradient(x, term, detail::router_of(m), detail::batch_of(m), ids, sums, d, w, scale);
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
