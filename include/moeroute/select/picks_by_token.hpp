// Decides how the picks of experts become the ragged choices of tokens that a dispatch plan takes: for every
// token its experts (ascending), their weights, and where each pick stood, so that gradients find the way back.
#pragma once

#include <moeroute/core/executor.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// Choices of token t: [offsets[t], offsets[t + 1]). Arrays hold at least as many as there are picks.
template <class W = float>
struct token_choices_view {
  row_view<offset_t> offsets{};  // tokens + 1; experts of token t: offsets[t + 1] - offsets[t]
  row_view<index_t> ids{};
  row_view<W> weights{};
  row_view<offset_t> pick{};  // row * columns + column of the pick; may be left out
};

namespace detail {
template <class W>
struct picks_by_token {
  matrix_view<offset_t const> tokens;
  matrix_view<W const> weights;
  index_t experts;
  token_choices_view<W> out;

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    offset_t const all = out.offsets.size - 1;
    if (g.rank() == 0) {
      for (auto& o : out.offsets) o = 0;
      each_pick([&](offset_t t, offset_t, offset_t) { ++out.offsets[t + 1]; });
      for (offset_t t = 0; t < all; ++t) out.offsets[t + 1] += out.offsets[t];
      each_pick([&](offset_t t, offset_t row, offset_t j) {
        offset_t const at = out.offsets[t]++;
        out.ids[at] = static_cast<index_t>(row % experts);
        out.weights[at] = weights[row][j];
        if (!out.pick.empty()) out.pick[at] = row * tokens.cols + j;
      });
      for (offset_t t = all; t > 0; --t) out.offsets[t] = out.offsets[t - 1];
      out.offsets[0] = 0;
    }
    g.sync();
  }

 private:
  template <class F>
  MOEROUTE_HD void each_pick(F const& f) const {
    for (offset_t row = 0; row < tokens.rows; ++row)
      for (offset_t j = 0; j < tokens.cols; ++j)
        if (offset_t const t = tokens[row][j]; t >= 0 && t + 1 < out.offsets.size) f(t, row, j);
  }
};
}  // namespace detail

// Rows of `tokens`: segment * experts + expert, as route_experts writes them.
template <executor X, class W>
status try_picks_by_token(X const& x, matrix_view<offset_t const> tokens, matrix_view<W const> weights, index_t experts,
                          token_choices_view<W> out, workspace w = {}) noexcept {
  checks c;
  c.at_least("experts", experts, 1).divides("experts", experts, tokens.rows);
  c.must_be("weights rows", weights.rows, tokens.rows).must_be("weights columns", weights.cols, tokens.cols);
  c.at_least("out.offsets size", out.offsets.size, 1, errc::bad_shape);
  c.at_least("out.ids size", out.ids.size, tokens.rows * tokens.cols, errc::too_small);
  c.at_least("out.weights size", out.weights.size, tokens.rows * tokens.cols, errc::too_small);
  if (!out.pick.empty()) c.at_least("out.pick size", out.pick.size, tokens.rows * tokens.cols, errc::too_small);
  if (!c.result().ok()) return c.result();
  return x.run(1, detail::picks_by_token<W>{tokens, weights, experts, out}, w);
}
template <executor X, class W>
void picks_by_token(X const& x, matrix_view<offset_t const> tokens, matrix_view<W const> weights, index_t experts,
                    token_choices_view<W> out, workspace w = {}) {
  throw_if_bad(try_picks_by_token(x, tokens, weights, experts, out, w));
}

}  // namespace moeroute::inline MOEROUTE_ABI
