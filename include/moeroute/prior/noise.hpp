// Decides how noise enters the logits: what is drawn, from where, and how it is scaled. As a router's prior
// the noise reaches choice and weight (V-MoE, Shazeer et al., both weigh with the noisy logits);
// inside noisy_top_k (select/noisy_top_k.hpp) it steers the choice alone.
//
//   gaussian_noise   z + d n            d = deviation / experts (V-MoE, Riquelme et al. 2021) or deviation
//   learned_noise    z + n (softplus(r) + epsilon)           (Shazeer et al. 2017; r: noise logits)
//   logit_jitter     z u,  u in (1 - epsilon, 1 + epsilon)
//   input_jitter     the same on hidden states, a verb        (Switch Transformer, epsilon 1e-2)
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/philox.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// ---- sources: V at<V>(row_context, index_t e) const -----------------------------------------------------

struct drawn_gumbel {
  draws random{.seed = 0, .step = 0, .purpose = 0x47};
  template <class V>
  MOEROUTE_HD V at(row_context c, index_t e) const {
    return random.template gumbel<V>(c.token, e);
  }
};
struct drawn_normal {
  draws random{.seed = 0, .step = 0, .purpose = 0x4E};
  template <class V>
  MOEROUTE_HD V at(row_context c, index_t e) const {
    return random.template normal<V>(c.token, e);
  }
};
struct drawn_uniform {
  draws random{.seed = 0, .step = 0, .purpose = 0x55};
  template <class V>
  MOEROUTE_HD V at(row_context c, index_t e) const {
    return random.template uniform<V>(c.token, e);
  }
};
// Numbers of the caller, a row a token of the batch.
template <class T = float>
struct given_noise {
  matrix_view<T const> value{};  // tokens x experts
  template <class V>
  MOEROUTE_HD V at(row_context c, index_t e) const {
    return static_cast<V>(value[c.row][e]);
  }
  status validate_tokens(offset_t tokens) const {
    return checks{}.at_least("noise.value rows", value.rows, tokens, errc::bad_shape).result();
  }
  status validate(index_t experts) const {
    return checks{}.must_be("noise.value columns", value.cols, experts).strided("noise.value", value).result();
  }
};
template <class M>
  requires requires(M& m) {
    m.data();
    m.rows();
    *m.data();
  }
given_noise(M&& m) -> given_noise<std::remove_cvref_t<decltype(*m.data())>>;
template <class T>
given_noise(matrix_view<T>) -> given_noise<std::remove_const_t<T>>;

template <class S>
concept noise_source = requires(S const& s, row_context c) {
  { s.template at<float>(c, index_t{}) } -> std::same_as<float>;
  { s.template at<double>(c, index_t{}) } -> std::same_as<double>;
};
static_assert(noise_source<drawn_gumbel> && noise_source<drawn_normal> && noise_source<drawn_uniform>);
static_assert(noise_source<given_noise<>>);

// ---- perturbations: V noisy(row_context, index_t e, index_t experts, V z) const; also priors ------------

template <noise_source Source = drawn_normal>
struct gaussian_noise {
  float deviation = 1;
  bool over_experts = true;  // V-MoE divides the deviation by the number of experts
  Source source{};

  template <class V>
  MOEROUTE_HD V noisy(row_context c, index_t e, index_t experts, V z) const {
    V const d = over_experts ? V(deviation) / static_cast<V>(experts) : V(deviation);
    return math::fma(d, source.template at<V>(c, e), z);
  }
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context c, auto const& x) const {
    index_t const experts = x.size();
    x.each(g, [&]<class V>(index_t e, V& z) { z = noisy(c, e, experts, z); });
  }
  status validate_tokens(offset_t tokens) const { return tokens_fit(source, tokens); }
  status validate(index_t experts) const {
    if (!(deviation >= 0))
      return {errc::bad_value, "noise.deviation", "must be at least", static_cast<std::int64_t>(deviation), 0};
    return experts_fit(source, experts);
  }
  void describe(text& t) const {
    t.add("logit + Gaussian noise, deviation ").add(deviation).add(over_experts ? " / experts" : "");
  }
};

template <noise_source Source = drawn_normal>
struct learned_noise {
  matrix_view<float const> noise_logits{};  // tokens x experts: a second gate
  float epsilon = 1e-2f;
  Source source{};

  template <class V>
  MOEROUTE_HD V deviation(row_context c, index_t e) const {
    return math::softplus(static_cast<V>(noise_logits[c.row][e])) + V(epsilon);
  }
  template <class V>
  MOEROUTE_HD V noisy(row_context c, index_t e, index_t, V z) const {
    return math::fma(deviation<V>(c, e), source.template at<V>(c, e), z);
  }
  // d noisy / d noise logit: multiply by the gradient of the logit for that of the second gate.
  template <class V>
  MOEROUTE_HD V derivative_of_noise_logit(row_context c, index_t e) const {
    return source.template at<V>(c, e) * math::sigmoid(static_cast<V>(noise_logits[c.row][e]));
  }
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context c, auto const& x) const {
    index_t const experts = x.size();
    x.each(g, [&]<class V>(index_t e, V& z) { z = noisy(c, e, experts, z); });
  }
  status validate_tokens(offset_t tokens) const {
    return checks{}
        .at_least("noise.noise_logits rows", noise_logits.rows, tokens, errc::bad_shape)
        .also(tokens_fit(source, tokens))
        .result();
  }
  status validate(index_t experts) const {
    checks k;
    k.must_be("noise.noise_logits columns", noise_logits.cols, experts).strided("noise.noise_logits", noise_logits);
    return k.also(experts_fit(source, experts)).result();
  }
  void describe(text& t) const { t.add("logit + n (softplus(noise logit) + ").add(epsilon).add(")"); }
};

template <noise_source Source = drawn_uniform>
struct logit_jitter {
  float epsilon = 1e-2f;
  Source source{};

  template <class V>
  MOEROUTE_HD V factor(row_context c, index_t e) const {
    return math::fma(V(2) * V(epsilon), source.template at<V>(c, e), V(1) - V(epsilon));
  }
  template <class V>
  MOEROUTE_HD V noisy(row_context c, index_t e, index_t, V z) const {
    return math::mul(z, factor<V>(c, e));
  }
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context c, auto const& x) const {
    x.each(g, [&]<class V>(index_t e, V& z) { z = noisy(c, e, index_t{}, z); });
  }
  template <class V>
  MOEROUTE_HD V derivative(row_context c, index_t e, V) const {
    return factor<V>(c, e);
  }
  status validate_tokens(offset_t tokens) const { return tokens_fit(source, tokens); }
  status validate(index_t experts) const {
    if (!(epsilon >= 0 && epsilon < 1))
      return {errc::bad_value, "jitter.epsilon", "must be at least 0 and below", static_cast<std::int64_t>(epsilon), 1};
    return experts_fit(source, experts);
  }
  void describe(text& t) const { t.add("logit times 1 +- ").add(epsilon); }
};

template <class P>
concept perturbation = requires(P const& p, row_context c) {
  { p.noisy(c, index_t{}, index_t{}, 1.f) } -> std::same_as<float>;
  { p.noisy(c, index_t{}, index_t{}, 1.) } -> std::same_as<double>;
};
static_assert(prior_policy<gaussian_noise<>> && perturbation<gaussian_noise<>>);
static_assert(prior_policy<learned_noise<>> && perturbation<learned_noise<>>);
static_assert(prior_policy<logit_jitter<>> && perturbation<logit_jitter<>>);

// ---- jitter of the router's input --------------------------------------------------------------------------

// out = hidden * u element by element; `token` names the rows for the draws (row number if left out). The
// backward is the same call on the gradient.
template <class H>
struct input_jitter_row {
  logit_jitter<> jitter;
  matrix_view<H const> hidden;
  row_view<offset_t const> token;
  matrix_view<H> out;

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t t, scratch) const {
    row_context const c{token.empty() ? t : token[t], 0, 0, 0, t};
    for (offset_t i = g.rank(); i < hidden.cols; i += g.size())
      out[t][i] = store<H>(jitter.noisy(c, static_cast<index_t>(i), 0, load(hidden[t][i])));
    g.sync();
  }
};
template <executor X, class H>
status try_input_jitter(X const& x, logit_jitter<> const& jitter, matrix_view<H> hidden, row_view<offset_t const> token,
                        matrix_view<std::remove_const_t<H>> out, workspace w = {}) noexcept {
  using T = std::remove_const_t<H>;
  checks c;
  c.must_be("out rows", out.rows, hidden.rows).must_be("out columns", out.cols, hidden.cols);
  c.empty_or("token size", token, hidden.rows).strided("hidden", hidden).strided("out", out);
  c.also(jitter.validate(static_cast<index_t>(hidden.cols)));
  if (!c.result().ok()) return c.result();
  return x.run(hidden.rows, input_jitter_row<T>{jitter, hidden, token, out}, w);
}
template <executor X, class H>
void input_jitter(X const& x, logit_jitter<> const& jitter, matrix_view<H> hidden, row_view<offset_t const> token,
                  matrix_view<std::remove_const_t<H>> out, workspace w = {}) {
  throw_if_bad(try_input_jitter(x, jitter, hidden, token, out, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
