// Decides the combine weights: a function of the k chosen (unbiased) scores, with its backward.
//
// Empty places come in as `absent` and leave with weight 0, whatever the policy wrote there.
#pragma once

#include <moeroute/concepts.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// g_j = scale * s_j.
struct keep_scores {
  float scale = 1;
  static constexpr bool takes_vectors = true, elementwise = true;
  template <class V>
  MOEROUTE_HD void operator()(row_view<V> w) const {
    for (auto& x : w) x = x * V(scale);
  }
  template <class V>
  MOEROUTE_HD void backward(row_view<V const>, row_view<V> d) const {
    for (auto& x : d) x *= V(scale);
  }
  void describe(text& t) const {
    t.add("the score");
    if (scale != 1) t.add(" times ").add(scale);
  }
};

// g_j = scale * s_j / max(sum_i s_i + epsilon, floor). A zero denominator gives zero weights; infinite scores
// share the weight equally.
// Sources: Mixtral (epsilon 0), DeepSeek-V3 and Megatron-LM (1e-20), ERNIE-4.5 (floor 1e-12).
struct renormalize {
  float scale = 1;
  float epsilon = 1e-20f;
  float floor = 0;
  bool keep_single = false;  // k = 1: leave the score as it is (Megatron-LM, Transformer Engine)
  static constexpr bool takes_vectors = true;

  // Only where epsilon is out of sight of the largest chosen score, which counts as 1.
  MOEROUTE_HD constexpr bool scale_invariant(offset_t k) const {
    return epsilon <= 1e-17f && floor == 0 && !(keep_single && k == 1);
  }

  template <class V>
  MOEROUTE_HD void operator()(row_view<V> w) const {
    V const sum = denominator(w), factor = V(scale) * (V(1) / sum);
    if (math::any(factor == V(0)) || math::any(math::max(sum, V(0)) == V(0))) return share_of_infinite(w);  // seldom
    for (auto& x : w) x *= factor;
  }
  template <class V>
  MOEROUTE_HD void backward(row_view<V const> s, row_view<V> d) const {
    V const r = inverse(s);
    if (r == V(0)) {
      for (auto& x : d) x = 0;
      return;
    }
    V dot = 0;
    if (!constant(s))
      for (offset_t j = 0; j < s.size; ++j) dot += math::mul(s[j], d[j]);
    for (auto& x : d) x = V(scale) * r * (x - math::mul(dot, r));
  }
  void describe(text& t) const {
    t.add("scores divided by ");
    if (floor > 0) t.add("max(");
    t.add("their sum");
    if (epsilon > 0) t.add(" + ").add(epsilon);
    if (floor > 0) t.add(", ").add(floor).add(")");
    if (scale != 1) t.add(", times ").add(scale);
  }

 private:
  template <class V>
  MOEROUTE_COLD MOEROUTE_HD void share_of_infinite(row_view<V> w) const {
    V const infinite(infinity<math::scalar_t<V>>), factor = V(scale) * inverse(w);
    V count(0);
    for (auto const& x : w) count += math::where(x == infinite, V(1), V(0));
    for (auto& x : w) x = math::where(factor == V(0), math::where(x == infinite, V(scale) / count, V(0)), x * factor);
  }
  template <class W>
  MOEROUTE_HD auto total(W const& s) const {
    auto sum = std::remove_cvref_t<decltype(s[0])>(-0.f);  // no addition, as 0 would be
    for (auto const& x : s) sum += x;
    return sum + static_cast<decltype(sum)>(epsilon);
  }
  template <class W>
  MOEROUTE_HD bool constant(W const& s) const {  // the denominator does not move with the scores
    return (keep_single && s.size == 1) || (floor > 0 && total(s) <= static_cast<decltype(total(s))>(floor));
  }
  template <class W>
  MOEROUTE_HD auto denominator(W const& s) const {
    auto const sum = total(s);
    using V = std::remove_const_t<decltype(sum)>;
    if (keep_single && s.size == 1) return V(1);
    return floor > 0 ? math::where(sum < V(floor), V(floor), sum) : sum;
  }
  template <class W>
  MOEROUTE_HD auto inverse(W const& s) const {
    auto const sum = denominator(s);
    using V = std::remove_const_t<decltype(sum)>;
    V const r = V(1) / sum;
    return math::where(sum > V(0), r, math::where(sum < V(0), r, V(0)));
  }
};

// g_j = scale * s_j / (sum_i |s_i|^p)^(1/p); p = 0 keeps the scores. Sources: DBRX, MegaBlocks.
struct p_norm {
  float p = 2;
  float scale = 1;
  static constexpr bool takes_vectors = true;

  MOEROUTE_HD constexpr bool scale_invariant(offset_t) const { return p != 0; }

  template <class V>
  MOEROUTE_HD void operator()(row_view<V> w) const {
    V const n = norm(w);
    for (auto& x : w) x = math::where(n > V(0), V(scale) * x / n, V(0));
  }
  template <class V>
  MOEROUTE_HD void backward(row_view<V const> s, row_view<V> d) const {
    V const n = norm(s);
    if (!(n > V(0))) {
      for (auto& x : d) x = 0;
      return;
    }
    V dot = 0;
    if (p != 0)
      for (offset_t j = 0; j < s.size; ++j) dot += math::mul(s[j] / n, d[j]);  // k = 1: exactly d, gradient 0
    for (offset_t j = 0; j < s.size; ++j) {
      V const a = s[j] < V(0) ? -s[j] : s[j];
      V const pull = p == 0 || a == V(0) ? V(0) : power(a / n, exponent<V>(p) - 1) * (s[j] < V(0) ? V(-1) : V(1));
      d[j] = V(scale) / n * (d[j] - math::mul(dot, pull));
    }
  }
  status validate(index_t) const {
    return p >= 0 ? status{} : status{errc::bad_value, "weigh.p", "must be at least", static_cast<std::int64_t>(p), 0};
  }
  void describe(text& t) const {
    if (p == 0) t.add("the score");
    else t.add("scores divided by their ").add(p).add("-norm");
    if (scale != 1) t.add(", times ").add(scale);
  }

 private:
  template <class V>
  using exponent = math::scalar_t<V>;
  template <class V>
  MOEROUTE_HD static V power(V x, exponent<V> y) {
    if (y == 0) return V(1);
    if (y == 1) return x;
    return math::where(x > V(0), math::exp(V(y) * math::log(x)), V(0));
  }
  template <class W>
  MOEROUTE_HD auto norm(W const& s) const {
    using V = std::remove_cvref_t<decltype(s[0])>;
    if (p == 0) return V(1);
    V top(0), sum(0);  // scaled, so that no power overflows or vanishes
    auto const magnitude = [](V x) { return math::where(x < V(0), -x, x); };
    for (auto const& x : s) top = math::max(magnitude(x), top);
    for (auto const& x : s) sum += power(magnitude(x) / top, exponent<V>(p));
    return math::where(top > V(0), top * power(sum, 1 / exponent<V>(p)), V(0));
  }
};

// g_j = scale * exp(s_j - max s) / sum_i exp(s_i - max s); with score identity, "top-k then softmax".
// Sources: gpt-oss, JetMoE.
struct softmax_over_chosen {
  float scale = 1;
  static constexpr bool takes_vectors = true;
  static constexpr float absent = -infinity<float>;

  template <class V>
  MOEROUTE_HD void operator()(row_view<V> w) const {
    V const closed(-infinity<math::scalar_t<V>>);
    V top = closed, sum(0);
    for (auto const& x : w) top = math::max(x, top);
    for (auto& x : w) sum += x = math::where(x == top, V(1), math::exp(x - top));
    for (auto& x : w) x = math::where(top == closed, V(0), V(scale) * (x / sum));
  }
  template <class V>
  MOEROUTE_HD void backward(row_view<V const> s, row_view<V> d) const {
    V top = -infinity<V>, sum = 0, dot = 0;
    for (auto x : s) top = math::max(x, top);
    auto const e = [&](V x) { return math::where(x == top, V(1), math::exp(x - top)); };
    if (top == -infinity<V>) {
      for (auto& x : d) x = 0;
      return;
    }
    for (auto x : s) sum += e(x);
    for (offset_t j = 0; j < s.size; ++j) dot += math::mul(e(s[j]) / sum, d[j]);
    for (offset_t j = 0; j < s.size; ++j) d[j] = V(scale) * (e(s[j]) / sum) * (d[j] - dot);
  }
  void describe(text& t) const {
    t.add("softmax over the chosen");
    if (scale != 1) t.add(", times ").add(scale);
  }
};

// g_j = scale * sigmoid(s_j); with score identity, "top-k on logits, sigmoid after". Source: Llama-4.
struct sigmoid_of_chosen {
  float scale = 1;
  static constexpr bool takes_vectors = true;
  static constexpr float absent = -infinity<float>;
  template <class V>
  MOEROUTE_HD void operator()(row_view<V> w) const {
    for (auto& x : w) x = V(scale) * math::sigmoid(x);
  }
  template <class V>
  MOEROUTE_HD void backward(row_view<V const> s, row_view<V> d) const {
    for (offset_t j = 0; j < s.size; ++j) {
      V const y = math::sigmoid(s[j]);
      d[j] *= V(scale) * y * (V(1) - y);
    }
  }
  void describe(text& t) const {
    t.add("sigmoid of the chosen logit");
    if (scale != 1) t.add(", times ").add(scale);
  }
};

// The weight multiplies what the expert reads, not what it writes. Source: Llama-4.
template <class W>
struct on_input : W {
  static constexpr weight_place place = weight_place::input;
  void describe(text& t) const {
    W::describe(t);
    t.add(", applied to the expert's input");
  }
};
template <class W>
on_input(W) -> on_input<W>;

static_assert(differentiable_weigh<keep_scores> && differentiable_weigh<renormalize>);
static_assert(differentiable_weigh<p_norm> && differentiable_weigh<softmax_over_chosen>);
static_assert(differentiable_weigh<sigmoid_of_chosen> && differentiable_weigh<on_input<keep_scores>>);

}  // namespace moeroute::inline MOEROUTE_ABI
