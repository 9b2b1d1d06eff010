// Decides which experts a vocabulary id may ever see: a fixed 0/1 table closes the others before the softmax.
// A rare id with one visible expert has probability 1 there and no router gradient. Source: MaskMoE (S009);
// how many experts a frequent id sees, and where "rare" ends, is left to the builder's arguments.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/philox.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct visibility_mask {
  matrix_view<std::uint8_t const> visible{};  // vocabulary x experts
  row_view<index_t const> vocabulary_id{};    // tokens; ids outside the table see all

  MOEROUTE_HD void operator()(lane_group auto const& g, row_context c, auto const& z) const {
    offset_t const v = vocabulary_id[c.row];
    if (v < 0 || v >= visible.rows) return;
    z.each(g, [&]<class V>(index_t e, V& x) {
      if (visible[v][e] == 0) x = -infinity<V>;
    });
  }
  status validate_tokens(offset_t tokens) const {
    return checks{}.at_least("prior.vocabulary_id size", vocabulary_id.size, tokens, errc::bad_shape).result();
  }
  status validate(index_t experts) const {
    return checks{}.must_be("prior.visible columns", visible.cols, experts).strided("prior.visible", visible).result();
  }
  void describe(text& t) const { t.add("experts not visible to the token's id closed"); }
};
static_assert(prior_policy<visibility_mask>);

// A table: ids rarer than `cut` see one expert, the others `seen`, each drawn once for (layer, id).
inline status draw_visibility(row_view<std::int64_t const> frequency, std::int64_t cut, index_t seen, draws random,
                              matrix_view<std::uint8_t> out) {
  checks c;
  c.must_be("out rows", out.rows, frequency.size).at_least("seen", seen, 1).at_most("seen", seen, out.cols);
  if (!c.result().ok()) return c.result();
  for (offset_t v = 0; v < out.rows; ++v) {
    index_t const wanted = frequency[v] < cut ? 1 : seen;
    for (offset_t e = 0; e < out.cols; ++e) {
      offset_t better = 0;  // experts with a larger draw
      for (offset_t i = 0; i < out.cols; ++i) {
        auto const a = random.bits(v, static_cast<index_t>(i)), b = random.bits(v, static_cast<index_t>(e));
        better += a > b || (a == b && i < e);
      }
      out[v][e] = better < wanted;
    }
  }
  return {};
}

}  // namespace moeroute::inline MOEROUTE_ABI
