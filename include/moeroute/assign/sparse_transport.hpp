// Decides a balanced plan in which every expert sees at most C tokens: optimal transport with a cardinality limit,
// on the semi-dual. Source: sparsity-constrained expert choice of the vision routers (S088), after Liu et al. 2023.
//
//   max over A >= 0 with rows 1/T each, columns supported on at most C tokens, of <A, Z> - (gamma / 2) |A|^2,
//   solved by subgradient ascent on the row prices alpha: for expert e, with u_t = (Z_te - alpha_t) / (gamma T E),
//   A_te = (max(0, u_t) on the C largest u) scaled to mass 1/E (projection on the simplex of the C largest)
// Written from the equations, not read from code: the adopted reading. Columns sum to 1/E and have support <= C
// exactly; rows approach 1/T. CPU only.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/select/take_many.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct sparse_transport {
  offset_t tokens_per_expert = 1;  // C
  double gamma = .03;              // times T E: weight of the quadratic term; smaller: sharper, slower
  double step = 4;
  index_t rounds = 200;
  static constexpr cross_token_dependence dependence = cross_token_dependence::whole_batch;
};

namespace detail {
// Euclidean projection of x[0, n) (descending) / scale on the simplex of mass m: x_i <- max(0, x_i - theta).
inline void project_on_simplex(double* x, offset_t n, double mass) {
  double sum = 0, theta = 0;
  for (offset_t i = 0; i < n; ++i) {
    sum += x[i];
    double const candidate = (sum - mass) / static_cast<double>(i + 1);
    if (x[i] > candidate) theta = candidate;
  }
  for (offset_t i = 0; i < n; ++i) x[i] = x[i] > theta ? x[i] - theta : 0;
}

template <class T, class V>
struct transport_column {  // rows: experts
  sparse_transport how;
  matrix_view<T const> z;
  double const* price;  // tokens
  matrix_view<V> plan;
  double* column;  // experts x tokens: prices applied
  double* best;    // experts x C
  offset_t* ids;   // experts x C
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  void operator()(G const& g, offset_t e, scratch) const {
    offset_t const n = z.rows, c = how.tokens_per_expert;
    double* const u = column + e * n;
    double* const x = best + e * c;
    offset_t* const id = ids + e * c;
    double const quadratic = how.gamma * static_cast<double>(n) * static_cast<double>(z.cols);
    for (offset_t t = g.rank(); t < n; t += g.size()) {
      double const s = static_cast<double>(load(z[t][e]));
      u[t] = s > -infinity<double> ? (s - price[t]) / quadratic : -infinity<double>;
      plan[t][e] = V(0);
    }
    g.sync();
    offset_t const found = take_many(g, memory_row<double const>{u, static_cast<index_t>(n)}, {id, c});
    if (g.rank() == 0) {
      for (offset_t i = 0; i < found; ++i) x[i] = u[id[i]];
      project_on_simplex(x, found, 1 / static_cast<double>(z.cols));
      for (offset_t i = 0; i < found; ++i) plan[id[i]][e] = static_cast<V>(x[i]);
    }
    g.sync();
  }
};
}  // namespace detail

template <executor X>
offset_t sparse_transport_workspace_bytes(X const& x, offset_t tokens, offset_t experts, offset_t tokens_per_expert) {
  return aligned_bytes<double>(tokens) + aligned_bytes<double>(tokens * experts) +
         aligned_bytes<double>(experts * tokens_per_expert) + aligned_bytes<offset_t>(experts * tokens_per_expert) +
         workspace_alignment + x.workspace_bytes(0);
}

// The plan (tokens x experts). No gradient goes through it; weights come from the plan or from the scores.
template <executor X, element T, class V>
status try_sparse_transport_plan(X const& x, sparse_transport how, matrix_view<T const> z, matrix_view<V> plan,
                                 workspace w) noexcept {
  checks c;
  c.must_be("plan rows", plan.rows, z.rows)
      .must_be("plan columns", plan.cols, z.cols)
      .strided("z", z)
      .strided("plan", plan);
  c.at_least("sparse_transport.tokens_per_expert", how.tokens_per_expert, 1)
      .at_least("sparse_transport.rounds", how.rounds, 1);
  if (c.result().ok()) c.at_least("experts x tokens_per_expert", z.cols * how.tokens_per_expert, z.rows);
  if (!(how.gamma > 0))
    c.also({errc::bad_value, "sparse_transport.gamma", "must be above", static_cast<std::int64_t>(how.gamma), 0});
  c.also(workspace_ok(w, sparse_transport_workspace_bytes(x, z.rows, z.cols, how.tokens_per_expert)));
  if (!c.result().ok() || plan.empty()) return c.result();
  scratch s = aligned_scratch(w);
  double* const price = s.take<double>(z.rows);
  double* const column = s.take<double>(z.rows * z.cols);
  double* const best = s.take<double>(z.cols * how.tokens_per_expert);
  offset_t* const ids = s.take<offset_t>(z.cols * how.tokens_per_expert);
  workspace const rest{s.at, w.bytes - static_cast<offset_t>(s.at - w.data)};
  for (offset_t t = 0; t < z.rows; ++t) price[t] = 0;
  for (index_t round = 0;; ++round) {
    status const bad = x.run(z.cols, detail::transport_column<T, V>{how, z, price, plan, column, best, ids}, rest);
    if (!bad.ok() || round == how.rounds) return bad;
    double const rate = how.step * how.gamma / (1 + math::mul(.02, 1. * round));
    for (offset_t t = 0; t < z.rows; ++t) {  // too much mass: dearer
      double mass = 0;
      for (offset_t e = 0; e < z.cols; ++e) mass += static_cast<double>(plan[t][e]);
      price[t] += math::mul(rate, math::mul(mass, static_cast<double>(z.rows)) - 1);
    }
  }
}

}  // namespace moeroute::inline MOEROUTE_ABI
