// Decides how a selection bias follows the load, with no gradient: rules from the integer counts of a step to
// new biases. Counts come from current routing, never from replay. Signs are exact: E n_e against sum n.
//
//   sign_update          b_e += rate sign(mean n - n_e)                   DeepSeek-V3, Loss-Free Balancing
//   zero_mean = true     b_e += rate (sign_e - mean sign)                 Ling 2.0: the mean of b never drifts
//   proportional_update  b_e += rate (mean n - n_e) / mean n              the proportional variant
//   target_update        b_e += rate (k_target / (k E) - n_e / slots)     LongCat-Flash: real experts aim at
//                        k_target choices a token, identity experts (the last columns) do not move
//   share_update         b_e += rate sign(k / E - n_e / tokens)           FlyLoRA, with counts over tokens
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/tree_sum.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Counts of one step and what they are counted against.
template <class Count>
struct load_of_step {
  row_view<Count const> counts{};
  offset_t tokens = 0;  // for share_update
};

// A rule: void operator()(group, load_of_step, row_view<P> bias) const.
namespace detail {
constexpr MOEROUTE_HD int sign_of(std::int64_t x) { return (x > 0) - (x < 0); }
template <class G, class Count>
MOEROUTE_HD std::int64_t total_count(G const& g, row_view<Count const> counts, offset_t last) {
  std::int64_t mine = 0;
  for (offset_t e = g.rank(); e < last; e += g.size()) mine += static_cast<std::int64_t>(counts[e]);
  return g.sum(mine);
}
// b_e += rate (sign_e - mean sign), or rate sign_e.
template <class G, class P, class Sign>
MOEROUTE_HD void step_by_sign(G const& g, row_view<P> bias, double rate, bool zero_mean, Sign const& sign) {
  std::int64_t mine = 0;
  for (offset_t e = g.rank(); e < bias.size; e += g.size()) mine += sign(e);
  double const mean = zero_mean ? static_cast<double>(g.sum(mine)) / static_cast<double>(bias.size) : 0.;
  for (offset_t e = g.rank(); e < bias.size; e += g.size())
    bias[e] = static_cast<P>(static_cast<double>(bias[e]) + math::mul(rate, static_cast<double>(sign(e)) - mean));
}
}  // namespace detail

struct sign_update {
  double rate = 1e-3;
  bool zero_mean = false;

  template <lane_group G, class Count, class P>
  MOEROUTE_HD void operator()(G const& g, load_of_step<Count> load, row_view<P> bias) const {
    std::int64_t const total = detail::total_count(g, load.counts, bias.size);
    detail::step_by_sign(g, bias, rate, zero_mean, [&](offset_t e) {
      return detail::sign_of(total - bias.size * static_cast<std::int64_t>(load.counts[e]));
    });
  }
  void describe(text& t) const {
    t.add("b += ").add(rate).add(zero_mean ? " (sign(mean - n) - its mean)" : " sign(mean - n)");
  }
};

struct proportional_update {
  double rate = 1e-3;

  template <lane_group G, class Count, class P>
  MOEROUTE_HD void operator()(G const& g, load_of_step<Count> load, row_view<P> bias) const {
    std::int64_t const total = detail::total_count(g, load.counts, bias.size);
    if (total == 0) return;
    double const mean = static_cast<double>(total) / static_cast<double>(bias.size);
    for (offset_t e = g.rank(); e < bias.size; e += g.size())
      bias[e] =
          static_cast<P>(static_cast<double>(bias[e]) + rate * (mean - static_cast<double>(load.counts[e])) / mean);
  }
  void describe(text& t) const { t.add("b += ").add(rate).add(" (mean - n) / mean"); }
};

struct target_update {
  double rate = 1e-3;
  index_t identity_experts = 0;  // the last columns
  double k = 12;                 // choices of a token
  double k_target = 8;           // of these, choices of real experts

  template <lane_group G, class Count, class P>
  MOEROUTE_HD void operator()(G const& g, load_of_step<Count> load, row_view<P> bias) const {
    std::int64_t const slots = detail::total_count(g, load.counts, bias.size);
    if (slots == 0) return;
    offset_t const real = bias.size - identity_experts;
    double const wanted = k_target / (k * static_cast<double>(real));
    for (offset_t e = g.rank(); e < real; e += g.size())
      bias[e] =
          static_cast<P>(static_cast<double>(bias[e]) +
                         math::mul(rate, wanted - static_cast<double>(load.counts[e]) / static_cast<double>(slots)));
  }
  void describe(text& t) const {
    t.add("b += ").add(rate).add(" (").add(k_target).add(" / (").add(k).add(" N) - n / slots), N real experts");
  }
};

struct share_update {
  double rate = 1e-3;
  index_t k = 1;

  template <lane_group G, class Count, class P>
  MOEROUTE_HD void operator()(G const& g, load_of_step<Count> load, row_view<P> bias) const {
    if (load.tokens == 0) return;
    detail::step_by_sign(g, bias, rate, false, [&](offset_t e) {
      return detail::sign_of(k * load.tokens - bias.size * static_cast<std::int64_t>(load.counts[e]));
    });
  }
  void describe(text& t) const { t.add("b += ").add(rate).add(" sign(").add(k).add(" / E - n / tokens)"); }
};

namespace detail {
template <class Rule, class Count, class P>
struct update_bias_row {
  Rule rule;
  matrix_view<Count const> counts;
  matrix_view<P> bias;
  offset_t tokens;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t row, scratch) const {
    rule(g, load_of_step<Count>{counts[row], tokens}, bias[row]);
    g.sync();
  }
};
}  // namespace detail

// One row of counts and biases for each layer or modality. No workspace.
template <executor X, class Rule, class Count, class P>
status try_update_bias(X const& x, Rule const& rule, matrix_view<Count> counts, matrix_view<P> bias,
                       offset_t tokens = 0) noexcept {
  static_assert(std::same_as<P, float> || std::same_as<P, double>,
                "update_bias: the bias is float or double; a 16-bit bias loses its small updates");
  static_assert(std::integral<std::remove_const_t<Count>>, "update_bias: counts are integers");
  checks c;
  c.must_be("counts rows", counts.rows, bias.rows).must_be("counts columns", counts.cols, bias.cols);
  c.strided("counts", counts).strided("bias", bias).at_least("tokens", tokens, 0);
  if (!c.result().ok()) return c.result();
  using C = std::remove_const_t<Count>;
  return x.run(bias.rows, detail::update_bias_row<Rule, C, P>{rule, counts, bias, tokens}, workspace{});
}
template <executor X, class Rule, class Count, class P>
status try_update_bias(X const& x, Rule const& rule, row_view<Count> counts, row_view<P> bias,
                       offset_t tokens = 0) noexcept {
  return try_update_bias(x, rule, matrix_view<Count>(counts.data, 1, counts.size),
                         matrix_view<P>(bias.data, 1, bias.size), tokens);
}
template <executor X, class... A>
void update_bias(X const& x, A const&... a) {
  throw_if_bad(try_update_bias(x, a...));
}

}  // namespace moeroute::inline MOEROUTE_ABI
