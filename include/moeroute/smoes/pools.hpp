// Decides which experts a modality may use when the answer is fixed by hand: the baselines that soft scores
// replace. Tables for modality_mask (prior.hpp).
//
//   isolated   text tokens see the text experts alone, vision tokens the vision experts (P24, hard routing)
//   hybrid     own experts and the shared ones between them (S108, MoIIE)
//
// Expert ids: vision first, then shared, then text. Source: MoIIE (AlenjandroWang/MoIIE), ERNIE-4.5-VL, SMoES.
#pragma once

#include <moeroute/prior.hpp>
#include <moeroute/smoes/modality_scores.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct expert_pools {
  index_t vision = 0, shared = 0, text = 0;  // how many of each; shared = 0: isolated

  constexpr index_t experts() const { return vision + shared + text; }
  constexpr bool open(index_t modality, index_t expert) const {
    return modality == text_modality ? expert >= vision : expert < vision + shared;
  }
  // open: 2 x experts, rows vision and text.
  status fill(matrix_view<std::uint8_t> open_table) const {
    checks c;
    c.at_least("pools.vision + shared", vision + shared, 1).at_least("pools.text + shared", text + shared, 1);
    c.at_least("pools.vision", vision, 0).at_least("pools.shared", shared, 0).at_least("pools.text", text, 0);
    c.must_be("open rows", open_table.rows, 2).must_be("open columns", open_table.cols, experts());
    if (!c.result().ok()) return c.result();
    for (index_t m = 0; m < 2; ++m)
      for (index_t e = 0; e < experts(); ++e) open_table[m][e] = open(m, e) ? 1 : 0;
    return {};
  }
  // MSI of this layout when every open expert is used alike: 1 for isolated, the share of bound experts plus
  // what unequal pools add for shared ones.
  double specialization() const {
    double const seen_by_vision = 1. / (vision + shared), seen_by_text = 1. / (text + shared);
    double const t = seen_by_text / (seen_by_text + seen_by_vision), off = t < .5 ? 1 - 2 * t : 2 * t - 1;
    return (vision + text + math::mul(off, static_cast<double>(shared))) / experts();
  }
  void describe(moeroute::text& t) const {
    t.add(vision).add(" vision, ").add(shared).add(" shared, ").add(text).add(" text experts");
  }
};
constexpr expert_pools isolated_pools(index_t vision, index_t text) { return {vision, 0, text}; }
constexpr expert_pools hybrid_pools(index_t vision, index_t shared, index_t text) { return {vision, shared, text}; }

// MoIIE's release masks by the modality of the next token: the last vision token of a run counts as text.
// `sequence` (may be empty) ends runs; the last token of the batch keeps its label.
inline void boundary_modality(row_view<index_t const> modality, row_view<index_t const> sequence,
                              row_view<index_t> out) {
  for (offset_t t = 0; t < modality.size; ++t) {
    bool const ends = t + 1 < modality.size && modality[t] == vision_modality && modality[t + 1] != vision_modality &&
                      (sequence.empty() || sequence[t] == sequence[t + 1]);
    out[t] = ends ? text_modality : modality[t];
  }
}

}  // namespace moeroute::inline MOEROUTE_ABI
