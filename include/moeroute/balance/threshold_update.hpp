// Decides the thresholds of causal expert choice: c_e <- beta c_e + (1 - beta) (m-th largest of s_te over t),
// m = T k / E. A token later takes every e with s_te > c_e, so no later token can change an earlier choice.
// Source: Expert Threshold routing (P36); beta is not pinned down there.
#pragma once

#include <moeroute/balance/quantile.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct threshold_update {
  double beta = .99;
  double k = 1;  // wanted experts of a token, on average

  void describe(text& t) const {
    t.add("c_e <- ").add(beta).add(" c_e + ").add(1 - beta).add(" (T k / E)-th largest of s_te, k ").add(k);
  }
};

namespace detail {
template <class T, class P>
struct threshold_column {
  static constexpr bool long_rows = true;  // as long as the batch
  threshold_update rule;
  matrix_view<T const> scores;
  row_view<std::uint8_t const> valid;
  row_view<P> threshold;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t e, scratch) const {
    std::int64_t mine = 0;
    for (offset_t t = g.rank(); t < scores.rows; t += g.size()) mine += valid.empty() || valid[t] != 0;
    offset_t const tokens = g.sum(mine);
    auto const wanted = static_cast<offset_t>(static_cast<double>(tokens) * rule.k / static_cast<double>(scores.cols));
    offset_t const m = wanted < 1 ? 1 : wanted > tokens ? tokens : wanted;
    P const s = nth_largest<P>(g, scores.rows, m, [&](offset_t t) {
      return valid.empty() || valid[t] != 0 ? static_cast<P>(load(scores[t][e])) : not_a_number<P>;
    });
    if (g.rank() == 0 && tokens > 0 && !is_nan(s))
      threshold[e] = static_cast<P>(math::mul(rule.beta, static_cast<double>(threshold[e])) +
                                    math::mul(1 - rule.beta, static_cast<double>(s)));
    g.sync();
  }
};
}  // namespace detail

template <executor X, class T, class P>
status try_update_threshold(X const& x, threshold_update const& rule, matrix_view<T> scores, row_view<P> threshold,
                            row_view<std::uint8_t const> valid = {}) noexcept {
  checks c;
  c.must_be("threshold size", threshold.size, scores.cols).empty_or("valid size", valid, scores.rows);
  c.strided("scores", scores).at_least("threshold_update.k (must be positive)", rule.k > 0 ? 1 : 0, 1);
  if (!c.result().ok()) return c.result();
  using E = std::remove_const_t<T>;
  return x.run(scores.cols, detail::threshold_column<E, P>{rule, scores, valid, threshold}, workspace{});
}
template <executor X, class... A>
void update_threshold(X const& x, A const&... a) {
  throw_if_bad(try_update_threshold(x, a...));
}

}  // namespace moeroute::inline MOEROUTE_ABI
