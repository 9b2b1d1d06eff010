// Decides the price of routing that does not look like draws of a Dirichlet prior: for each expert the sorted
// probabilities p_(1) <= ... <= p_(n) of the batch should have the ranks that the prior gives them,
//   L = lambda sum_e sum_j (j / (n + 1) - F_e(p_(j)))^2,   F_e the Beta(alpha_e, sum alpha - alpha_e) CDF;
// the gradient goes through F, none through the ranks. alpha < 1: sharp and balanced; alpha per expert: a
// wanted share. Source: Dirichlet-Prior Shaping (S115), by the reviews and the batch-shaping line of work;
// whether the paper sums or averages was not seen, hence `mean`.
//
// Works on whole columns: not a sum over tokens, so batches do not merge, and it needs workspace for three
// numbers per token and expert. Everything is computed in double.
#pragma once

#include <moeroute/loss/add_rows.hpp>
#include <moeroute/loss/beta_cdf.hpp>
#include <moeroute/loss/observe.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct dirichlet_prior {
  row_view<float const> alpha{};  // experts, all positive
  double lambda = 1;
  bool mean = false;  // divide by the number of terms, n E
  segment_by by = segment_by::batch;
  index_t only = 0;  // tokens of this segment: a prior of its own for each modality

  status validate(index_t experts) const {
    return checks{}.must_be("dirichlet_prior.alpha size", alpha.size, experts).result();
  }
  void describe(text& t) const { t.add(lambda).add(mean ? " mean" : " sum").add(" (j / (n + 1) - BetaCDF(p_(j)))^2"); }
};

namespace detail {

// Row t: probabilities of token t into column t of every expert; NaN for tokens that do not count.
template <class R, class T, class H>
struct dirichlet_scores {
  R r;
  batch<T, H> in;
  dirichlet_prior term;
  matrix_view<double> p;  // experts x tokens
  offset_t scratch_bytes() const { return 2 * aligned_bytes<double>(p.rows); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    bool const counts = in.is_valid(t) && segment_of(term.by, in.context(t)) == term.only;
    double const* y = nullptr;
    if (counts) y = token_row_of<double>(r, in, matrix_view<index_t const>{}, g, t, s).row.scores.data;
    for (offset_t e = g.rank(); e < p.rows; e += g.size()) p[e][t] = counts ? y[e] : not_a_number<double>;
    g.sync();
  }
};

// Row e: sorts the column, and leaves dL/dp in it.
struct dirichlet_column {
  static constexpr bool long_rows = true;  // as long as the batch
  dirichlet_prior term;
  matrix_view<double> p;        // experts x tokens, in: probabilities, out: gradients
  matrix_view<double> sorted;   // experts x padded tokens
  matrix_view<offset_t> place;  // experts x padded tokens
  row_view<double> loss;        // experts
  matrix_view<double> cdf;      // tokens x experts, or empty
  offset_t scratch_bytes() const { return 0; }

  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t e, scratch) const {
    row_view<double> const column = p[e], key = sorted[e];
    row_view<offset_t> const at = place[e];
    offset_t const tokens = column.size, padded = key.size;
    std::int64_t mine = 0;
    for (offset_t i = g.rank(); i < padded; i += g.size()) {
      bool const here = i < tokens && !is_nan(column[i]);
      key[i] = here ? column[i] : infinity<double>;
      at[i] = i;
      mine += here;
    }
    offset_t const n = g.sum(mine);
    g.sync();
    // Bitonic: the same exchanges for any number of lanes. Ties by token.
    for (offset_t width = 2; width <= padded; width *= 2)
      for (offset_t step = width / 2; step > 0; step /= 2) {
        for (offset_t i = g.rank(); i < padded / 2; i += g.size()) {
          offset_t const a = 2 * step * (i / step) + i % step, b = a + step;
          bool const up = (a & width) == 0;
          bool const ordered = key[a] < key[b] || (key[a] == key[b] && at[a] < at[b]);
          if (ordered != up) {
            double const k = key[a];
            offset_t const place_a = at[a];
            key[a] = key[b], at[a] = at[b];
            key[b] = k, at[b] = place_a;
          }
        }
        g.sync();
      }
    double total = 0;
    for (index_t i = 0; i < static_cast<index_t>(term.alpha.size); ++i) total += static_cast<double>(term.alpha[i]);
    double const a = static_cast<double>(term.alpha[e]);
    auto const beta = beta_distribution::of(a, total - a > 0 ? total - a : 1e-300);
    double const each = n == 0 ? 0. : term.mean ? term.lambda / static_cast<double>(n * p.rows) : term.lambda;
    auto const gap = [&](offset_t j) {
      return static_cast<double>(j + 1) / static_cast<double>(n + 1) - beta.cdf(key[j]);
    };
    double const sum = tree_sum<double>(g, n, [&](offset_t j) {
      double const d = gap(j);
      return math::mul(d, d);
    });
    if (g.rank() == 0) loss[e] = each * sum;
    for (offset_t i = g.rank(); i < tokens; i += g.size()) column[i] = 0;
    g.sync();
    for (offset_t j = g.rank(); j < n; j += g.size()) {
      column[at[j]] = -2 * each * gap(j) * beta.density(key[j]);
      if (!cdf.empty()) cdf[at[j]][e] = beta.cdf(key[j]);
    }
    g.sync();
  }
};

// Row t: from dL/dp to dL/dlogits.
template <class R, class T, class H, class D>
struct dirichlet_gradient {
  R r;
  batch<T, H> in;
  matrix_view<double const> d;  // experts x tokens
  matrix_view<D> d_logits;
  double scale;
  offset_t scratch_bytes() const { return 2 * aligned_bytes<double>(d.rows); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch s) const {
    if (!in.is_valid(t)) return;
    auto const seen = token_row_of<double>(r, in, matrix_view<index_t const>{}, g, t, s);
    double const* const y = seen.row.scores.data;
    double const dot = tree_sum<double>(g, d.rows, [&](offset_t e) { return math::mul(y[e], d[e][t]); });
    row_view<D> const out = d_logits[t];
    row_context const c = in.context(t);
    seen.row.logits.each(g, [&](index_t e, double z) {
      if (z == -infinity<double>) return;
      double const dz = through_prior(r, c, e, z, pull_back(r.score, seen.summary, z, y[e], d[e][t], dot));
      out[e] = static_cast<D>(static_cast<double>(out[e]) + math::mul(scale, dz));
    });
    g.sync();
  }
};

constexpr offset_t power_of_two_from(offset_t n) {
  offset_t p = 1;
  while (p < n) p *= 2;
  return p;
}

}  // namespace detail

template <executor X>
offset_t dirichlet_prior_workspace_bytes(X const& x, offset_t tokens, index_t experts) {
  offset_t const padded = detail::power_of_two_from(tokens);
  return x.workspace_bytes(2 * aligned_bytes<double>(experts)) + aligned_bytes<double>(tokens * experts) +
         2 * aligned_bytes<double>(padded * experts) + aligned_bytes<double>(experts) + workspace_alignment;
}

// *loss = L, d_logits += scale dL/dlogits. d_logits, cdf (tokens x experts: F of each probability) and d_scores
// (experts x tokens: dL/dp) may be left out. Where the executor can write, loss included.
template <executor X, any_router R, class T, class H, class D>
status try_dirichlet_prior_loss(X const& x, dirichlet_prior const& term, R const& r, batch<T, H> const& in,
                                double* loss, matrix_view<D> d_logits, workspace w, double scale = 1,
                                matrix_view<double> cdf = {}, matrix_view<double> d_scores = {}) noexcept {
  static_assert(differentiable_score<decltype(R::score)>, "dirichlet_prior_loss: router.score has no derivative");
  static_assert(sums_to_one<std::remove_cvref_t<decltype(R::score)>>,
                "dirichlet_prior_loss: the scores of the router must be probabilities (softmax)");
  offset_t const tokens = in.logits.rows, experts = in.logits.cols;
  checks c;
  c.also(validate(r, in)).also(term.validate(static_cast<index_t>(experts)));
  if (!d_logits.empty())
    c.must_be("d_logits rows", d_logits.rows, tokens)
        .must_be("d_logits columns", d_logits.cols, experts)
        .strided("d_logits", d_logits);
  if (!cdf.empty()) c.must_be("cdf rows", cdf.rows, tokens).must_be("cdf columns", cdf.cols, experts);
  if (!d_scores.empty())
    c.must_be("d_scores rows", d_scores.rows, experts).must_be("d_scores columns", d_scores.cols, tokens);
  c.also(workspace_ok(w, dirichlet_prior_workspace_bytes(x, tokens, static_cast<index_t>(experts))));
  if (!c.result().ok()) return c.result();
  scratch mine = aligned_scratch(w);
  offset_t const padded = detail::power_of_two_from(tokens);
  double* const column = mine.take<double>(tokens * experts);
  matrix_view<double> const p = d_scores.empty() ? matrix_view<double>(column, experts, tokens) : d_scores;
  matrix_view<double> const sorted{mine.take<double>(padded * experts), experts, padded};
  matrix_view<offset_t> const place{mine.take<offset_t>(padded * experts), experts, padded};
  row_view<double> const parts{mine.take<double>(experts), experts};
  workspace const rest{mine.at, w.bytes - (mine.at - w.data)};
  status s = x.run(tokens, detail::dirichlet_scores<R, T, H>{r, in, term, p}, rest);
  if (s.ok()) s = x.run(experts, detail::dirichlet_column{term, p, sorted, place, parts, cdf}, rest);
  if (s.ok() && loss != nullptr) s = x.run(1, detail::add_rows{parts, loss}, rest);
  if (s.ok() && !d_logits.empty())
    s = x.run(tokens, detail::dirichlet_gradient<R, T, H, D>{r, in, p, d_logits, scale}, rest);
  return s;
}
template <executor X, class... A>
void dirichlet_prior_loss(X const& x, A const&... a) {
  throw_if_bad(try_dirichlet_prior_loss(x, a...));
}

}  // namespace moeroute::inline MOEROUTE_ABI
