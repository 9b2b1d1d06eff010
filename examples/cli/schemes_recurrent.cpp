// Decides how the recurrent gate is read from a case: golden folder 19. One GRU cell shared by the layers,
// a state per token across depth, top-k of the softmax in every layer.
#include <moeroute/gate/gru.hpp>
#include <moeroute/presets.hpp>

#include "cli/routed.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

char const* const cell_weights[] = {"gru_weight_ir", "gru_weight_hr", "gru_weight_iz",
                                    "gru_weight_hz", "gru_weight_in", "gru_weight_hn"};
char const* const cell_biases[] = {"gru_bias_ir", "gru_bias_hr", "gru_bias_iz",
                                   "gru_bias_hz", "gru_bias_in", "gru_bias_hn"};

template <class T>
struct recurrent {
  tensor<T> x, w1, w2;  // [layers, T, D], [layers, H, D], [layers, E, H]
  std::vector<tensor<T>> weights, biases;
  index_t k = 0;
  bool renormalized = true;
  tensor<T> state, logits;  // [layers + 1, T, H], [layers, T, E]

  std::int64_t layers() const { return x.extent(0); }
  template <class Tensors>
  static auto cell(Tensors& w, Tensors& b) {
    using V = std::remove_pointer_t<decltype(w[0].matrix().data)>;
    return gru_cell<V>{w[0].matrix(), w[1].matrix(), w[2].matrix(), w[3].matrix(), w[4].matrix(), w[5].matrix(),
                       b[0].row(),    b[1].row(),    b[2].row(),    b[3].row(),    b[4].row(),    b[5].row()};
  }
  gru_gate<T> gate(std::int64_t l) {
    auto const& me = *this;
    return {.w1 = me.w1.slice(l),
            .w2 = me.w2.slice(l),
            .cell = cell(me.weights, me.biases),
            .state = me.state.slice(l),
            .next = state.slice(l + 1)};
  }
  auto router() const {
    return moeroute::router{.score = softmax{}, .select = top_k{k}, .weigh = renormalize{.epsilon = 0}};
  }
  auto plain_router() const { return moeroute::router{.score = softmax{}, .select = top_k{k}, .weigh = keep_scores{}}; }

  void run(any_executor const& on) {
    state = tensor<T>({layers() + 1, x.extent(1), weights[0].extent(0)});
    logits = tensor<T>({layers(), x.extent(1), w2.extent(1)});
    auto const& in = x;
    for (std::int64_t l = 0; l < layers(); ++l) {
      auto const g = gate(l);
      auto work = memory(g.workspace_bytes(on, x.extent(1)));
      throw_if_bad(g(on, in.slice(l), logits.slice(l), workspace(work)));
    }
  }
  routed<T> choices(any_executor const& on) const {
    tensor<T> const flat(logits.values, {layers() * logits.extent(1), logits.extent(2)});
    auto out = renormalized ? forward(on, router(), flat) : forward(on, plain_router(), flat);
    out.ids.shape = out.weights.shape = {layers(), logits.extent(1), std::int64_t{k}};
    return out;
  }
};

template <class T>
recurrent<T> parts_of(case_file const& c) {
  recurrent<T> p;
  p.x = c.floats<T>("x", {any, any, any}, nan::forbidden);
  p.w1 = c.floats<T>("w1", {p.x.extent(0), any, p.x.extent(2)}, nan::forbidden);
  auto const h = p.w1.extent(1);
  p.w2 = c.floats<T>("w2", {p.x.extent(0), any, h}, nan::forbidden);
  for (auto const* name : cell_weights) p.weights.push_back(c.floats<T>(name, {h, h}, nan::forbidden));
  for (auto const* name : cell_biases) p.biases.push_back(c.floats<T>(name, {h}, nan::forbidden));
  c.same("layers", p.x.extent(0)), c.same("T", p.x.extent(1)), c.same("D", p.x.extent(2)), c.same("H", h);
  c.same("E", p.w2.extent(1));
  p.k = as_index(c.integer("k", 1, p.w2.extent(1)));
  p.renormalized = c.flag("renormalize", true);
  return p;
}

// Gradients of sum(d_weights_last * weights of the last layer): of x and of every parameter of the cell.
void add_gradients(case_file const& c, any_executor const& on, recurrent<double>& p, tensor<index_t> const& ids,
                   outputs& out) {
  auto const tokens = p.x.extent(1), experts = p.w2.extent(1), h = p.weights[0].extent(0), last = p.layers() - 1;
  auto const d_weights = c.floats<double>("d_weights_last", {tokens, std::int64_t{p.k}}, nan::forbidden);
  auto const& logits = p.logits;
  tensor<double> const z({logits.slice(last).data, logits.slice(last).data + tokens * experts}, {tokens, experts});
  tensor<index_t> const chosen({ids.values.end() - tokens * p.k, ids.values.end()}, {tokens, std::int64_t{p.k}});
  tensor<double> d_logits = p.renormalized ? backward(on, p.router(), z, chosen, d_weights)
                                           : backward(on, p.plain_router(), z, chosen, d_weights);
  tensor<double> const none({tokens, experts});
  tensor<double> d_x(p.x.shape), d_state({tokens, h}), d_next({tokens, h});
  std::vector<tensor<double>> d_w(6, tensor<double>({h, h})), d_b(6, tensor<double>({h}));
  auto const& in = p.x;
  for (std::int64_t l = last; l >= 0; --l) {
    auto const g = p.gate(l);
    auto work = memory(g.workspace_bytes(on, tokens));
    auto const& d_z = l == last ? std::as_const(d_logits) : none;
    throw_if_bad(
        g.backward(on, in.slice(l), d_z.matrix(), std::as_const(d_next).matrix(),
                   {.hidden = d_x.slice(l), .state = d_state.matrix(), .cell = recurrent<double>::cell(d_w, d_b)},
                   workspace(work)));
    d_next = d_state;
  }
  out.add("d_x", d_x.as<float>());
  for (std::size_t i = 0; i < 6; ++i) {
    out.add(std::string("d_") + cell_weights[i], d_w[i].as<float>());
    out.add(std::string("d_") + cell_biases[i], d_b[i].as<float>());
  }
}

template <class T>
tensor<T> states_of(recurrent<T> const& p) {  // after each layer; the zeros before the first are left out
  auto const& s = p.state;
  return {{s.slice(1).data, s.values.data() + s.size()}, {p.layers(), s.extent(1), s.extent(2)}};
}

outputs rmoe_gru_router(case_file const& c, any_executor const& on) {
  auto f32 = parts_of<float>(c);
  auto f64 = parts_of<double>(c);
  f32.run(on), f64.run(on);
  auto const a = f32.choices(on);
  auto const b = f64.choices(on);
  outputs out;
  text words;
  f32.gate(0).describe(words);
  words.add("; ").add(f32.renormalized ? describe(f32.router()) : describe(f32.plain_router()));
  out.describe = words.c_str();
  out.add("state", states_of(f32));
  out.add("logits", f32.logits);
  out.add("ids", a.ids);
  out.add("weights", a.weights);
  out.add("state_f64", states_of(f64));
  out.add("weights_f64", b.weights);
  if (c.has_input("d_weights_last")) add_gradients(c, on, f64, b.ids, out);
  return out;
}

register_schemes const registered{
    {{"rmoe_gru_router", "S075", "W2 GRU(W1 x, state of the layer below), softmax, top-k, weights divided by their sum",
      rmoe_gru_router}}};

}  // namespace
}  // namespace moeroute_examples
