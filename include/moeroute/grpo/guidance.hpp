// Decides which experts a modality may explore: those it already uses more than the others do (MoE-GRPO).
//
//   s_m[e] = N_m[e] / sum_e' N_m[e'],   q_m[e] = s_m[e] / sum_m' s_m'[e]       (nobody uses e: q = 1 / modalities)
//   closed for m: the floor(percent * experts / 100) experts of lowest q_m, ties to the lower id, and never so
//   many that fewer than `keep_open` stay
//
// Per layer, any number of modalities. Count the choices of the router *without* the mask (a closed expert would
// stay closed for ever). The mask is applied by the prior modality_mask{.open}; q is compared in steps of 2^-40,
// so that equal shares tie whatever their size.
#pragma once

#include <moeroute/core/executor.hpp>
#include <moeroute/core/exact_sum.hpp>
#include <moeroute/prior.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// ---- counts: integers, mergeable by addition over shards, batches and ranks ---------------------------------

template <class Id>
struct count_choices_row {             // a row is a modality, a lane owns the experts of its stripe
  matrix_view<Id const> ids;           // tokens x k
  row_view<index_t const> modality;    // tokens
  row_view<std::uint8_t const> valid;  // tokens, optional
  matrix_view<std::int64_t> counts;    // modalities x experts, added to

  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t m, scratch) const {
    for (offset_t t = 0; t < ids.rows; ++t) {
      if (modality[t] != m || (!valid.empty() && valid[t] == 0)) continue;
      for (offset_t j = 0; j < ids.cols; ++j) {
        if (ids[t][j] == no_expert_of<Id>) continue;
        auto const e = static_cast<offset_t>(ids[t][j]);
        if (e >= 0 && e < counts.cols && e % g.size() == g.rank()) counts[m][e] += 1;
      }
    }
    g.sync();
  }
};
template <executor X, class Id>
status try_count_choices(X const& x, matrix_view<Id> ids, row_view<index_t const> modality,
                         row_view<std::uint8_t const> valid, matrix_view<std::int64_t> counts,
                         workspace w = {}) noexcept {
  using I = std::remove_const_t<Id>;
  checks c;
  c.must_be("modality size", modality.size, ids.rows).empty_or("valid size", valid, ids.rows);
  c.strided("ids", ids).strided("counts", counts);
  if (!c.result().ok()) return c.result();
  return x.run(counts.rows, count_choices_row<I>{ids, modality, valid, counts}, w);
}

// ---- the mask ---------------------------------------------------------------------------------------------------

struct guidance {
  float percent = 25;
  index_t keep_open = 2;  // at least k

  MOEROUTE_HD index_t closed(index_t experts) const {
    auto const wanted = static_cast<index_t>(static_cast<double>(percent) * static_cast<double>(experts) / 100);
    index_t const most = experts - keep_open;
    return wanted < most ? wanted : (most > 0 ? most : 0);
  }
  status validate(index_t experts) const {
    if (!(percent >= 0 && percent <= 100))
      return {errc::bad_value, "guidance.percent", "must be at most", static_cast<std::int64_t>(percent), 100};
    return checks{}
        .at_least("guidance.keep_open", keep_open, 1)
        .at_most("guidance.keep_open", keep_open, experts)
        .result();
  }
};

template <class N>
struct guidance_row {  // a row is a modality
  guidance policy;
  matrix_view<N const> counts;     // modalities x experts
  matrix_view<double> q;           // modalities x experts
  matrix_view<std::uint8_t> open;  // modalities x experts

  offset_t scratch_bytes() const { return aligned_bytes<double>(counts.rows); }
  MOEROUTE_HD static std::int64_t rank_of(double q) { return static_cast<std::int64_t>(q * 0x1p40 + .5); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t m, scratch s) const {
    double* const total = s.take<double>(counts.rows);
    for (offset_t o = g.rank(); o < counts.rows; o += g.size()) {
      total[o] = 0;
      for (offset_t e = 0; e < counts.cols; ++e) total[o] += static_cast<double>(counts[o][e]);
    }
    g.sync();
    auto const share = [&](offset_t o, offset_t e) {
      return total[o] > 0 ? static_cast<double>(counts[o][e]) / total[o] : 0.;
    };
    for (offset_t e = g.rank(); e < counts.cols; e += g.size()) {
      double sum = 0;
      for (offset_t o = 0; o < counts.rows; ++o) sum += share(o, e);
      q[m][e] = sum > 0 ? share(m, e) / sum : 1 / static_cast<double>(counts.rows);
    }
    g.sync();
    index_t const closed = policy.closed(static_cast<index_t>(counts.cols));
    for (offset_t e = g.rank(); e < counts.cols; e += g.size()) {
      index_t before = 0;
      std::int64_t const mine = rank_of(q[m][e]);
      for (offset_t o = 0; o < counts.cols; ++o) {
        std::int64_t const other = rank_of(q[m][o]);
        before += other < mine || (other == mine && o < e);
      }
      open[m][e] = before < closed ? 0 : 1;
    }
    g.sync();
  }
};

template <executor X>
offset_t guidance_workspace_bytes(X const& x, offset_t modalities) {
  return x.workspace_bytes(aligned_bytes<double>(modalities));
}
// q and the open mask of one layer from its counts (integers, or the doubles of moving_counts).
template <executor X, class N>
status try_guide(X const& x, guidance const& policy, matrix_view<N> counts, matrix_view<double> q,
                 matrix_view<std::uint8_t> open, workspace w) noexcept {
  using Count = std::remove_const_t<N>;
  checks c;
  c.at_least("counts rows (modalities)", counts.rows, 1, errc::bad_shape);
  c.must_be("q rows", q.rows, counts.rows).must_be("q columns", q.cols, counts.cols);
  c.must_be("open rows", open.rows, counts.rows).must_be("open columns", open.cols, counts.cols);
  c.strided("counts", counts).strided("q", q).strided("open", open);
  c.also(policy.validate(static_cast<index_t>(counts.cols)));
  if (!c.result().ok()) return c.result();
  return x.run(counts.rows, guidance_row<Count>{policy, counts, q, open}, w);
}
template <executor X, class N>
void guide(X const& x, guidance const& policy, matrix_view<N> counts, matrix_view<double> q,
           matrix_view<std::uint8_t> open, workspace w) {
  throw_if_bad(try_guide(x, policy, counts, q, open, w));
}

// ---- when the counts are renewed --------------------------------------------------------------------------------

// every = 0: never (counted once, before training). beta: share of the past that stays at a refresh.
struct guidance_refresh {
  std::int64_t every = 0;
  double beta = 0;

  constexpr bool due(std::int64_t step) const { return every > 0 && step > 0 && step % every == 0; }
};
// moving = beta moving + (1 - beta) new, element by element; `first`: moving = new.
struct moving_counts_row {
  double beta;
  bool first;
  matrix_view<std::int64_t const> fresh;
  matrix_view<double> moving;
  offset_t scratch_bytes() const { return 0; }
  MOEROUTE_HD void operator()(lane_group auto const& g, offset_t m, scratch) const {
    for (offset_t e = g.rank(); e < moving.cols; e += g.size()) {
      auto const n = static_cast<double>(fresh[m][e]);
      moving[m][e] = first ? n : math::fma(beta, moving[m][e], math::mul(1 - beta, n));
    }
    g.sync();
  }
};
template <executor X>
status try_move_counts(X const& x, guidance_refresh const& policy, matrix_view<std::int64_t const> fresh,
                       matrix_view<double> moving, bool first, workspace w = {}) noexcept {
  checks c;
  c.must_be("moving rows", moving.rows, fresh.rows).must_be("moving columns", moving.cols, fresh.cols);
  if (!(policy.beta >= 0 && policy.beta <= 1))
    c.also({errc::bad_value, "refresh.beta", "must be at most", static_cast<std::int64_t>(policy.beta), 1});
  if (!c.result().ok()) return c.result();
  return x.run(moving.rows, moving_counts_row{policy.beta, first, fresh, moving}, w);
}

}  // namespace moeroute::inline MOEROUTE_ABI
