// Decides the policy loss and how it moves with the log-probabilities: of answer tokens under the replayed route, or of the
// routes themselves, one term (grpo/surrogate.hpp) for each (layer, position).
//
// Terms are averaged inside a rollout, then rollouts (GRPO), or all terms alike (DAPO). Positions can be left out
// (`included`: answers only, gate_scope). Value and gradient come from one pass over the terms, two rows of work: a rollout,
// then the total. Loss and statistics are sums in a fixed order: the same bits for every lane group, mergeable by +=.
#pragma once

#include <moeroute/grpo/advantage.hpp>
#include <moeroute/grpo/surrogate.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// One term or any sum of terms. Means: divide by terms.
struct objective_sums {
  double loss = 0;
  double terms = 0;
  double clipped = 0;  // terms whose gradient the clip took
  double ratio = 0;
  double ratio_most = 0;
  double kl = 0;  // of the chosen estimator, or k3 of old against new if there is none
  double log_ratio = 0;

  MOEROUTE_HD objective_sums& operator+=(objective_sums const& o) {
    loss += o.loss, terms += o.terms, clipped += o.clipped, ratio += o.ratio, kl += o.kl, log_ratio += o.log_ratio;
    ratio_most = ratio_most > o.ratio_most ? ratio_most : o.ratio_most;
    return *this;
  }
};

// All matrices are layers x positions; for token losses one layer. Rollout i owns the positions of segment i.
template <class P = float>
struct policy_batch {
  matrix_view<P const> log_prob{};
  matrix_view<P const> old{};
  matrix_view<P const> reference{};  // only for KL
  row_view<P const> advantage{};     // rollouts
  segments rollouts{};
  row_view<std::uint8_t const> included{};  // positions, optional; 0 = no term here
};
template <class D = float>
struct policy_gradient {
  matrix_view<D> d_log_prob{};         // layers x positions
  row_view<objective_sums> rollout{};  // rollouts
  row_view<objective_sums> total{};    // one
};

namespace detail {

template <class P, class D>
struct policy_body {
  policy_surrogate s;
  policy_batch<P> in;
  policy_gradient<D> out;

  offset_t scratch_bytes() const { return 0; }
  // The j-th (layer, position) of rollout i.
  struct place {
    offset_t layer, position;
  };
  MOEROUTE_HD offset_t places(offset_t i) const {
    return in.log_prob.rows * (in.rollouts.last(i) - in.rollouts.first(i));
  }
  MOEROUTE_HD place at(offset_t i, offset_t j) const {
    offset_t const n = in.rollouts.last(i) - in.rollouts.first(i);
    return {j / n, in.rollouts.first(i) + j % n};
  }
  MOEROUTE_HD bool here(place p) const { return in.included.empty() || in.included[p.position] != 0; }
  MOEROUTE_HD offset_t terms(auto const& g, offset_t i) const {  // of rollout i
    offset_t const n = places(i);
    if (in.included.empty()) return n;
    std::int64_t terms = 0;
    for (offset_t j = g.rank(); j < n; j += g.size()) terms += here(at(i, j));
    return g.sum(terms);
  }
  MOEROUTE_HD double log_ratio_at(place p) const {
    return log_ratio(static_cast<double>(in.log_prob[p.layer][p.position]),
                     static_cast<double>(in.old[p.layer][p.position]));
  }
};

// Only where all terms weigh alike and some positions are left out: how many terms a rollout has.
template <class P, class D>
struct policy_count_row : policy_body<P, D> {
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch) const {
    objective_sums o;
    o.terms = static_cast<double>(this->terms(g, i));
    if (g.rank() == 0) this->out.rollout[i] = o;
    g.sync();
  }
};

// Between and after: the one row of totals.
template <class P, class D>
struct policy_total_row : policy_body<P, D> {
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    auto const& of = this->out.rollout;
    auto const sum = tree_sums<double, 6>(g, of.size, [&](double* to, offset_t i) {
      to[0] += of[i].loss, to[1] += of[i].terms, to[2] += of[i].clipped;
      to[3] += of[i].ratio, to[4] += of[i].kl, to[5] += of[i].log_ratio;
    });
    objective_sums o;
    o.loss = sum.of[0], o.terms = sum.of[1], o.clipped = sum.of[2];
    o.ratio = sum.of[3], o.kl = sum.of[4], o.log_ratio = sum.of[5];
    for (offset_t i = g.rank(); i < of.size; i += g.size()) o.ratio_most = math::max(of[i].ratio_most, o.ratio_most);
    o.ratio_most = g.max(o.ratio_most);
    if (g.rank() == 0) this->out.total[0] = o;
    g.sync();
  }
};

// Losses, slopes and statistics of a rollout.
template <class P, class D>
struct policy_term_row : policy_body<P, D> {
  struct term {
    double loss = 0, slope = 0, ratio = 0, kl = 0;
    bool clipped = false;
  };
  MOEROUTE_HD term term_at(typename policy_body<P, D>::place p, double a, double mean_log_ratio) const {
    policy_surrogate const& form = this->s;
    term t;
    t.ratio = math::exp(form.level == ratio_level::sequence ? mean_log_ratio : this->log_ratio_at(p));
    auto const v = surrogate_term(form, t.ratio, a);
    t.loss = v.loss, t.slope = v.slope, t.clipped = v.clipped;
    auto const now = static_cast<double>(this->in.log_prob[p.layer][p.position]);
    if (form.kl != kl_estimator::none) {
      auto const k = kl_term(form.kl, log_ratio(static_cast<double>(this->in.reference[p.layer][p.position]), now));
      t.kl = k.loss;
      t.loss = math::fma(form.kl_weight, k.loss, t.loss);
      t.slope = math::fma(form.kl_weight, k.slope, t.slope);
    } else {
      t.kl = kl_term(kl_estimator::k3, -this->log_ratio_at(p)).loss;
    }
    return t;
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch) const {
    offset_t const n = this->places(i);
    objective_sums o;
    o.terms = static_cast<double>(this->terms(g, i));
    double const rollouts = static_cast<double>(this->out.rollout.size);
    double each = o.terms * rollouts;
    if (this->s.average == term_average::per_term)
      each = this->in.included.empty() ? static_cast<double>(this->in.log_prob.rows * this->in.log_prob.cols)
                                       : this->out.total[0].terms;
    double const weight = each > 0 ? 1 / each : 0;
    double mean = 0;
    if (this->s.level == ratio_level::sequence && o.terms > 0)
      mean = tree_sum<double>(g, n,
                              [&](offset_t j) {
                                auto const p = this->at(i, j);
                                return this->here(p) ? this->log_ratio_at(p) : 0.;
                              }) /
             o.terms;
    auto const a = static_cast<double>(this->in.advantage[i]);
    double most = 0;
    auto const sum = tree_sums<double, 5>(g, n, [&](double* to, offset_t j) {
      auto const p = this->at(i, j);
      D d = D(0);
      if (this->here(p)) {
        term const t = term_at(p, a, mean);
        to[0] += t.loss, to[1] += t.ratio, to[2] += t.clipped ? 1. : 0., to[3] += t.kl, to[4] += this->log_ratio_at(p);
        most = math::max(t.ratio, most);
        d = static_cast<D>(t.slope * weight);
      }
      this->out.d_log_prob[p.layer][p.position] = d;
    });
    o.ratio_most = g.max(most);
    o.loss = sum.of[0] * weight, o.ratio = sum.of[1], o.clipped = sum.of[2], o.kl = sum.of[3], o.log_ratio = sum.of[4];
    if (g.rank() == 0) this->out.rollout[i] = o;
    g.sync();
  }
};

}  // namespace detail

// Loss, statistics and d loss / d log_prob. total.loss is the loss; rollout[i].loss its share, weights included.
template <executor X, class P, class D>
status try_policy_objective(X const& x, policy_surrogate const& s, policy_batch<P> const& in,
                            policy_gradient<D> const& out, workspace w = {}) noexcept {
  offset_t const layers = in.log_prob.rows, positions = in.log_prob.cols;
  checks c;
  c.also(s.validate()).must_be("old rows", in.old.rows, layers).must_be("old columns", in.old.cols, positions);
  if (s.kl != kl_estimator::none)
    c.must_be("reference rows", in.reference.rows, layers).must_be("reference columns", in.reference.cols, positions);
  c.must_be("advantage size", in.advantage.size, in.rollouts.count).empty_or("included size", in.included, positions);
  c.also(in.rollouts.validate(x, "log_prob columns", positions));
  c.must_be("d_log_prob rows", out.d_log_prob.rows, layers)
      .must_be("d_log_prob columns", out.d_log_prob.cols, positions);
  c.must_be("out.rollout size", out.rollout.size, in.rollouts.count).must_be("out.total size", out.total.size, 1);
  c.strided("log_prob", in.log_prob).strided("old", in.old).strided("d_log_prob", out.d_log_prob);
  if (!c.result().ok()) return c.result();
  detail::policy_body<P, D> const body{s, in, out};
  status r;
  if (s.average == term_average::per_term && !in.included.empty()) {
    r = x.run(in.rollouts.count, detail::policy_count_row<P, D>{body}, w);
    if (r.ok()) r = x.run(1, detail::policy_total_row<P, D>{body}, w);
  }
  if (r.ok()) r = x.run(in.rollouts.count, detail::policy_term_row<P, D>{body}, w);
  if (r.ok()) r = x.run(1, detail::policy_total_row<P, D>{body}, w);
  return r;
}
template <executor X, class P, class D>
void policy_objective(X const& x, policy_surrogate const& s, policy_batch<P> const& in, policy_gradient<D> const& out,
                      workspace w = {}) {
  throw_if_bad(try_policy_objective(x, s, in, out, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
