// Decides which experts form a bin (SMoES, arXiv 2604.23996): experts sorted by how much text prefers them,
// cut into equal runs; a bin is the unit of specialization and of placement.
//
//   Cb[m, e] <- beta Cb[m, e] + (1 - beta) C[m, e]
//   s(e) = Cb[text, e] / (Cb[text, e] + sum of the other modalities),  0/0 = 1/2
//   experts ascending by s, ties to the lower id; run i of the order is bin i
//
// The order depends on the ratio alone, so scaling one modality's counts leaves the bins as they are. Bins are
// piecewise constant and pass no gradient; after training they are simply kept.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/math.hpp>
#include <moeroute/smoes/modality_scores.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class bin_rule : std::uint8_t { adaptive, fixed };  // fixed: consecutive expert ids (ablation)
// E that is not a multiple of the bins: an error, or sizes that differ by one (bin i takes the ranks from
// floor(i E / bins) to floor((i + 1) E / bins) - 1).
enum class uneven_bins : std::uint8_t { refuse, spread };

MOEROUTE_HD constexpr index_t bin_of_rank(index_t rank, index_t experts, index_t bins) {
  // The largest i with floor(i E / bins) <= rank.
  return static_cast<index_t>(((static_cast<offset_t>(rank) + 1) * bins - 1) / experts);
}

struct expert_binning {
  index_t bins = 8;
  double beta = .99;
  bin_rule rule = bin_rule::adaptive;
  uneven_bins uneven = uneven_bins::refuse;
  index_t text_row = text_modality;  // the modality that s(e) is the share of

  status validate(index_t experts) const {
    checks c;
    c.at_least("binning.bins", bins, 1).at_most("binning.bins", bins, experts);
    if (uneven == uneven_bins::refuse) c.divides("binning.bins", bins, experts);
    if (!(beta >= 0 && beta <= 1))
      c.also({errc::bad_value, "binning.beta (times 1000)", "must be at most", static_cast<std::int64_t>(beta * 1000),
              1000});
    return c.result();
  }
  void describe(text& t) const {
    if (rule == bin_rule::fixed) t.add(bins).add(" bins of consecutive experts");
    else t.add(bins).add(" bins of experts in the order of their text share, counts moving at beta ").add(beta);
  }
};

namespace detail {

struct move_counts_row {  // row: a modality
  double beta;
  matrix_view<std::int64_t const> counts;
  matrix_view<double> moving;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t m, scratch) const {
    for (offset_t e = g.rank(); e < counts.cols; e += g.size()) {
      double const fresh = math::mul(1 - beta, static_cast<double>(counts[m][e]));
      moving[m][e] = math::fma(beta, moving[m][e], fresh);
    }
    g.sync();
  }
};

struct bin_experts_row {  // one row: all experts
  expert_binning rule;
  matrix_view<double const> moving;
  row_view<double> preference;
  row_view<index_t> order, bin_of_expert;
  offset_t scratch_bytes() const { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t, scratch) const {
    index_t const experts = static_cast<index_t>(moving.cols);
    for (index_t e = g.rank(); e < experts; e += g.size()) {
      double text = 0, all = 0;
      for (offset_t m = 0; m < moving.rows; ++m) {
        all += moving[m][e];
        if (m == rule.text_row) text = moving[m][e];
      }
      preference[e] = all > 0 ? text / all : .5;
    }
    g.sync();
    for (index_t e = g.rank(); e < experts; e += g.size()) {
      index_t rank = 0;
      if (rule.rule == bin_rule::fixed) rank = e;
      else
        for (index_t o = 0; o < experts; ++o)
          rank += preference[o] < preference[e] || (preference[o] == preference[e] && o < e) ? 1 : 0;
      order[rank] = e;
      bin_of_expert[e] = bin_of_rank(rank, experts, rule.bins);
    }
    g.sync();
  }
};

}  // namespace detail

// One step: moves `moving` (modalities x experts) by the step's counts, then fills preference, order and
// bin_of_expert (experts each). Start from moving = 0.
template <executor X>
status try_update_bins(X const& x, expert_binning const& rule, matrix_view<std::int64_t const> counts,
                       matrix_view<double> moving, row_view<double> preference, row_view<index_t> order,
                       row_view<index_t> bin_of_expert, workspace w) noexcept {
  offset_t const experts = moving.cols;
  checks c;
  c.also(rule.validate(static_cast<index_t>(experts))).must_be("counts columns", counts.cols, experts);
  c.must_be("counts rows", counts.rows, moving.rows).at_most("binning.text_row", rule.text_row, moving.rows - 1);
  c.must_be("preference size", preference.size, experts).must_be("order size", order.size, experts);
  c.must_be("bin_of_expert size", bin_of_expert.size, experts);
  if (!c.result().ok()) return c.result();
  if (status const s = x.run(moving.rows, detail::move_counts_row{rule.beta, counts, moving}, w); !s.ok()) return s;
  return x.run(1, detail::bin_experts_row{rule, moving, preference, order, bin_of_expert}, w);
}
template <executor X>
void update_bins(X const& x, expert_binning const& rule, matrix_view<std::int64_t const> counts,
                 matrix_view<double> moving, row_view<double> preference, row_view<index_t> order,
                 row_view<index_t> bin_of_expert, workspace w = {}) {
  throw_if_bad(try_update_bins(x, rule, counts, moving, preference, order, bin_of_expert, w));
}

// ---- after training: bins become consecutive ids ------------------------------------------------------------

// Relabeling by the bin order: expert order[r] gets the id r, bin i the ids of run i. Permute gate rows,
// biases and expert weights with permute_experts; outputs stay, up to the order of sums.
inline void relabel(row_view<index_t const> order, row_view<index_t> new_id) {
  for (offset_t r = 0; r < order.size; ++r) new_id[order[r]] = static_cast<index_t>(r);
}
// Row r of `out` is row order[r] of `in`: gate rows, expert weights flattened, one-column biases.
template <class T>
void permute_experts(row_view<index_t const> order, matrix_view<T const> in, matrix_view<T> out) {
  for (offset_t r = 0; r < order.size; ++r)
    for (offset_t i = 0; i < in.cols; ++i) out[r][i] = in[order[r]][i];
}
template <std::integral Id>
void relabel_ids(row_view<index_t const> new_id, matrix_view<Id> ids) {
  for (offset_t t = 0; t < ids.rows; ++t)
    for (Id& id : ids[t])
      if (id != no_expert_of<Id>) id = static_cast<Id>(new_id[id]);
}

}  // namespace moeroute::inline MOEROUTE_ABI
