// Policies of your own: a score, a prior, a selection. Each is a struct with one function; what it declares
// (derivative, strictly_increasing) is what it gets (gradients, selection on the logits, the vector path).
#include <cmath>
#include <cstdio>
#include <vector>

#include <moeroute/moeroute.hpp>

using namespace moeroute;

// score = (1 + z / (1 + |z|)) / 2, in (0, 1): written for any V, so float, double and vectors of experts work.
struct softsign {
  static constexpr bool strictly_increasing = true;
  template <class V>
  MOEROUTE_HD V operator()(V z) const {
    return (V(1) + z / (V(1) + math::max(z, -z))) / V(2);
  }
  template <class V>
  MOEROUTE_HD V derivative(V z, V) const {
    V const d = V(1) + math::max(z, -z);
    return V(1) / (V(2) * d * d);
  }
  void describe(text& t) const { t.add("(1 + z / (1 + |z|)) / 2"); }
};

// Closes every expert but those of the token's sequence parity.
struct alternate_experts {
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context c, auto const& logits) const {
    logits.each(g, [&](index_t e, auto& z) {
      if ((e + c.sequence) % 2 != 0) z = -infinity<float>;
    });
  }
  void describe(text& t) const { t.add("experts of the sequence's parity"); }
};

// The best expert and the worst one.
struct best_and_worst {
  static constexpr key_kind keys = key_kind::value;
  MOEROUTE_HD index_t experts_per_token() const { return 2; }
  MOEROUTE_HD void operator()(lane_group auto const& g, row_context, auto const& key, auto out) const {
    using Ids = decltype(out);
    take_best(g, key, Ids{out.data, 1});
    take_best(g, mapped_row{key, [](index_t, auto x) { return -x; }}, Ids{out.data + 1, 1});
  }
  void describe(text& t) const { t.add("best and worst"); }
};

static_assert(differentiable_score<softsign> && prior_policy<alternate_experts> && token_choice<best_and_worst>);

int main() {
  std::vector<float> const logits{.5f, -2, 3, 1, 0, -1, 2, .25f};
  std::vector<index_t> const sequence{0, 1};
  router const mine{.prior = alternate_experts{}, .score = softsign{}, .select = top_k{2}, .weigh = renormalize{}};
  std::printf("%s\n", describe(mine).c_str());
  routing routed(2, mine);
  route(serial{}, mine, {.logits = {logits.data(), 2, 4}, .sequence = row_view<index_t const>(sequence)}, routed);
  for (std::size_t t = 0; t < 2; ++t)
    std::printf("token %zu: experts %d and %d, weights %.4f and %.4f\n", t, routed.ids[2 * t], routed.ids[2 * t + 1],
                static_cast<double>(routed.weights[2 * t]), static_cast<double>(routed.weights[2 * t + 1]));

  router const odd{.score = softsign{}, .select = best_and_worst{}};
  routing extremes(2, odd);
  route(serial{}, odd, {.logits = {logits.data(), 2, 4}}, extremes);
  std::printf("%s: %d and %d, then %d and %d\n", describe(odd).c_str(), extremes.ids[0], extremes.ids[1],
              extremes.ids[2], extremes.ids[3]);

  std::vector<float> d_weights{1, -1, 1, -1}, d_logits(8);
  std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, mine, 2, 4)));
  route_backward(serial{}, mine, {.logits = {logits.data(), 2, 4}, .sequence = row_view<index_t const>(sequence)},
                 routed.view().ids, matrix_view<float>(d_weights.data(), 2, 2),
                 matrix_view<float>(d_logits.data(), 2, 4), workspace(space));
  std::printf("d logits of token 0:");
  for (std::size_t e = 0; e < 4; ++e) std::printf(" %.4f", static_cast<double>(d_logits[e]));
  std::printf("\n");
}
