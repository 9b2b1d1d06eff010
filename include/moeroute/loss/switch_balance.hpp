// Decides the price of uneven load: L = alpha E sum_e f_e P_e, f_e the share of choices that went to e (no
// gradient), P_e the mean score of e. alpha at perfect balance. Source: Switch, GShard; DeepSeek-V2 and V3
// (per sequence, per device); Qwen3 (global batch: merge the sums first); AdaMoE (null loads averaged).
//
//   who                                      load           share       call
//   Switch, MegaBlocks (alpha / layers),     all_choices    per_slot    switch_balance{.alpha}
//     Megatron-LM, DeepSpeed top-k
//   GShard, Tutel, DeepSpeed top-1, top-2    first_choice   per_token   gshard_balance(alpha)
//   Mixtral in transformers (k at balance)   all_choices    per_token   hf_balance(alpha)
//   flaxformer (k at balance), mean of groups all_choices   per_token   hf_balance with .by = segment_by::group
//   DeepSeek-V3 sequence-wise                all_choices    per_slot    switch_balance{.by = segment_by::sequence}
//   DeepSeek-V2 device level (D groups)      all_choices    per_slot    switch_balance{.groups = D}
//   AdaMoE (N null experts, last columns)    all_choices    per_slot    switch_balance{.null_experts = N}
// Loads before or after capacity: pass the ids of before, or those with dropped choices as no_expert.
#pragma once

#include <moeroute/loss/segment_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class load_source : std::uint8_t {
  all_choices,
  first_choice,
  given,  // observe counts nothing: the caller writes them with give_counts
};
enum class load_share : std::uint8_t {
  per_slot,    // n_e / (tokens k), k the columns of the ids
  per_choice,  // n_e / sum n: for choices of varying number
  per_token,   // n_e / tokens
};

struct switch_balance {
  using is_regularizer = void;
  double alpha = 1e-2;
  load_source load = load_source::all_choices;
  load_share share = load_share::per_slot;
  segment_by by = segment_by::batch;  // several segments: the mean over those that hold tokens
  index_t segments = 1;               // a token numbered beyond makes L NaN; one below 0 counts nowhere
  index_t groups = 0;                 // > 0: the load of an expert is the mean over its group
  index_t null_experts = 0;           // the last columns: their loads are replaced by their mean
  bool normalize = true;              // scores that do not sum to 1 are divided by (row sum + eps)
  double eps = 1e-20;

  MOEROUTE_HD offset_t sums(index_t experts) const { return segments * segment_sums_of(experts) + 1; }
  MOEROUTE_HD offset_t coefficients(index_t experts) const { return offset_t{segments} * experts; }
  bool wants_ids() const { return load != load_source::given; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    index_t const at = segment_in(g, segment_of(by, row.context), segments, sums[sums.size - 1]);
    if (at < 0) return;
    segment_sums<wide_sum> const s{sums, row.experts, at};
    s.add_scores(g, row, normalize, eps);
    if (g.rank() != 0) return;
    offset_t const columns = load == load_source::first_choice && row.ids.size > 1 ? 1 : row.ids.size;
    if (load != load_source::given) s.add_choices(row, columns);
  }

  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> sums, row_view<double> out) const {
    index_t full = 0;
    for (index_t i = 0; i < segments; ++i) full += segment_sums<wide_sum const>{sums, experts, i}.tokens() > 0;
    double total = sums[sums.size - 1].count() > 0 ? not_a_number<double> : 0.;
    for (index_t i = 0; i < segments; ++i) {
      segment_sums<wide_sum const> const s{sums, experts, i};
      double const tokens = static_cast<double>(s.tokens());
      double const per = divisor(g, s, experts);
      double const factor = tokens > 0 && per > 0 ? alpha * experts / (per * tokens * full) : 0.;
      double const null_load = mean_load(g, s, experts - null_experts, experts);
      auto const price = [&](offset_t e) {
        index_t const id = static_cast<index_t>(e);
        if (null_experts > 0 && id >= experts - null_experts) return factor * null_load;
        if (groups <= 0) return factor * static_cast<double>(s.count(id));
        index_t const width = experts / groups, first = id / width * width;
        double sum = 0;
        for (index_t j = first; j < first + width; ++j) sum += static_cast<double>(s.count(j));
        return factor * sum / width;
      };
      total += tree_sum<double>(g, experts,
                                [&](offset_t e) { return math::mul(price(e), s.mass(static_cast<index_t>(e))); });
      if (!out.empty())
        for (offset_t e = g.rank(); e < experts; e += g.size()) out[i * experts + e] = price(e);
    }
    return total;
  }

  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> prices) const {
    index_t const at = segment_of(by, row.context);
    if (at < 0 || at >= segments) return;
    double const* const price = prices.data + offset_t{at} * row.experts;
    add_score_gradient(g, row, normalize, eps, [&](index_t e) { return price[e]; });
  }

  // Loads from elsewhere (after capacity, all ranks, a plan), with load_source::given: counts out of `slots`
  // slots (tokens k). `unseen` tokens are counted but have no scores here: other ranks observe them.
  template <class Count>
  void give_counts(index_t experts, row_view<wide_sum> sums, row_view<Count> counts, offset_t slots,
                   offset_t unseen = 0, index_t segment = 0) const {
    segment_sums<wide_sum> const s{sums, experts, segment};
    s.slots() += slots;
    s.base()[0] += unseen;
    for (index_t e = 0; e < experts; ++e) s.counts(e) += static_cast<std::int64_t>(counts[e]);
  }

  status validate(index_t experts) const {
    checks c;
    c.at_least("switch_balance.segments", segments, 1).at_least("switch_balance.null_experts", null_experts, 0);
    c.at_most("switch_balance.null_experts", null_experts, experts);
    if (groups != 0) c.divides("switch_balance.groups", groups, experts);
    return c.result();
  }
  void describe(text& t) const {
    t.add(alpha).add(" E sum_e f_e P_e, f from ");
    t.add(load == load_source::all_choices    ? "all choices"
          : load == load_source::first_choice ? "first choices"
                                              : "given counts");
    t.add(share == load_share::per_slot     ? " over tokens k"
          : share == load_share::per_choice ? " over all counts"
                                            : " over tokens");
    if (by != segment_by::batch) t.add(", mean over ").add(segments).add(" segments");
    if (groups > 0) t.add(", averaged in ").add(groups).add(" groups");
    if (null_experts > 0) t.add(", averaged over ").add(null_experts).add(" null experts");
  }

 private:
  template <class G, class S>
  MOEROUTE_HD double divisor(G const& g, S const& s, index_t experts) const {
    if (share == load_share::per_token) return static_cast<double>(s.tokens());
    if (share == load_share::per_slot) return static_cast<double>(s.slot_count());
    return tree_sum<double>(g, experts,
                            [&](offset_t e) { return static_cast<double>(s.count(static_cast<index_t>(e))); });
  }
  template <class G, class S>
  MOEROUTE_HD double mean_load(G const& g, S const& s, index_t first, index_t last) const {
    if (first >= last) return 0;
    double const sum = tree_sum<double>(
        g, last - first, [&](offset_t i) { return static_cast<double>(s.count(first + static_cast<index_t>(i))); });
    return sum / (last - first);
  }
};
static_assert(loss_term<switch_balance> && validates<switch_balance> && describes<switch_balance>);

// First choices only, k = 1 whatever was routed.
constexpr switch_balance gshard_balance(double alpha) {
  return {.alpha = alpha, .load = load_source::first_choice, .share = load_share::per_token};
}
// Not divided by k: k alpha at perfect balance.
constexpr switch_balance hf_balance(double alpha) { return {.alpha = alpha, .share = load_share::per_token}; }

}  // namespace moeroute::inline MOEROUTE_ABI
