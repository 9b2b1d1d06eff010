// Decides expert choice with a cap on both sides: every expert takes k tokens, no token more than `cap` experts.
// Source: Expert Choice (S014), capped variant.
//
//   maximize  sum_te S_te A_te + lambda H(A),  rows of experts sum to k, columns of tokens <= cap, 0 <= A <= 1
//   A = exp(S / lambda) under alternating projections (Dykstra): scale experts to k, clip tokens to cap, clip to 1
// The paper then takes the top k of A. That alone may break the cap by rounding, so pairs are taken by descending A
// while both sides have room: the adopted reading. CPU only.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/math.hpp>
#include <moeroute/core/order.hpp>
#include <moeroute/core/sort.hpp>
#include <moeroute/route_experts.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct capped_choice {
  offset_t tokens_per_expert = 1;  // k
  offset_t cap = 1;                // experts a token at most
  double lambda = .05;
  index_t rounds = 50;
  static constexpr cross_token_dependence dependence = cross_token_dependence::whole_batch;

  status validate(offset_t tokens, offset_t experts) const {
    checks c;
    c.at_least("capped_choice.tokens_per_expert", tokens_per_expert, 1)
        .at_most("capped_choice.tokens_per_expert", tokens_per_expert, tokens);
    c.at_least("capped_choice.cap", cap, 1).at_least("capped_choice.rounds", rounds, 0);
    c.at_most("experts x tokens_per_expert (no more than tokens x cap)", experts * tokens_per_expert, tokens * cap);
    if (!(lambda > 0))
      c.also({errc::bad_value, "capped_choice.lambda", "must be above", static_cast<std::int64_t>(lambda), 0});
    return c.result();
  }
};

inline offset_t capped_choice_workspace_bytes(offset_t tokens, offset_t experts) {
  return 2 * aligned_bytes<double>(tokens * experts) + aligned_bytes<offset_t>(tokens * experts) +
         aligned_bytes<offset_t>(tokens) + aligned_bytes<offset_t>(experts) + workspace_alignment;
}

// `out` as route_experts writes it (experts x tokens_per_expert, by descending score); weights are the scores.
// Places that no pair may fill any more (the greedy end can block itself) hold token -1.
template <class T, class W>
status try_capped_choice(capped_choice how, matrix_view<T const> scores, expert_routing_view<W> out,
                         workspace w) noexcept {
  offset_t const tokens = scores.rows, experts = scores.cols;
  checks c;
  c.also(how.validate(tokens, experts)).must_be("out.tokens rows", out.tokens.rows, experts);
  c.must_be("out.tokens columns", out.tokens.cols, how.tokens_per_expert)
      .must_be("out.weights rows", out.weights.rows, experts);
  c.must_be("out.weights columns", out.weights.cols, how.tokens_per_expert);
  c.also(workspace_ok(w, capped_choice_workspace_bytes(tokens, experts)));
  if (!c.result().ok()) return c.result();
  scratch s = aligned_scratch(w);
  double* const a = s.take<double>(tokens * experts);
  double* const memory_of_box = s.take<double>(tokens * experts);
  offset_t* const sorted = s.take<offset_t>(tokens * experts);
  offset_t* const taken = s.take<offset_t>(tokens);
  offset_t* const filled = s.take<offset_t>(experts);

  // Bregman projections; the two sums are affine or one-sided scalings, the box keeps Dykstra's correction.
  for (offset_t i = 0; i < tokens * experts; ++i) {
    double const z = static_cast<double>(load(scores[i / experts][i % experts]));
    a[i] = z > -infinity<double> ? math::exp(z / how.lambda) : 0;
    memory_of_box[i] = 1;
  }
  double const k = static_cast<double>(how.tokens_per_expert), cap = static_cast<double>(how.cap);
  for (index_t round = 0; round < how.rounds; ++round) {
    for (offset_t e = 0; e < experts; ++e) {
      double sum = 0;
      for (offset_t t = 0; t < tokens; ++t) sum += a[t * experts + e];
      for (offset_t t = 0; t < tokens && sum > 0; ++t) a[t * experts + e] *= k / sum;
    }
    for (offset_t t = 0; t < tokens; ++t) {
      double sum = 0;
      for (offset_t e = 0; e < experts; ++e) sum += a[t * experts + e];
      for (offset_t e = 0; e < experts && sum > cap; ++e) a[t * experts + e] *= cap / sum;
    }
    for (offset_t i = 0; i < tokens * experts; ++i) {
      double const y = a[i] * memory_of_box[i], clipped = y < 1 ? y : 1;
      memory_of_box[i] = clipped > 0 ? y / clipped : 1;
      a[i] = clipped;
    }
  }
  for (offset_t i = 0; i < tokens * experts; ++i) sorted[i] = i;
  detail::sort(sorted, tokens * experts, [&](offset_t x, offset_t y) {
    auto const p = order_key(a[x]), q = order_key(a[y]);
    return p > q || (p == q && x < y);
  });
  for (offset_t t = 0; t < tokens; ++t) taken[t] = 0;
  for (offset_t e = 0; e < experts; ++e) {
    filled[e] = 0;
    for (auto& t : out.tokens[e]) t = -1;
  }
  for (offset_t i = 0; i < tokens * experts; ++i) {
    offset_t const t = sorted[i] / experts, e = sorted[i] % experts;
    if (filled[e] == how.tokens_per_expert || taken[t] == how.cap || !(a[sorted[i]] > 0)) continue;
    out.tokens[e][filled[e]++] = t;
    ++taken[t];
  }
  for (offset_t e = 0; e < experts; ++e) {
    auto const row = out.tokens[e];
    detail::sort(row.data, filled[e], [&](offset_t x, offset_t y) {
      auto const p = order_key(load(scores[x][e])), q = order_key(load(scores[y][e]));
      return p > q || (p == q && x < y);
    });
    for (offset_t j = 0; j < row.size; ++j)
      out.weights[e][j] = row[j] < 0 ? W(0) : static_cast<W>(load(scores[row[j]][e]));
  }
  return {};
}

}  // namespace moeroute::inline MOEROUTE_ABI
