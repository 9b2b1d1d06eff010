// Decides how the cosine gate is read from a case: golden folder 17.
#include <cmath>

#include <moeroute/gate/cosine.hpp>

#include "cli/routed.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

template <class T>
struct cosine_parts {
  tensor<T> x, projection, projection_bias, expert;  // expert: [E, proj]
  double log_scale = 0, log_scale_max = 0, epsilon = 0;
  normalize_token token = normalize_token::yes;

  cosine_gate<T> gate() const {
    cosine_gate<T> g{.projection = projection.matrix(),
                     .expert = expert.matrix(),
                     .log_scale = log_scale,
                     .log_scale_max = log_scale_max,
                     .token = token,
                     .epsilon = epsilon};
    if (projection_bias.size() > 0) g.projection_bias = projection_bias.row();
    return g;
  }
  tensor<T> scores(any_executor const& on) const {
    auto const g = gate();
    tensor<T> out({x.extent(0), expert.extent(0)});
    auto work = memory(g.workspace_bytes(on, x.extent(0)));
    throw_if_bad(g(on, x.matrix(), out.matrix(), workspace(work)));
    return out;
  }
};

template <class T>
tensor<T> transposed_of(tensor<T> const& m) {
  tensor<T> out({m.extent(1), m.extent(0)});
  for (std::int64_t i = 0; i < m.extent(0); ++i)
    for (std::int64_t j = 0; j < m.extent(1); ++j) out[j * m.extent(0) + i] = m[i * m.extent(1) + j];
  return out;
}
double finite(case_file const& c, std::string const& name, double otherwise) {
  double const v = c.number(name, otherwise);
  if (!std::isfinite(v)) c.bad("params." + name, "a finite number", in_words(v));
  return v;
}

// Scores in both precisions and the gradient of sum(d_scores * scores), computed in double.
struct cosine_gradient {
  tensor<double> x, projection, projection_bias, expert;
  double log_scale = 0;
};
cosine_gradient gradient_of(case_file const& c, any_executor const& on, cosine_parts<double> const& p) {
  auto const d = c.floats<double>("d_scores", {p.x.extent(0), p.expert.extent(0)}, nan::forbidden);
  auto const g = p.gate();
  cosine_gradient out{tensor<double>(p.x.shape), tensor<double>(p.projection.shape),
                      tensor<double>({p.projection.extent(0)}), tensor<double>(p.expert.shape)};
  auto work = memory(g.workspace_bytes(on, p.x.extent(0)));
  throw_if_bad(
      g.backward(on, p.x.matrix(), d.matrix(),
                 cosine_gate<double>::gradient<double>{out.x.matrix(), out.projection.matrix(),
                                                       out.projection_bias.row(), out.expert.matrix(), &out.log_scale},
                 workspace(work)));
  return out;
}
void add_scores(outputs& out, any_executor const& on, cosine_parts<float> const& f, cosine_parts<double> const& d) {
  text words;
  d.gate().describe(words);
  out.describe = words.c_str();
  out.add("scores", f.scores(on));
  out.add("scores_f64", d.scores(on));
}

template <class T>
cosine_parts<T> tutel_parts(case_file const& c) {
  cosine_parts<T> p;
  p.x = c.floats<T>("x", {any, any}, nan::forbidden);
  p.projection = c.floats<T>("w_proj", {any, p.x.extent(1)}, nan::forbidden);
  p.projection_bias = c.floats<T>("b_proj", {p.projection.extent(0)}, nan::forbidden);
  p.expert = transposed_of(c.floats<T>("sim_matrix", {p.projection.extent(0), any}, nan::forbidden));
  p.log_scale = finite(c, "temperature", 0);
  p.log_scale_max = finite(c, "temperature_max", 4.605170185988092);
  p.epsilon = c.has("eps") ? c.number_in("eps", 0, 1) : 1e-12;
  p.token = c.flag("normalize_token", true) ? normalize_token::yes : normalize_token::no;
  c.same("T", p.x.extent(0)), c.same("D", p.x.extent(1));
  c.same("proj", p.projection.extent(0)), c.same("E", p.expert.extent(0));
  return p;
}
outputs xmoe_cosine_scorer(case_file const& c, any_executor const& on) {
  auto const p = tutel_parts<double>(c);
  outputs out;
  add_scores(out, on, tutel_parts<float>(c), p);
  if (c.has_input("d_scores")) {
    auto const d = gradient_of(c, on, p);
    out.add("d_x", d.x.as<float>());
    out.add("d_w_proj", d.projection.as<float>());
    out.add("d_b_proj", d.projection_bias.as<float>());
    out.add("d_sim_matrix", transposed_of(d.expert).as<float>());
    out.number("d_temperature", d.log_scale);
  }
  return out;
}

template <class T>
cosine_parts<T> torchscale_parts(case_file const& c) {
  cosine_parts<T> p;
  p.x = c.floats<T>("x", {any, any}, nan::forbidden);
  p.projection = c.floats<T>("w_reduction", {any, p.x.extent(1)}, nan::forbidden);
  p.expert = c.floats<T>("w_expert", {any, p.projection.extent(0)}, nan::forbidden);
  throw_if_bad(rescale_rows(p.expert.matrix(),
                            static_cast<T>(c.has("expert_norm") ? c.number_in("expert_norm", 1e-6, 1e6) : 1.5)));
  p.epsilon = c.has("eps") ? c.number_in("eps", 0, 1) : 1e-4;
  p.token = c.flag("normalize_token", false) ? normalize_token::yes : normalize_token::no;
  c.same("T", p.x.extent(0)), c.same("D", p.x.extent(1));
  c.same("proj", p.projection.extent(0)), c.same("E", p.expert.extent(0));
  return p;
}
outputs xmoe_cosine_scorer_code(case_file const& c, any_executor const& on) {
  auto const f = torchscale_parts<float>(c);
  auto const p = torchscale_parts<double>(c);
  outputs out;
  add_scores(out, on, f, p);
  out.add("w_expert_rescaled", f.expert);
  if (c.has_input("d_scores")) {
    auto const d = gradient_of(c, on, p);
    out.add("d_x", d.x.as<float>());
    out.add("d_w_reduction", d.projection.as<float>());
    out.add("d_w_expert", d.expert.as<float>());
  }
  return out;
}

register_schemes const registered{
    {"xmoe_cosine_scorer", "S033",
     "cosine of the projected token with each expert, times exp(log-temperature), clamped", xmoe_cosine_scorer},
    {"xmoe_cosine_scorer_code", "S033", "as released: token not normalized, no temperature, expert rows rescaled",
     xmoe_cosine_scorer_code},
};

}  // namespace
}  // namespace moeroute_examples
