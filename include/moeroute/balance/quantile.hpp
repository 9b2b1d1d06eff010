// Decides biases that balance a batch in one step: quantile balancing, dual ascent on the assignment problem.
//
//   a_t = (k+1)-th largest of s_te + b_e over e             what a further expert would have to beat
//   b_e = -(m+1)-th largest of s_te - a_t over t            m = T k / E tokens an expert, floor
//   zero_mean: b_e -= mean b
//
// Under the new b_e expert e beats a_t for m tokens, fewer only where tokens tie at the quantile (those whose
// a_t is e's own old key do). Used from the next batch on.
// Source: Kimi K3 (P17), Megatron-LM qb_dual_update (there beta = -b). The histogram form below replaces
// the column quantile by counts that ranks add up.
#pragma once

#include <moeroute/core/order.hpp>
#include <moeroute/core/row.hpp>
#include <moeroute/core/tree_sum.hpp>
#include <moeroute/loss/term.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
// The n-th largest of count values (n from 1), by counting bit after bit: no scratch, any lane group.
// NaN if there are fewer; at(i) gives the value.
MOEROUTE_EXEC_CHECK_DISABLE
template <class V, class G, class At>
MOEROUTE_HD V nth_largest(G const& g, offset_t count, offset_t n, At const& at) {
  using U = std::make_unsigned_t<key_t<V>>;
  constexpr U top = U(1) << (8 * sizeof(U) - 1);
  U found = 0;
  for (U bit = top; bit != 0; bit >>= 1) {
    U const candidate = found | bit;
    std::int64_t mine = 0;
    for (offset_t i = g.rank(); i < count; i += g.size())
      mine += (static_cast<U>(order_key<V>(at(i))) ^ top) >= candidate;
    if (g.sum(mine) >= n) found = candidate;
  }
  return from_order_key<V>(static_cast<key_t<V>>(found ^ top));
}
}  // namespace detail

struct quantile_update {
  index_t k = 1;
  bool zero_mean = false;

  status validate(index_t experts) const {
    return checks{}.at_least("quantile_update.k", k, 1).at_most("quantile_update.k", k, experts - 1).result();
  }
  void describe(text& t) const {
    t.add(
         "b_e = -(T k / E + 1)-th largest of s_te - a_t, a_t the (k+1)-th largest of s_te + b_e, "
         "k ")
        .add(k);
    if (zero_mean) t.add(", minus its mean");
  }
};

namespace detail {

template <class T, class P>
struct row_cutoff {
  index_t k;
  matrix_view<T const> scores;
  row_view<P const> bias;
  row_view<std::uint8_t const> valid;
  row_view<P> cutoff;  // NaN for padding
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    row_view<T const> const s = scores[t];
    P a = not_a_number<P>;
    if (valid.empty() || valid[t] != 0)
      a = nth_largest<P>(g, s.size, k + 1, [&](offset_t e) { return static_cast<P>(load(s[e])) + bias[e]; });
    if (g.rank() == 0) cutoff[t] = a;
    g.sync();
  }
};
template <class T, class P>
struct column_cutoff {
  static constexpr bool long_rows = true;  // as long as the batch
  index_t k;
  matrix_view<T const> scores;
  row_view<P const> cutoff;
  row_view<P> bias;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t e, scratch) const {
    std::int64_t mine = 0;
    for (offset_t t = g.rank(); t < scores.rows; t += g.size()) mine += !is_nan(cutoff[t]);
    offset_t const tokens = g.sum(mine), m = tokens * k / scores.cols;
    P const b = nth_largest<P>(g, scores.rows, m + 1, [&](offset_t t) {
      return static_cast<P>(load(scores[t][e])) - cutoff[t];  // NaN, so last, for padding
    });
    if (g.rank() == 0 && tokens > 0 && !is_nan(b)) bias[e] = -b;
    g.sync();
  }
};
template <class P>
struct subtract_mean {
  row_view<P> bias;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    double const mean = tree_sum<double>(g, bias.size, [&](offset_t e) { return static_cast<double>(bias[e]); }) /
                        static_cast<double>(bias.size);
    g.sync();
    for (offset_t e = g.rank(); e < bias.size; e += g.size())
      bias[e] = static_cast<P>(static_cast<double>(bias[e]) - mean);
    g.sync();
  }
};

}  // namespace detail

// One step on a batch of scores (tokens x experts, what route writes when asked). `cutoff` (tokens) receives
// a_t. Needs no workspace; without tokens the bias stays.
template <executor X, class T, class P>
status try_update_by_quantile(X const& x, quantile_update const& rule, matrix_view<T> scores, row_view<P> bias,
                              row_view<P> cutoff, row_view<std::uint8_t const> valid = {}) noexcept {
  static_assert(std::same_as<P, float> || std::same_as<P, double>, "update_by_quantile: the bias is float or double");
  using E = std::remove_const_t<T>;
  checks c;
  c.also(rule.validate(static_cast<index_t>(scores.cols))).must_be("bias size", bias.size, scores.cols);
  c.must_be("cutoff size", cutoff.size, scores.rows)
      .empty_or("valid size", valid, scores.rows)
      .strided("scores", scores);
  if (!c.result().ok()) return c.result();
  status s = x.run(scores.rows, detail::row_cutoff<E, P>{rule.k, scores, bias, valid, cutoff}, workspace{});
  if (s.ok()) s = x.run(scores.cols, detail::column_cutoff<E, P>{rule.k, scores, cutoff, bias}, workspace{});
  if (s.ok() && rule.zero_mean) s = x.run(1, detail::subtract_mean<P>{bias}, workspace{});
  return s;
}
template <executor X, class... A>
void update_by_quantile(X const& x, A const&... a) {
  throw_if_bad(try_update_by_quantile(x, a...));
}

// ---- histogram form ----------------------------------------------------------------------------------------

// A statistic: for each expert the histogram of a_t - s_te in `bins` equal bins on [low, high), values outside
// in the end bins. Sums merge over micro-batches and ranks; bias_from_histogram reads the quantile.
template <class P = float>
struct quantile_histogram {
  index_t k = 1;
  index_t bins = 1000;
  P low = -1, high = 1;  // Kimi K3: smallest bias - 1, largest bias + 1
  row_view<P const> bias{};

  MOEROUTE_HD offset_t sums(index_t experts) const { return offset_t{bins} * experts; }
  MOEROUTE_HD index_t bin(P cutoff, P score) const {
    P const at = (cutoff - score - low) * static_cast<P>(bins) / (high - low);
    return !(at > P(0)) ? 0 : at >= static_cast<P>(bins) ? bins - 1 : static_cast<index_t>(at);
  }
  // a_t of one token.
  template <lane_group G, class Row>
  MOEROUTE_HD P cutoff(G const& g, Row const& row) const {
    return detail::nth_largest<P>(g, row.experts, k + 1, [&](offset_t e) {
      return static_cast<P>(row.scores.data[e]) + (bias.empty() ? P(0) : bias[e]);
    });
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    P const a = cutoff(g, row);
    row.scores.each(
        g, [&](index_t e, auto const& s) { sums[offset_t{e} * bins + bin(a, static_cast<P>(s))] += std::int64_t{1}; });
  }
  status validate(index_t experts) const {
    checks c;
    c.at_least("quantile_histogram.k", k, 1).at_most("quantile_histogram.k", k, experts - 1);
    c.at_least("quantile_histogram.bins", bins, 1).empty_or("quantile_histogram.bias size", bias, experts);
    c.at_least("quantile_histogram.high (must exceed low)", high > low ? 1 : 0, 1);
    return c.result();
  }
  void describe(text& t) const { t.add("histogram of a_t - s_te, ").add(bins).add(" bins"); }
};
static_assert(statistic<quantile_histogram<>>);

// b_e = the k / E quantile of a_t - s_te, linear inside a bin; an expert without tokens keeps its bias.
template <class P>
void bias_from_histogram(quantile_histogram<P> const& h, bool zero_mean, row_view<wide_sum const> sums,
                         row_view<P> bias) {
  index_t const experts = static_cast<index_t>(bias.size);
  throw_if_bad(checks{}.must_be("sums size", sums.size, h.sums(experts)).result());
  for (index_t e = 0; e < experts; ++e) {
    wide_sum const* const n = sums.data + offset_t{e} * h.bins;
    std::int64_t tokens = 0, below = 0;
    for (index_t i = 0; i < h.bins; ++i) tokens += n[i].count();
    double const wanted = static_cast<double>(tokens) * h.k / experts;
    for (index_t i = 0; i < h.bins; ++i) {
      std::int64_t const here = n[i].count();
      if (here > 0 && wanted < static_cast<double>(below + here)) {
        double const inside = (wanted - static_cast<double>(below)) / static_cast<double>(here);
        double const width = (static_cast<double>(h.high) - static_cast<double>(h.low)) / h.bins;
        bias[e] = static_cast<P>(static_cast<double>(h.low) + math::mul(i + inside, width));
        break;
      }
      below += here;
    }
  }
  if (zero_mean) throw_if_bad(serial{}.run(1, detail::subtract_mean<P>{bias}, workspace{}));
}

}  // namespace moeroute::inline MOEROUTE_ABI
