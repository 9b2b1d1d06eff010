// Decides to balance without a loss: a Sinkhorn plan that spreads the choice, and an auction that splits it exactly.
#include <cstdio>
#include <vector>

#include <moeroute/presets_extended.hpp>

using namespace moeroute;

namespace {
void show(char const* name, std::vector<index_t> const& expert, index_t experts) {
  std::vector<int> load(static_cast<std::size_t>(experts));
  for (index_t const e : expert) ++load[static_cast<std::size_t>(e)];
  std::printf("%-9s loads", name);
  for (int const n : load) std::printf(" %3d", n);
  std::printf("\n");
}
}  // namespace

int main() {
  constexpr offset_t tokens = 64, experts = 4;
  draws const random{.seed = 1};
  std::vector<float> logits(tokens * experts), plan(logits.size()), weights(tokens);
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < experts; ++e)  // everybody likes expert 0
      logits[static_cast<std::size_t>(t * experts + e)] = random.normal<float>(t, e) + (e == 0 ? 1.5f : 0.f);
  matrix_view<float const> const z{logits.data(), tokens, experts};
  std::vector<index_t> ids(tokens);
  std::vector<std::byte> work(1 << 16);
  auto const run = [&](auto const& r) {
    route(serial{}, r, batch<float>{.logits = z},
          routing_view<>{{ids.data(), tokens, 1}, {weights.data(), tokens, 1}, {}}, workspace(work));
  };

  run(presets::base_layer_evaluation());
  show("argmax", ids, experts);
  sinkhorn_plan(serial{}, sinkhorn{}, z, matrix_view<float>{plan.data(), tokens, experts}, workspace(work));
  run(presets::sinkhorn_top1({plan.data(), tokens, experts}));
  show("Sinkhorn", ids, experts);
  std::vector<index_t> assignment(tokens);
  auto const report = balanced_assignment(serial{}, auction{}, z, row_view<index_t>(assignment), workspace(work));
  run(presets::base_layer({assignment.data(), tokens, 1}));
  show("auction", ids, experts);
  std::printf("auction: %d rounds, total score within %.3f of the best\n", static_cast<int>(report.rounds),
              static_cast<double>(tokens) * report.epsilon);
}
