// Decides what a logit is worth: a score for every expert, forward and backward together.
//
// A score is a summary of the row and a map of each element (concepts.hpp); elementwise scores need no
// summary. Logits arrive without NaN; -inf is a closed expert. Maps are inlined by force: where g++ removes an unused
// parameter of one first (here `this`), `flatten` passes it by, and several registers go through memory.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/exact_sum.hpp>
#include <moeroute/core/rough_math.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// p_e = exp(z_e - max z) / sum_j exp(z_j - max z). Rows with +inf: the +inf experts share mass 1.
// A row whose experts are all closed has p = 0.
struct softmax {
  static constexpr bool strictly_increasing = true, sums_to_one = true;
  template <class V>
  struct summary {
    V top, total;
  };

  template <lane_group G, row Row>
  MOEROUTE_HD summary<typename Row::value_type> summarize(G const& g, Row const& z) const {
    using V = typename Row::value_type;
    V const top = row_top(g, z);
    return {top, math::where(top == V(-infinity<math::scalar_t<V>>), V(0), exp_mass(g, z, top))};
  }
  // Right up to a factor common to the row, without a pass of exponentials: enough where the weights are
  // divided by their sum anyway. Any part of the row that has its largest logit gives the same.
  template <lane_group G, row Row>
  MOEROUTE_HD summary<typename Row::value_type> summarize_ratios(G const& g, Row const& z) const {
    using V = typename Row::value_type;
    V const top = row_top(g, z);
    return {top, math::where(top == V(-infinity<math::scalar_t<V>>), V(0), V(1))};
  }
  template <class V>
  MOEROUTE_HD MOEROUTE_INLINE static V numerator(V x, V top) {
    return math::exp_not_positive(math::min(x - top, V(0)));  // 0 where both are infinite
  }
  template <class V>
  MOEROUTE_HD MOEROUTE_INLINE V operator()(summary<V> const& m, V x) const {
    return math::where(m.total == V(0), V(0), numerator(x, m.top) / m.total);
  }
  // The same of a summary of ratios, whose total is 1 or 0.
  template <class V>
  MOEROUTE_HD MOEROUTE_INLINE V ratio(summary<V> const& m, V x) const {
    return math::where(m.total == V(0), V(0), numerator(x, m.top));
  }
  template <class V>
  MOEROUTE_HD V pull_back(summary<V> const&, V, V p, V d, V dot) const {
    return math::mul(p, d - dot);
  }
  void describe(text& t) const { t.add("softmax over all experts"); }
};

struct sigmoid {
  static constexpr bool strictly_increasing = true;
  static constexpr float error = math::rough_sigmoid_error;
  template <class V>
  MOEROUTE_HD MOEROUTE_INLINE V operator()(V x) const {
    return math::sigmoid(x);
  }
  template <class V>
  MOEROUTE_HD V approx(V x) const {
    return math::rough_sigmoid(x);
  }
  template <class V>
  MOEROUTE_HD V derivative(V, V s) const {
    return s * (V(1) - s);
  }
  void describe(text& t) const { t.add("sigmoid"); }
};

// sqrt(log(1 + e^z)). Source: DeepSeek-V4, Megatron-LM.
struct sqrt_softplus {
  static constexpr bool strictly_increasing = true;
  template <class V>
  MOEROUTE_HD MOEROUTE_INLINE V operator()(V x) const {
    return math::sqrt(math::softplus(x));
  }
  template <class V>
  MOEROUTE_HD V derivative(V x, V s) const {
    return math::where(s > V(0), math::sigmoid(x) / (V(2) * s), V(0));
  }
  void describe(text& t) const { t.add("sqrt(softplus)"); }
};

// max(z, 0). Source: ReMoE. Not strictly increasing: ties below 0 rank by id.
struct relu {
  template <class V>
  MOEROUTE_HD MOEROUTE_INLINE V operator()(V x) const {
    return math::max(x, V(0));
  }
  template <class V>
  MOEROUTE_HD V derivative(V x, V) const {
    return math::where(x > V(0), V(1), V(0));
  }
  void describe(text& t) const { t.add("ReLU"); }
};

struct identity {
  static constexpr bool strictly_increasing = true;
  template <class V>
  MOEROUTE_HD MOEROUTE_INLINE V operator()(V x) const {
    return x;
  }
  template <class V>
  MOEROUTE_HD V derivative(V, V) const {
    return V(1);
  }
  void describe(text& t) const { t.add("the logit itself"); }
};

// cap * tanh(z / cap). Source: Grok serving (cap 30), Gemma-style logits.
struct soft_cap {
  static constexpr bool strictly_increasing = true;
  float cap = 30;
  template <class V>
  MOEROUTE_HD MOEROUTE_INLINE V operator()(V x) const {
    auto const closed = x == V(-infinity<math::scalar_t<V>>);
    return math::where(closed, x, math::mul(V(cap), math::tanh(x / V(cap))));
  }
  template <class V>
  MOEROUTE_HD V derivative(V, V s) const {
    V const y = s / V(cap);
    return s == -infinity<V> ? V(0) : V(1) - math::mul(y, y);
  }
  status validate(index_t) const {
    return cap > 0 ? status{}
                   : status{errc::bad_value, "score.cap", "must be at least", static_cast<std::int64_t>(cap), 1};
  }
  void describe(text& t) const { t.add(cap).add(" tanh(z / ").add(cap).add(")"); }
};

// z / t.
struct temperature {
  static constexpr bool strictly_increasing = true;
  float t = 1;
  template <class V>
  MOEROUTE_HD MOEROUTE_INLINE V operator()(V x) const {
    return x / V(t);
  }
  template <class V>
  MOEROUTE_HD V derivative(V, V) const {
    return V(1) / V(t);
  }
  status validate(index_t) const {
    return t > 0 ? status{}
                 : status{errc::bad_value, "score.t (temperature)", "must be above", static_cast<std::int64_t>(t), 0};
  }
  void describe(text& out) const { out.add("z / ").add(t); }
};

// First an elementwise map, then any score: chain{soft_cap{30.f}, softmax{}}.
template <class First, class Second>
struct chain {
  [[no_unique_address]] First first{};
  [[no_unique_address]] Second second{};
  static constexpr bool strictly_increasing =
      moeroute::strictly_increasing<First> && moeroute::strictly_increasing<Second>;
  static constexpr bool sums_to_one = moeroute::sums_to_one<Second>;

  struct map {
    First const& first;
    template <class V>
    MOEROUTE_HD MOEROUTE_INLINE V operator()(index_t, V const& x) const {
      return first(x);
    }
  };
  template <lane_group G, row Row, class S = Second>
    requires summary_score<S>
  MOEROUTE_HD auto summarize(G const& g, Row const& z) const
      -> decltype(static_cast<S const&>(second).summarize(g, mapped_row<Row, map>{z, map{first}})) {
    return second.summarize(g, mapped_row{z, map{first}});
  }
  template <class M, class V>
  MOEROUTE_HD MOEROUTE_INLINE V operator()(M const& m, V x) const {
    return second(m, first(x));
  }
  template <class M, class V>
  MOEROUTE_HD V pull_back(M const& m, V x, V s, V d, V dot) const {
    V const y = first(x);
    return math::mul(second.pull_back(m, y, s, d, dot), first.derivative(x, y));
  }
  template <class V>
    requires elementwise_score<Second>
  MOEROUTE_HD MOEROUTE_INLINE V operator()(V x) const {
    return second(first(x));
  }
  template <class V>
    requires elementwise_score<Second>
  MOEROUTE_HD V derivative(V x, V s) const {
    V const y = first(x);
    return second.derivative(y, s) * first.derivative(x, y);
  }
  status validate(index_t experts) const {
    return checks{}.also(experts_fit(first, experts)).also(experts_fit(second, experts)).result();
  }
  void describe(text& t) const {
    second.describe(t);
    t.add(" of ");
    first.describe(t);
  }
};
template <class A, class B>
chain(A, B) -> chain<A, B>;

static_assert(differentiable_score<softmax> && differentiable_score<sigmoid>);
static_assert(differentiable_score<sqrt_softplus> && differentiable_score<relu>);
static_assert(differentiable_score<identity> && differentiable_score<soft_cap>);
static_assert(differentiable_score<temperature> && differentiable_score<chain<soft_cap, softmax>>);
static_assert(differentiable_score<chain<temperature, sigmoid>>);

// ---- one spelling for both kinds ---------------------------------------------------------------------------

struct no_summary {};
MOEROUTE_EXEC_CHECK_DISABLE
template <class S, lane_group G, class Row>
MOEROUTE_HD auto summarize(S const& score, G const& g, Row const& logits) {
  if constexpr (elementwise_score<S>) return no_summary{};
  else return score.summarize(g, logits);
}
MOEROUTE_EXEC_CHECK_DISABLE
template <class S, class M, class V>
MOEROUTE_HD MOEROUTE_INLINE V score_of(S const& score, M const& m, V logit) {
  if constexpr (elementwise_score<S>) return score(logit);
  else return score(m, logit);
}
// Gradient of the logit from the gradient d of its score; dot = sum over the row of score times d.
MOEROUTE_EXEC_CHECK_DISABLE
template <class S, class M, class V>
MOEROUTE_HD V pull_back(S const& score, M const& m, V logit, V s, V d, V dot) {
  if constexpr (elementwise_score<S>) return math::mul(d, score.derivative(logit, s));
  else return score.pull_back(m, logit, s, d, dot);
}

}  // namespace moeroute::inline MOEROUTE_ABI
