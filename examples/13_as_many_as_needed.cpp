// Decides to give each token as many experts as it needs: six rules on the same three tokens, sure to unsure.
#include <cstdio>
#include <vector>

#include <moeroute/presets_extended.hpp>
#include <moeroute/select/gumbel_threshold.hpp>
#include <moeroute/select/ratio_threshold.hpp>

using namespace moeroute;

namespace {
constexpr offset_t tokens = 3, experts = 6;
float const logits[tokens * experts] = {5, 1, 0, -1, -1, -2, 2, 1.5f, 0, 0, -1, -1, .2f, .1f, 0, 0, -.1f, -.2f};

template <class R>
void show(R const& r) {
  auto const k = r.select.experts_per_token();
  std::vector<index_t> ids(static_cast<std::size_t>(tokens * k));
  std::vector<float> weights(ids.size());
  std::vector<std::byte> work(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, tokens, experts)));
  route(serial{}, r, batch<float>{.logits = {logits, tokens, experts}},
        routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}, {}}, workspace(work));
  std::printf("%s\n", describe(r).c_str());
  for (offset_t t = 0; t < tokens; ++t) {
    std::printf("  token %d:", static_cast<int>(t));
    for (offset_t j = 0; j < k; ++j)
      if (auto const i = static_cast<std::size_t>(t * k + j); ids[i] != no_expert)
        std::printf("  %d x %.2f", ids[i], static_cast<double>(weights[i]));
    std::printf("\n");
  }
}
}  // namespace

int main() {
  show(presets::dynamic_routing(experts));
  show(presets::dynmole(experts));
  show(presets::remoe(experts));
  show(presets::adamoe(2, 3));  // the last two columns are null
  show(router{.select = ratio_threshold{.mu = .5f, .k = 3}, .weigh = renormalize{}});
  show(router{.select = gumbel_threshold{.tau = .5f, .threshold = .1f, .max_experts = experts}});
}
