// Decides to let experts choose: 12 tokens, 4 experts, 3 tokens each; then the same picks as a dispatch plan.
#include <cstdio>
#include <vector>

#include <moeroute/plan.hpp>
#include <moeroute/route_experts.hpp>
#include <moeroute/select/picks_by_token.hpp>

using namespace moeroute;

int main() {
  constexpr offset_t tokens = 12, experts = 4, capacity = 3;
  std::vector<float> logits;
  for (int i = 0; i < tokens * experts; ++i) logits.push_back(static_cast<float>(i * 7 % 13) / 4.f);

  router const r{.score = softmax{}, .select = top_tokens<>{.capacity_factor = 1}};  // tokens x 1 / experts = 3
  std::vector<offset_t> picked(experts * capacity);
  std::vector<float> weights(experts * capacity);
  std::vector<std::byte> work(
      static_cast<std::size_t>(route_experts_workspace_bytes(serial{}, r, tokens, experts, 1, capacity)));
  route_experts(serial{}, r, batch<float>{.logits = {logits.data(), tokens, experts}},
                expert_routing_view<float>{{picked.data(), experts, capacity}, {weights.data(), experts, capacity}},
                workspace(work));
  std::printf("%s\n", describe(r).c_str());
  for (std::size_t e = 0; e < experts; ++e)
    std::printf("expert %zu takes tokens %2d %2d %2d\n", e, static_cast<int>(picked[3 * e]),
                static_cast<int>(picked[3 * e + 1]), static_cast<int>(picked[3 * e + 2]));

  // Token by token, ragged: what a plan takes. A token may have no expert; its row passes the residual only.
  std::vector<offset_t> offsets(tokens + 1);
  std::vector<index_t> ids(experts * capacity);
  std::vector<float> by_token(experts * capacity);
  picks_by_token(serial{}, matrix_view<offset_t const>{picked.data(), experts, capacity},
                 matrix_view<float const>{weights.data(), experts, capacity}, experts,
                 token_choices_view<float>{offsets, ids, by_token, {}});
  for (std::size_t t = 0; t < tokens; ++t) {
    std::printf("token %2zu:", t);
    for (auto c = static_cast<std::size_t>(offsets[t]); c < static_cast<std::size_t>(offsets[t + 1]); ++c)
      std::printf("  expert %d x %.3f", ids[c], static_cast<double>(by_token[c]));
    std::printf("\n");
  }
}
