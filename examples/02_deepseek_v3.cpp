// The router of DeepSeek-V3, composed by hand and taken as a preset: the same ids and weights; what the bias
// does and does not do; what rounding the logits to 16 bits would change.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include <moeroute/cpu/threads.hpp>
#include <moeroute/moeroute.hpp>

using namespace moeroute;

namespace {
routing routed_by(auto const& r, std::vector<float> const& logits, offset_t tokens, offset_t experts) {
  routing out(tokens, r);
  route(threads{2}, r, {.logits = {logits.data(), tokens, experts}}, out);
  return out;
}
int rows_that_differ(routing const& a, routing const& b) {
  int n = 0;
  for (offset_t t = 0; t < a.tokens; ++t)
    n += std::memcmp(&a.ids[static_cast<std::size_t>(t * a.k)], &b.ids[static_cast<std::size_t>(t * a.k)],
                     static_cast<std::size_t>(a.k) * sizeof(index_t)) != 0;
  return n;
}
}  // namespace

int main() {
  offset_t const tokens = 1000, experts = 256;
  draws const noise{.seed = 7};
  std::vector<float> logits, balance;
  for (offset_t t = 0; t < tokens; ++t)
    for (index_t e = 0; e < experts; ++e) logits.push_back(noise.normal(t, e));
  for (index_t e = 0; e < experts; ++e) balance.push_back(.005f * noise.normal(-1, e));

  router const by_hand{
      .score = sigmoid{},
      .bias = correction_bias{balance},  // steers the choice, never the weight
      .select = group_limited_top_k{.k = 8, .groups = 8, .top_groups = 4},
      .weigh = renormalize{.scale = 2.5f},
  };
  auto const preset = presets::deepseek_v3(row_view<float const>(balance));
  std::printf("%s\n", describe(preset).c_str());

  routing const a = routed_by(by_hand, logits, tokens, experts), b = routed_by(preset, logits, tokens, experts);
  std::printf("rows where preset and hand-made router differ: %d\n", rows_that_differ(a, b));

  std::vector<float> const flat(static_cast<std::size_t>(experts));
  routing const unbiased = routed_by(presets::deepseek_v3(row_view<float const>(flat)), logits, tokens, experts);
  std::printf("rows the bias re-routes: %d of %lld\n", rows_that_differ(a, unbiased), static_cast<long long>(tokens));

  std::vector<float> rounded = logits;  // to bfloat16, to nearest even
  for (float& z : rounded) {
    std::uint32_t bits;
    std::memcpy(&bits, &z, 4);
    bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
    std::memcpy(&z, &bits, 4);
  }
  std::printf("rows that change when logits are rounded to bf16: %d of %lld\n",
              rows_that_differ(a, routed_by(preset, rounded, tokens, experts)), static_cast<long long>(tokens));

  double sum = 0;
  for (std::size_t j = 0; j < 8; ++j) sum += static_cast<double>(a.weights[j]);
  std::printf("weights of token 0 add up to %.4f\n", sum);
  std::printf("wrong sizes are named: %s\n", message(validate(preset, 100)).c_str());
}
