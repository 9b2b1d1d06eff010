// Decides how many of the best k are worth running, by a learned second choice: candidate c keeps the first
// c + 1 of the base's experts. Source: MC# (S167), online pruning; the candidate set is the adopted reading.
//
//   c = argmax(log pi + Gumbel) in training, argmax log pi at inference (the mask logits of the row)
// The soft counterpart with its gradient: estimate/gumbel_softmax.hpp.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>
#include <moeroute/core/philox.hpp>
#include <moeroute/select/top_k.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <class Base = top_k<>>
struct prefix_mask {
  [[no_unique_address]] Base base{};
  matrix_view<float const> mask_logits{};  // tokens x k
  bool noise = false;
  draws random{.purpose = 0x4D435348};
  static constexpr key_kind keys = Base::keys;
  static constexpr cross_token_dependence dependence = dependence_of<Base>;

  MOEROUTE_HD index_t experts_per_token() const { return base.experts_per_token(); }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    base(g, c, key, out);
    offset_t const last = candidate(c, out.size);
    for (offset_t j = last + 1 + g.rank(); j < out.size; j += g.size()) out[j] = no_expert_of<Id>;
    g.sync();
  }
  // The candidate of a row: 0 keeps one expert, k - 1 all.
  MOEROUTE_HD offset_t candidate(row_context c, offset_t k) const {
    ranked<key_t<float>> best;
    for (index_t i = 0; i < k; ++i) {
      float const x = mask_logits[c.row][i] + (noise ? random.gumbel<float>(c.token, i) : 0.f);
      if (ranked<key_t<float>> const one{order_key<float>(x), i}; beats(one, best)) best = one;
    }
    return best.id;
  }
  status validate_tokens(offset_t tokens) const {
    return checks{}
        .at_least("select.mask_logits rows", mask_logits.rows, tokens, errc::bad_shape)
        .also(tokens_fit(base, tokens))
        .result();
  }
  status validate(index_t experts) const {
    checks c;
    c.also(experts_fit(base, experts));
    c.must_be("select.mask_logits columns", mask_logits.cols, experts_per_token())
        .strided("select.mask_logits", mask_logits);
    return c.result();
  }
  void describe(text& t) const {
    if constexpr (describes<Base>) base.describe(t);
    t.add(", cut to the prefix a mask router picks");
  }
};
static_assert(token_choice<prefix_mask<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
