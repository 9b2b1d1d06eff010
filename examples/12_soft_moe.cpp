// Decides nothing hard: 6 tokens are mixed into 4 slots, two experts work on the slots, tokens are mixed back.
#include <cstdio>
#include <vector>

#include <moeroute/core/philox.hpp>
#include <moeroute/soft/slot_logits.hpp>
#include <moeroute/soft/soft_moe.hpp>

using namespace moeroute;

int main() {
  constexpr offset_t tokens = 6, width = 3, slots = 4;
  draws const random{.seed = 3};
  std::vector<float> x(tokens * width), phi(width * slots), logits(tokens * slots), dispatch(logits.size()),
      combine(logits.size()), in(slots * width), out(slots * width), y(tokens * width);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = random.normal<float>(0, static_cast<index_t>(i));
  for (std::size_t i = 0; i < phi.size(); ++i) phi[i] = random.normal<float>(1, static_cast<index_t>(i));
  matrix_view<float const> const xs{x.data(), tokens, width}, ps{phi.data(), width, slots},
      l{logits.data(), tokens, slots}, d{dispatch.data(), tokens, slots}, c{combine.data(), tokens, slots},
      o{out.data(), slots, width};

  compute_slot_logits(serial{}, slot_logits{.normalized = true, .scale = 4}, xs, ps,
                      matrix_view<float>{logits.data(), tokens, slots});
  soft_weights(serial{}, l, matrix_view<float>{dispatch.data(), tokens, slots},
               matrix_view<float>{combine.data(), tokens, slots});
  soft_slots(serial{}, d, xs, matrix_view<float>{in.data(), slots, width});
  for (std::size_t s = 0; s < slots; ++s)  // experts 0 and 1, two slots each
    for (std::size_t i = 0; i < width; ++i) out[s * width + i] = (s < 2 ? 2.f : -1.f) * in[s * width + i];
  soft_combine(serial{}, c, o, matrix_view<float>{y.data(), tokens, width});

  for (std::size_t t = 0; t < tokens; ++t) {
    std::printf("token %zu reads slots with", t);
    for (std::size_t s = 0; s < slots; ++s) std::printf(" %.3f", static_cast<double>(combine[t * slots + s]));
    std::printf("  ->  %6.3f %6.3f %6.3f\n", static_cast<double>(y[t * width]), static_cast<double>(y[t * width + 1]),
                static_cast<double>(y[t * width + 2]));
  }
}
