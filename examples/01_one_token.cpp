// One token from hidden state to output, and its gradient back: every station of docs/walk.md on 4 tokens and
// 6 experts, with the numbers printed at each. Expert e multiplies by e + 1.
#include <cmath>
#include <cstdio>
#include <vector>

#include <moeroute/moeroute.hpp>

using namespace moeroute;

namespace {
offset_t const tokens = 4, width = 2;
index_t const experts = 6, k = 2;

template <class T>
void print(char const* name, matrix_view<T> m) {
  std::printf("%s\n", name);
  for (offset_t r = 0; r < m.rows; ++r) {
    for (auto x : m[r]) std::printf(" %8.4f", std::fabs(x) < 5e-5f ? 0. : static_cast<double>(x));
    std::printf("\n");
  }
}
template <class T>
void print_integers(char const* name, std::vector<T> const& v, std::size_t columns) {
  std::printf("%s\n", name);
  for (std::size_t i = 0; i < v.size(); ++i)
    std::printf(" %3lld%s", static_cast<long long>(v[i]), (i + 1) % columns == 0 ? "\n" : "");
}
}  // namespace

int main() {
  std::vector<float> hidden{1, 0, 0, 1, -1, 1, .5f, .5f};                 // tokens x width
  std::vector<float> gate_weight{1, 0, 0, 1, -1, 0, 0, -1, 1, 1, -1, 1};  // experts x width
  matrix_view<float const> const h{hidden.data(), tokens, width};

  router const mixtral{.gate = linear_gate<>{{gate_weight.data(), experts, width}},
                       .score = softmax{},
                       .select = top_k{k},
                       .weigh = renormalize{.epsilon = 0}};
  std::printf("%s\n\n", describe(mixtral).c_str());

  // gate -> logits, score -> probabilities, select -> ids, weigh -> weights
  std::vector<float> logits(static_cast<std::size_t>(tokens * experts)), scores(logits.size());
  throw_if_bad(mixtral.gate(serial{}, h, matrix_view<float>(logits.data(), tokens, experts), {}));
  routing routed(tokens, mixtral);
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, mixtral, tokens, experts)));
  auto out = routed.view();
  out.scores = {scores.data(), tokens, experts};
  route(serial{}, mixtral, {.logits = {logits.data(), tokens, experts}}, out, workspace(space));
  print("logits, tokens x experts", matrix_view<float>(logits.data(), tokens, experts));
  print("scores, tokens x experts", out.scores);
  print_integers("ids, tokens x k", routed.ids, k);
  print("weights, tokens x k", out.weights);

  // plan: where every choice goes
  dispatch_plan const plan = make_plan(routed, experts);
  print_integers("counts, experts", plan.counts, experts);
  print_integers("offsets, experts + 1", plan.offsets, experts + 1);
  print_integers("slot_of_choice, tokens x k", plan.slot_of_choice, k);
  print_integers("token_of_slot, rows", plan.token_of_slot, plan.token_of_slot.size());

  // permute -> experts -> combine
  std::vector<float> grouped(static_cast<std::size_t>(plan.rows() * width)), output(hidden.size());
  matrix_view<float> const rows{grouped.data(), plan.rows(), width};
  permute(serial{}, plan, h, rows);
  for (auto [expert, run] : plan.runs())
    for (float* x = rows[run.first].data; x != rows[run.first].data + run.count * width; ++x)
      *x *= static_cast<float>(expert + 1);
  combine(serial{}, plan, rows, matrix_view<float>(output.data(), tokens, width));
  print("output, tokens x width", matrix_view<float>(output.data(), tokens, width));

  // and back: combine -> d weights -> d logits -> d hidden (through the gate)
  std::vector<float> d_output(hidden.size(), 1.f), d_rows(grouped.size()), d_weights(routed.weights.size());
  matrix_view<float> const dw{d_weights.data(), tokens, k};
  combine_backward(serial{}, plan.view(), combine_terms<float>{.rows = rows, .weights = plan.weight_matrix()},
                   matrix_view<float const>(d_output.data(), tokens, width),
                   combine_gradients<float>{.rows = {d_rows.data(), plan.rows(), width}, .weights = dw});
  print("d weights, tokens x k", dw);
  std::vector<float> d_logits(logits.size()), d_hidden(hidden.size());
  route_backward(serial{}, mixtral, {.logits = {logits.data(), tokens, experts}}, out.ids, dw,
                 matrix_view<float>(d_logits.data(), tokens, experts), workspace(space));
  print("d logits, tokens x experts", matrix_view<float>(d_logits.data(), tokens, experts));
  throw_if_bad(mixtral.gate.backward(serial{}, h, matrix_view<float const>(d_logits.data(), tokens, experts),
                                     linear_gate<>::gradient<float>{.hidden = {d_hidden.data(), tokens, width}}));
  print("d hidden through the gate, tokens x width", matrix_view<float>(d_hidden.data(), tokens, width));
}
