// Routes rows and says nothing: what `count` counts the instructions of.
//   route WAY EXPERTS K TOKENS     ways: inputs (nothing more), vector, plain, partial_sort; before these gate_, drawn_
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <moeroute/presets.hpp>
#include <moeroute/route.hpp>
#include <moeroute/select/gumbel_top_k.hpp>

#include "peers/composed.hpp"

namespace {

using namespace moeroute;

struct work {
  offset_t tokens;
  index_t experts, k;
  std::vector<float> logits, bias, weights;
  std::vector<index_t> ids;

  work(index_t e, index_t chosen, offset_t t)
      : tokens(t),
        experts(e),
        k(chosen),
        logits(static_cast<std::size_t>(t * e)),
        bias(static_cast<std::size_t>(e), .01f),
        weights(static_cast<std::size_t>(t * chosen)),
        ids(weights.size()) {
    std::uint64_t x = 1;
    for (float& z : logits) {  // near normal: four draws of 16 bits
      x = x * 6364136223846793005u + 1442695040888963407u;
      std::uint64_t const r = x ^ x >> 29;
      z = static_cast<float>((r & 0xffffu) + (r >> 16 & 0xffffu) + (r >> 32 & 0xffffu) + (r >> 48)) * 0x1p-15f - 4;
    }
  }
  template <class X, class R>
  void route_by(X const& on, R const& r) {
    std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(on, r, tokens, experts)));
    route(on, r, {.logits = {logits.data(), tokens, experts}},
          routing_view<>{{ids.data(), tokens, k}, {weights.data(), tokens, k}}, workspace(space));
  }
  template <class R>
  void route_as(std::string const& way, R const& r) {
    if (way.ends_with("plain")) route_by(row_by_row{serial{}}, r);
    else route_by(serial{}, r);
  }
};

}  // namespace

int main(int count, char const* const* argument) {
  if (count != 5) return std::puts("route WAY EXPERTS K TOKENS"), 2;
  std::string const way = argument[1];
  work w(std::atoi(argument[2]), std::atoi(argument[3]), std::atoi(argument[4]));
  if (way == "inputs") return 0;
  if (way == "partial_sort") {
    composed::partial_sort best;
    for (offset_t t = 0; t < w.tokens; ++t)
      composed::softmax_top_k(best, w.logits.data() + t * w.experts, w.experts, w.k, w.ids.data() + t * w.k,
                              w.weights.data() + t * w.k);
  } else if (way == "gate_partial_sort") {
    composed::partial_sort best;
    for (offset_t t = 0; t < w.tokens; ++t)
      composed::deepseek_v3(best, w.logits.data() + t * w.experts, w.bias.data(), w.experts, w.k,
                            w.ids.data() + t * w.k, w.weights.data() + t * w.k);
  } else if (way.starts_with("gate_")) {
    w.route_as(way, presets::deepseek_v3(row_view<float const>(w.bias), w.k));
  } else if (way.starts_with("drawn_")) {
    w.route_as(way, router{.select = gumbel_top_k{.k = w.k}});
  } else {
    w.route_as(way, router{.select = top_k{w.k}});
  }
  float sum = 0;
  for (float const x : w.weights) sum += x;
  return sum > 0 ? 0 : 1;
}
