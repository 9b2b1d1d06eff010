// Decides how a token-choice scheme runs on a case: forward in float and in double, and both gradients,
// through route and route_backward. Namespace: moeroute_examples.
#pragma once

#include <moeroute/route_backward.hpp>

#include "cli/scheme.hpp"

namespace moeroute_examples {

template <class T>
struct routed {
  tensor<moeroute::index_t> ids;
  tensor<T> weights;
  tensor<T> scores;  // empty unless asked
};

// A number the policies keep as index_t.
inline moeroute::index_t as_index(std::int64_t n) { return static_cast<moeroute::index_t>(n); }

// Logits [T, E] whose sizes agree with the params.
template <class T>
tensor<T> logits_of(case_file const& c, std::string const& name = "logits") {
  auto out = c.floats<T>(name, {any, any});
  if (out.extent(1) < 1) c.wrong(name, "shape", "at least one expert", in_words(out.shape));
  c.same("T", out.extent(0)), c.same("E", out.extent(1));
  return out;
}
inline tensor<float> bias_of(case_file const& c, std::int64_t experts) {
  return c.floats<float>("bias", {experts}, nan::forbidden);
}

template <class T, class R>
routed<T> forward(any_executor const& x, R const& r, tensor<T> const& logits, bool with_scores = false) {
  auto const tokens = logits.extent(0), k = std::int64_t{r.select.experts_per_token()};
  routed<T> out{tensor<moeroute::index_t>({tokens, k}), tensor<T>({tokens, k}), {}};
  if (with_scores) out.scores = tensor<T>(logits.shape);
  moeroute::batch<T> const in{.logits = logits.matrix()};
  auto const bytes = moeroute::route_workspace_bytes<any_executor, R, T>(x, r, tokens, as_index(logits.extent(1)));
  auto work = memory(bytes);
  moeroute::routing_view<moeroute::index_t, T> view{out.ids.matrix(), out.weights.matrix(), {}};
  if (with_scores) view.scores = out.scores.matrix();
  moeroute::route(x, r, in, view, moeroute::workspace(work));
  return out;
}

template <class T, class R>
tensor<T> backward(any_executor const& x, R const& r, tensor<T> const& logits, tensor<moeroute::index_t> const& ids,
                   tensor<T> const& d_weights) {
  tensor<T> d_logits(logits.shape);
  moeroute::batch<T> const in{.logits = logits.matrix()};
  auto const bytes =
      moeroute::route_workspace_bytes<any_executor, R, T>(x, r, logits.extent(0), as_index(logits.extent(1)));
  auto work = memory(bytes);
  moeroute::route_backward(x, r, in, ids.matrix(), d_weights.matrix(), d_logits.matrix(), moeroute::workspace(work));
  return d_logits;
}

// The items most token-choice schemes expect: ids, weights, weights_f64, d_logits, d_logits_f64. Logits that
// come in double are routed in double.
template <class R>
outputs route_case(case_file const& c, any_executor const& x, R const& r) {
  auto const wide = logits_of<double>(c);
  auto const narrow = wide.template as<float>();
  outputs out;
  out.describe = moeroute::describe(r).c_str();
  auto const f32 = forward(x, r, narrow);
  auto const f64 = forward(x, r, wide);
  bool const in_double = c.input_is_double("logits");
  auto const& ids = in_double ? f64.ids : f32.ids;
  out.add("ids", ids);
  if (in_double) out.add("weights", f64.weights);
  else out.add("weights", f32.weights);
  out.add("weights_f64", f64.weights);
  if (c.has_input("d_weights")) {
    auto const d = c.floats<double>("d_weights", ids.shape, nan::forbidden);
    auto const d64 = backward(x, r, wide, ids, d);
    out.add("d_logits_f64", d64);
    if (in_double) out.add("d_logits", d64);
    else out.add("d_logits", backward(x, r, narrow, ids, d.template as<float>()));
  }
  return out;
}

}  // namespace moeroute_examples
