// Decides how a sampled choice keeps a gradient: the relaxed sample, its straight-through form, and the soft prefix
// masks made of it. Sources: CrossTaskMoE (S006), MC# (S167), OTP masks.
//
//   y = softmax((z + Gumbel) / tau)                    soft
//   y = onehot(argmax) forward, the soft one backward   straight through (y_hard - sg(y_soft) + y_soft)
//   m_j = sum_{c >= j} y_c                              prefix masks: candidate c keeps choices 0..c
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/philox.hpp>
#include <moeroute/core/row.hpp>
#include <moeroute/score.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class sample_form : std::uint8_t { soft, straight_through };

struct gumbel_softmax {
  float tau = 1;
  sample_form form = sample_form::soft;
  bool noise = true;  // false: the deterministic relaxation
  draws random{.purpose = 0x47534D58};

  status validate() const {
    return tau > 0 ? status{}
                   : status{errc::bad_value, "gumbel_softmax.tau", "must be above", static_cast<std::int64_t>(tau), 0};
  }
};

namespace detail {
template <class V>
struct gumbel_softmax_row {
  gumbel_softmax how;
  matrix_view<V const> z;
  row_view<offset_t const> token;  // names; left out: the row number
  matrix_view<V> soft, out;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    offset_t const name = token.empty() ? t : token[t];
    memory_row<V> const y{soft[t].data, static_cast<index_t>(soft.cols)};
    y.each(g, [&](index_t e, V& x) {
      V const noise = how.noise ? how.random.template gumbel<V>(name, e) : V(0);
      x = z[t][e] > -infinity<V> ? (z[t][e] + noise) / V(how.tau) : -infinity<V>;
    });
    g.sync();
    auto const m = softmax{}.summarize(g, y);
    ranked<key_t<V>> best;
    y.each(g, [&](index_t e, V& x) {
      if (ranked<key_t<V>> const one{order_key<V>(x), e}; beats(one, best)) best = one;
      x = softmax{}(m, x);
    });
    best = g.best(best);
    if (!out.empty())
      y.each(g, [&](index_t e, V& x) { out[t][e] = how.form == sample_form::soft ? x : V(e == best.id ? 1 : 0); });
    g.sync();
  }
};
template <class V>
struct gumbel_softmax_row_backward {
  gumbel_softmax how;
  matrix_view<V const> soft, d_out;
  matrix_view<V> d_z;
  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    V dot = 0;
    for (offset_t e = 0; e < soft.cols; ++e) dot = math::fma(soft[t][e], d_out[t][e], dot);
    for (offset_t e = g.rank(); e < soft.cols; e += g.size()) d_z[t][e] = soft[t][e] * (d_out[t][e] - dot) / V(how.tau);
    g.sync();
  }
};
}  // namespace detail

// soft: the relaxed sample, kept for the backward; out: what the layer uses (soft again, or one-hot).
template <executor X, class V>
status try_gumbel_softmax_sample(X const& x, gumbel_softmax const& how, matrix_view<V const> z, matrix_view<V> soft,
                                 matrix_view<V> out, row_view<offset_t const> token = {}, workspace w = {}) noexcept {
  checks c;
  c.also(how.validate()).must_be("soft rows", soft.rows, z.rows).must_be("soft columns", soft.cols, z.cols);
  c.must_be("out rows", out.rows, z.rows)
      .must_be("out columns", out.cols, z.cols)
      .empty_or("token size", token, z.rows);
  return c.result().ok() ? x.run(z.rows, detail::gumbel_softmax_row<V>{how, z, token, soft, out}, w) : c.result();
}
// The gradient of z for either form: that of the soft sample.
template <executor X, class V>
status try_gumbel_softmax_backward(X const& x, gumbel_softmax const& how, matrix_view<V const> soft,
                                   matrix_view<V const> d_out, matrix_view<V> d_z, workspace w = {}) noexcept {
  checks c;
  c.also(how.validate()).must_be("d_out rows", d_out.rows, soft.rows).must_be("d_out columns", d_out.cols, soft.cols);
  c.must_be("d_z rows", d_z.rows, soft.rows).must_be("d_z columns", d_z.cols, soft.cols);
  return c.result().ok() ? x.run(soft.rows, detail::gumbel_softmax_row_backward<V>{how, soft, d_out, d_z}, w)
                         : c.result();
}

// Masks of the k choices from a sample over the k prefix candidates, and back: both are running sums.
template <class V>
MOEROUTE_HD void prefix_masks(row_view<V const> sample, row_view<V> mask) {
  V sum = 0;
  for (offset_t j = mask.size - 1; j >= 0; --j) mask[j] = sum += sample[j];
}
template <class V>
MOEROUTE_HD void prefix_masks_backward(row_view<V const> d_mask, row_view<V> d_sample) {
  V sum = 0;
  for (offset_t j = 0; j < d_sample.size; ++j) d_sample[j] = sum += d_mask[j];
}

}  // namespace moeroute::inline MOEROUTE_ABI
