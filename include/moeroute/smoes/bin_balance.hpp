// Decides how load is balanced where experts live in bins (SMoES, arXiv 2604.23996).
//
//   in_bin    sum over bins of NB sum_{e in bin} fb_e Pb_e, f and P normalized inside the bin: nb at perfect
//             balance, and free in the split between bins (the adopted reading, S9)
//   literal   sum over bins of NB sum_{e in bin} f_e P_e, f and P over the whole layer: for equal bins
//             (NB / Ne) times the usual loss
//   global    Ne sum_e f_e P_e: the usual loss
//   off       0
//
// f: share of choices, a constant; P: mean probability, which carries the gradient. A bin that nobody chose
// adds nothing.
#pragma once

#include <moeroute/smoes/detail/gate_rows.hpp>
#include <moeroute/smoes/ticks.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class balance_form : std::uint8_t { in_bin, literal, global, off };

struct bin_balance {
  using is_regularizer = void;
  double alpha = 1e-3;
  balance_form form = balance_form::in_bin;
  index_t bins = 8;
  gate_form gate = gate_form::softmax;

  status validate(index_t experts) const {
    return checks{}.at_least("balance.bins", bins, 1).at_most("balance.bins", bins, experts).result();
  }
  void describe(text& t) const {
    t.add(alpha).add(" times ");
    if (form == balance_form::in_bin) t.add("sum over bins of NB sum f_e P_e, f and P normalized inside the bin");
    if (form == balance_form::literal) t.add("sum over bins of NB sum f_e P_e");
    if (form == balance_form::global) t.add("E sum f_e P_e");
    if (form == balance_form::off) t.add("no balance loss");
  }
};

namespace detail {

template <class T>
struct mass_of_chunk {  // row: a chunk of tokens; a lane owns experts; the last cell counts tokens
  using V = compute_t<T>;
  gate_form gate;
  matrix_view<T const> p;
  row_view<std::uint8_t const> valid;
  matrix_view<std::int64_t> out;  // chunks x (experts + 1)
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t chunk, scratch) const {
    std::int64_t* const sum = out[chunk].data;
    for (offset_t e = g.rank(); e <= p.cols; e += g.size()) sum[e] = 0;
    offset_t const first = chunk * chunk_tokens;
    offset_t const last = first + chunk_tokens < p.rows ? first + chunk_tokens : p.rows;
    g.sync();
    for (offset_t t = first; t < last; ++t) {
      if (!valid.empty() && valid[t] == 0) continue;
      T const* const row = p[t].data;
      V const share = share_of_total<V>(gate, g, p[t]);
      for (offset_t e = g.rank(); e < p.cols; e += g.size()) sum[e] += ticks<V>::of(math::mul(load(row[e]), share));
      if (g.rank() == 0) ++sum[p.cols];
    }
    g.sync();
  }
};

template <class V>
struct bin_balance_value_row {  // one row
  bin_balance term;
  row_view<std::int64_t const> counts;    // experts
  row_view<std::int64_t const> mass;      // experts + 1
  row_view<index_t const> bin_of_expert;  // experts
  row_view<V> coefficient;                // experts: alpha d loss / d p of one token
  double* loss;
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    index_t const experts = static_cast<index_t>(counts.size);
    double const tokens = static_cast<double>(mass[experts]);
    for (index_t e = g.rank(); e < experts; e += g.size()) coefficient[e] = 0;
    g.sync();
    double total = 0;
    if (tokens > 0 && term.form == balance_form::in_bin)
      for (index_t i = 0; i < term.bins; ++i) total += run(g, i, tokens);
    else if (tokens > 0 && term.form != balance_form::off) total = run(g, -1, tokens);
    if (g.rank() == 0) *loss = term.alpha * total;
    g.sync();
  }

 private:
  // The experts of bin i, or all of them: size * sum f P with f and P normalized among them.
  MOEROUTE_EXEC_CHECK_DISABLE
  template <class G>
  MOEROUTE_HD double run(G const& g, index_t i, double tokens) const {
    offset_t const experts = counts.size;
    std::int64_t chosen = 0, sum = 0, size = 0;
    for (offset_t e = g.rank(); e < experts; e += g.size())
      if (i < 0 || bin_of_expert[e] == i) chosen += counts[e], sum += mass[e], ++size;
    chosen = g.sum(chosen), sum = g.sum(sum), size = g.sum(size);
    if (chosen == 0 || sum == 0) return 0;
    double const f_unit = 1 / static_cast<double>(chosen);
    // in_bin: P over its own sum; else the mean over tokens.
    double const P_unit = i < 0 ? 1 / (ticks<V>::unit * tokens) : 1 / static_cast<double>(sum);
    double const each = tree_sum<double>(g, experts, [&](offset_t e) {
      if (i >= 0 && bin_of_expert[e] != i) return 0.;
      return math::mul(weight(i, e, size),
                       math::mul(static_cast<double>(counts[e]) * f_unit, static_cast<double>(mass[e]) * P_unit));
    });
    for (offset_t e = g.rank(); e < experts; e += g.size()) {
      if (i >= 0 && bin_of_expert[e] != i) continue;
      double d = math::mul(weight(i, e, size) * static_cast<double>(counts[e]), f_unit);  // d loss / d P_e
      if (i >= 0) d = (d - each) * (ticks<V>::unit * P_unit);  // d loss / d sum over tokens of p
      else d /= tokens;
      coefficient[e] = static_cast<V>(term.alpha * d);
    }
    return each;
  }
  // How many experts share the sum: the layer, or the bin.
  MOEROUTE_HD double weight(index_t i, offset_t e, std::int64_t size) const {
    if (i >= 0 || term.form == balance_form::global) return static_cast<double>(size);
    index_t own = 0;
    for (offset_t o = 0; o < counts.size; ++o) own += bin_of_expert[o] == bin_of_expert[e] ? 1 : 0;
    return own;
  }
};

template <class T, class D>
struct bin_balance_backward_row {  // row: a token
  using V = compute_t<T>;
  gate_form gate;
  matrix_view<T const> p;
  row_view<std::uint8_t const> valid;
  row_view<V const> coefficient;
  matrix_view<D> d_logits;
  bool accumulate;
  offset_t scratch_bytes() const { return 0; }

  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (!valid.empty() && valid[t] == 0) return no_gradient(g, d_logits[t], accumulate);
    V const share = share_of_total<V>(gate, g, p[t]);
    V const dot =
        tree_sum<V>(g, p.cols, [&](offset_t e) { return math::mul(math::mul(load(p[t][e]), share), coefficient[e]); });
    add_gate_gradient(gate, g, p[t], share, dot, d_logits[t], accumulate, [&](offset_t e) { return coefficient[e]; });
  }
};

}  // namespace detail

template <executor X>
offset_t gate_mass_workspace_bytes(X const& x, offset_t tokens, index_t experts) {
  return detail::chunk_bytes(tokens, experts + 1) + x.workspace_bytes(0);
}

// Adds the probabilities of a batch (tokens x experts) to `mass`: experts sums and the number of tokens.
template <executor X, element T>
status try_gate_mass(X const& x, gate_form gate, matrix_view<T const> p, row_view<std::uint8_t const> valid,
                     row_view<std::int64_t> mass, workspace w) noexcept {
  checks c;
  c.must_be("mass size", mass.size, p.cols + 1).empty_or("valid size", valid, p.rows).strided("p", p);
  c.at_most("tokens of one call", p.rows, ticks<compute_t<T>>::most_terms);
  if (!c.result().ok()) return c.result();
  return detail::fill_in_chunks(x, p.rows, mass, w,
                                [&](auto chunk) { return detail::mass_of_chunk<T>{gate, p, valid, chunk}; });
}

// The loss of the counts (experts) and mass of all shards, and what each token's gradient needs.
// V is the type the mass was made of: float for float probabilities.
template <executor X, class V>
status try_bin_balance(X const& x, bin_balance const& term, row_view<std::int64_t const> counts,
                       row_view<std::int64_t const> mass, row_view<index_t const> bin_of_expert,
                       row_view<V> coefficient, double* loss, workspace w) noexcept {
  offset_t const experts = counts.size;
  checks c;
  c.also(term.validate(static_cast<index_t>(experts))).must_be("mass size", mass.size, experts + 1);
  c.must_be("coefficient size", coefficient.size, experts);
  if (term.form != balance_form::global && term.form != balance_form::off)
    c.must_be("bin_of_expert size", bin_of_expert.size, experts);
  if (!c.result().ok()) return c.result();
  return x.run(1, detail::bin_balance_value_row<V>{term, counts, mass, bin_of_expert, coefficient, loss}, w);
}

// d_logits (+)= the gradient for this shard's tokens.
template <executor X, element T, class D>
status try_bin_balance_backward(X const& x, bin_balance const& term, matrix_view<T const> p,
                                row_view<std::uint8_t const> valid, row_view<compute_t<T> const> coefficient,
                                matrix_view<D> d_logits, workspace w, bool accumulate = false) noexcept {
  checks c;
  c.must_be("d_logits rows", d_logits.rows, p.rows).must_be("d_logits columns", d_logits.cols, p.cols);
  c.must_be("coefficient size", coefficient.size, p.cols).empty_or("valid size", valid, p.rows);
  c.strided("p", p).strided("d_logits", d_logits);
  if (!c.result().ok()) return c.result();
  return x.run(p.rows, detail::bin_balance_backward_row<T, D>{term.gate, p, valid, coefficient, d_logits, accumulate},
               w);
}

template <executor X, element T>
void gate_mass(X const& x, gate_form gate, matrix_view<T const> p, row_view<std::uint8_t const> valid,
               row_view<std::int64_t> mass, workspace w) {
  throw_if_bad(try_gate_mass(x, gate, p, valid, mass, w));
}
template <executor X, class V>
double bin_balance_loss(X const& x, bin_balance const& term, row_view<std::int64_t const> counts,
                        row_view<std::int64_t const> mass, row_view<index_t const> bin_of_expert,
                        row_view<V> coefficient, workspace w = {}) {
  double loss = 0;
  throw_if_bad(try_bin_balance(x, term, counts, mass, bin_of_expert, coefficient, &loss, w));
  return loss;
}
template <executor X, element T, class D>
void bin_balance_backward(X const& x, bin_balance const& term, matrix_view<T const> p,
                          row_view<std::uint8_t const> valid, row_view<compute_t<T> const> coefficient,
                          matrix_view<D> d_logits, workspace w = {}, bool accumulate = false) {
  throw_if_bad(try_bin_balance_backward(x, term, p, valid, coefficient, d_logits, w, accumulate));
}

}  // namespace moeroute::inline MOEROUTE_ABI
