// Decides by chance and keeps a gradient: SparseMixer-v2 and straight-through Gumbel-softmax on one token.
#include <cstdio>
#include <vector>

#include <moeroute/estimate/gumbel_softmax.hpp>
#include <moeroute/estimate/sparsemixer.hpp>

using namespace moeroute;

int main() {
  std::vector<float> const z{1.f, .8f, .2f, -.5f};
  batch<float> const in{.logits = {z.data(), 1, 4}};
  std::vector<std::byte> work(4096);
  for (std::uint32_t step = 0; step < 3; ++step) {
    sparsemixer_v2 const how{.jitter_eps = .4f, .pick = sampling::drawn, .random = {.seed = 7, .step = step}};
    std::vector<index_t> ids(2);
    std::vector<float> weights(2), d_z(4);
    std::vector<float> const d_weights{1, -1};
    route_sparsemixer(serial{}, how, in, sparsemixer_view<float>{{ids.data(), 1, 2}, {weights.data(), 1, 2}, {}, {}},
                      workspace(work));
    route_sparsemixer_backward(serial{}, how, in, matrix_view<index_t const>{ids.data(), 1, 2},
                               matrix_view<float const>{d_weights.data(), 1, 2}, matrix_view<float>{d_z.data(), 1, 4},
                               workspace(work));
    std::printf("step %u: experts %d %d, weights %.3f %.3f, d z %6.3f %6.3f %6.3f %6.3f\n", step, ids[0], ids[1],
                static_cast<double>(weights[0]), static_cast<double>(weights[1]), static_cast<double>(d_z[0]),
                static_cast<double>(d_z[1]), static_cast<double>(d_z[2]), static_cast<double>(d_z[3]));
  }
  std::vector<float> soft(4), hard(4);
  gumbel_softmax const how{.tau = .5f, .form = sample_form::straight_through, .random = {.seed = 7}};
  throw_if_bad(try_gumbel_softmax_sample(serial{}, how, in.logits, matrix_view<float>{soft.data(), 1, 4},
                                         matrix_view<float>{hard.data(), 1, 4}));
  std::printf("straight through: forward %.0f %.0f %.0f %.0f, backward as %.3f %.3f %.3f %.3f\n",
              static_cast<double>(hard[0]), static_cast<double>(hard[1]), static_cast<double>(hard[2]),
              static_cast<double>(hard[3]), static_cast<double>(soft[0]), static_cast<double>(soft[1]),
              static_cast<double>(soft[2]), static_cast<double>(soft[3]));
}
