// Decides the policy loss and how it moves with the log-probabilities: of answer tokens under the replayed
// route, or of the routes themselves, one term for each (layer, position). With r = exp(log_prob - old):
//
//   clip       -min(r A, clip(r, 1 - low, 1 + high) A)          GRPO, MoE-GRPO eq. 4 and 5; high > low: DAPO
//   soft_gate  -A (4 / tau) sigmoid(tau (r - 1))                SAPO; tau by the sign of A
//   sequence   clip with one r for the rollout: exp(mean of log_prob - old)                      GSPO
//   + weight * KL to a reference: k1 = -x, k2 = x^2 / 2, k3 = e^x - 1 - x with x = reference - log_prob
//
// Terms are averaged inside a rollout, then rollouts (GRPO), or all terms alike (DAPO). The gradient of a clipped
// term is 0; where nothing is clipped it is -A r. Positions can be left out (`included`: answers only, gate_scope).
// Loss and statistics are sums in a fixed order: the same bits for every lane group, mergeable by +=.
#pragma once

#include <moeroute/grpo/advantage.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class ratio_bound : std::uint8_t { clip, soft_gate };
enum class ratio_level : std::uint8_t { term, sequence };
enum class term_average : std::uint8_t { per_rollout, per_term };
enum class kl_estimator : std::uint8_t { none, k1, k2, k3 };

struct policy_surrogate {
  ratio_bound bound = ratio_bound::clip;
  ratio_level level = ratio_level::term;
  double clip_low = .2, clip_high = .2;
  double tau_positive = 1, tau_negative = 1.05;  // soft_gate
  term_average average = term_average::per_rollout;
  kl_estimator kl = kl_estimator::none;
  double kl_weight = 0;

  status validate() const {
    if (!(clip_low >= 0 && clip_low <= 1 && clip_high >= 0))
      return {errc::bad_value, "surrogate.clip_low/high (negative, or low above 1)", "must be at least", -1, 0};
    if (!(tau_positive > 0 && tau_negative > 0))
      return {errc::bad_value, "surrogate.tau", "must be above", 0, 0};
    return {};
  }
};
constexpr policy_surrogate grpo_surrogate(double clip = .2) { return {.clip_low = clip, .clip_high = clip}; }
constexpr policy_surrogate dapo_surrogate() {
  return {.clip_low = .2, .clip_high = .28, .average = term_average::per_term};
}
constexpr policy_surrogate gspo_surrogate() {
  return {.level = ratio_level::sequence, .clip_low = 3e-4, .clip_high = 4e-4};
}
constexpr policy_surrogate sapo_surrogate() { return {.bound = ratio_bound::soft_gate}; }

// One term or any sum of terms. Means: divide by terms.
struct objective_sums {
  double loss = 0;
  double terms = 0;
  double clipped = 0;       // terms whose gradient the clip took
  double ratio = 0;
  double ratio_most = 0;
  double kl = 0;            // of the chosen estimator, or k3 of old against new if there is none
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
  matrix_view<P const> reference{};          // only for KL
  row_view<P const> advantage{};             // rollouts
  segments rollouts{};
  row_view<std::uint8_t const> included{};   // positions, optional; 0 = no term here
};
template <class D = float>
struct policy_gradient {
  matrix_view<D> d_log_prob{};               // layers x positions
  row_view<objective_sums> rollout{};        // rollouts
  row_view<objective_sums> total{};          // one
};

namespace detail {

// Value and slope of one clipped or soft term in the log-ratio.
struct term_value {
  double loss, slope;
  bool clipped;
};
MOEROUTE_HD inline term_value surrogate_term(policy_surrogate const& s, double ratio, double a) {
  if (s.bound == ratio_bound::soft_gate) {
    double const tau = a > 0 ? s.tau_positive : s.tau_negative;
    double const gate = math::sigmoid(tau * (ratio - 1));
    return {-a * (4 / tau) * gate, -a * 4 * gate * (1 - gate) * ratio, false};
  }
  double const low = 1 - s.clip_low, high = 1 + s.clip_high;
  double const bounded = math::min(math::max(ratio, low), high);
  double const free_value = math::mul(ratio, a), held = math::mul(bounded, a);
  bool const passes = (a > 0 && ratio < high) || (a < 0 && ratio > low);
  return {-math::min(free_value, held), passes ? -free_value : 0., a != 0 && !passes};
}
MOEROUTE_HD inline term_value kl_term(kl_estimator k, double x) {  // x = reference - log_prob; slope in log_prob
  if (k == kl_estimator::k1) return {-x, 1, false};
  if (k == kl_estimator::k2) return {x * x / 2, -x, false};
  double const grown = math::exp(x);
  return {grown - 1 - x, 1 - grown, false};
}
// 0 for equal values, so that two impossible routes agree.
MOEROUTE_HD inline double log_ratio(double a, double b) { return a == b ? 0 : a - b; }

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
  MOEROUTE_HD double log_ratio_at(place p) const {
    return log_ratio(static_cast<double>(in.log_prob[p.layer][p.position]),
                     static_cast<double>(in.old[p.layer][p.position]));
  }
};

// First pass: how many terms a rollout has, and its log-ratio.
template <class P, class D>
struct policy_count_row : policy_body<P, D> {
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t i, scratch) const {
    offset_t const n = this->places(i);
    std::int64_t terms = 0;
    for (offset_t j = g.rank(); j < n; j += g.size()) terms += this->here(this->at(i, j));
    terms = g.sum(terms);
    double const lr = tree_sum<double>(g, n, [&](offset_t j) {
      auto const p = this->at(i, j);
      return this->here(p) ? this->log_ratio_at(p) : 0.;
    });
    if (g.rank() == 0) {
      objective_sums o;
      o.terms = static_cast<double>(terms);
      o.log_ratio = lr;
      this->out.rollout[i] = o;
    }
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
    auto const sum = [&](double objective_sums::*field) {
      return tree_sum<double>(g, of.size, [&](offset_t i) { return of[i].*field; });
    };
    objective_sums o;
    o.loss = sum(&objective_sums::loss), o.terms = sum(&objective_sums::terms);
    o.clipped = sum(&objective_sums::clipped), o.ratio = sum(&objective_sums::ratio);
    o.kl = sum(&objective_sums::kl), o.log_ratio = sum(&objective_sums::log_ratio);
    for (offset_t i = g.rank(); i < of.size; i += g.size())
      o.ratio_most = math::max(of[i].ratio_most, o.ratio_most);
    o.ratio_most = g.max(o.ratio_most);
    if (g.rank() == 0) this->out.total[0] = o;
    g.sync();
  }
};

// Second pass: losses and slopes.
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
    objective_sums o = this->out.rollout[i];
    double const rollouts = static_cast<double>(this->out.rollout.size);
    double const each = this->s.average == term_average::per_term ? this->out.total[0].terms : o.terms * rollouts;
    double const weight = each > 0 ? 1 / each : 0;
    double const mean = o.terms > 0 ? o.log_ratio / o.terms : 0;
    auto const a = static_cast<double>(this->in.advantage[i]);
    auto const sum = [&](auto const& field) {
      return tree_sum<double>(g, n, [&](offset_t j) {
        auto const p = this->at(i, j);
        return this->here(p) ? static_cast<double>(field(term_at(p, a, mean))) : 0.;
      });
    };
    double loss = 0, ratio = 0, clipped = 0, kl = 0, most = 0;
    if constexpr (is_serial<G>) {  // one evaluation a term; the same additions in the same classes
      double part[32][4] = {};
      for (offset_t j = 0; j < n; ++j) {
        auto const p = this->at(i, j);
        D d = D(0);
        if (this->here(p)) {
          term const t = term_at(p, a, mean);
          auto& c = part[j % 32];
          c[0] += t.loss, c[1] += t.ratio, c[2] += t.clipped ? 1. : 0., c[3] += t.kl;
          most = math::max(t.ratio, most);
          d = static_cast<D>(t.slope * weight);
        }
        this->out.d_log_prob[p.layer][p.position] = d;
      }
      for (index_t half = 16; half > 0; half /= 2)
        for (index_t c = 0; c < half; ++c)
          for (index_t f = 0; f < 4; ++f) part[c][f] += part[c + half][f];
      loss = part[0][0], ratio = part[0][1], clipped = part[0][2], kl = part[0][3];
    } else {
      loss = sum([](term const& t) { return t.loss; });
      ratio = sum([](term const& t) { return t.ratio; });
      clipped = sum([](term const& t) { return t.clipped ? 1. : 0.; });
      kl = sum([](term const& t) { return t.kl; });
      for (offset_t j = g.rank(); j < n; j += g.size()) {
        auto const p = this->at(i, j);
        bool const counts = this->here(p);
        term const t = counts ? term_at(p, a, mean) : term{};
        if (counts) most = math::max(t.ratio, most);
        this->out.d_log_prob[p.layer][p.position] = static_cast<D>(t.slope * weight);
      }
      most = g.max(most);
    }
    if (g.rank() == 0) {
      o.loss = loss * weight, o.ratio = ratio, o.clipped = clipped, o.kl = kl, o.ratio_most = most;
      this->out.rollout[i] = o;
    }
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
  c.also(in.rollouts.validate("positions", positions));
  c.must_be("d_log_prob rows", out.d_log_prob.rows, layers).must_be("d_log_prob columns", out.d_log_prob.cols, positions);
  c.must_be("out.rollout size", out.rollout.size, in.rollouts.count).must_be("out.total size", out.total.size, 1);
  c.strided("log_prob", in.log_prob).strided("old", in.old).strided("d_log_prob", out.d_log_prob);
  if (!c.result().ok()) return c.result();
  detail::policy_body<P, D> const body{s, in, out};
  status r = x.run(in.rollouts.count, detail::policy_count_row<P, D>{body}, w);
  if (r.ok()) r = x.run(1, detail::policy_total_row<P, D>{body}, w);
  if (r.ok()) r = x.run(in.rollouts.count, detail::policy_term_row<P, D>{body}, w);
  if (r.ok()) r = x.run(1, detail::policy_total_row<P, D>{body}, w);
  return r;
}
template <executor X, class P, class D>
void policy_objective(X const& x, policy_surrogate const& s, policy_batch<P> const& in,
                      policy_gradient<D> const& out, workspace w = {}) {
  throw_if_bad(try_policy_objective(x, s, in, out, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
