// Decides which of the best are worth their cost: choice j > 0 is dropped where its key is below mu times the
// key of the first. Protected tokens keep all, dropped tokens lose all. Source: MC-MoE (S161), online pruning.
//
//   keep j  iff  key_j >= mu * key_0
// With `renormalize` the weights left sum to 1; a token that lost all has weights 0.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class token_care : std::uint8_t { ordinary, keep_all, drop_all };

struct ratio_threshold {
  float mu = .5f;
  index_t k = 2;
  row_view<token_care const> care{};  // tokens; left out: all ordinary
  static constexpr key_kind keys = key_kind::value;

  MOEROUTE_HD index_t experts_per_token() const { return k; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    using V = typename Row::value_type;
    index_t const found = take_best(g, key, out);
    if (g.rank() == 0) {
      token_care const mine = care.empty() ? token_care::ordinary : care[c.row];
      for (index_t j = 0; j < found && mine != token_care::keep_all; ++j) {
        if (mine == token_care::ordinary) {
          if (j == 0 || key.at(static_cast<index_t>(out[j])) >= math::mul(V(mu), key.at(static_cast<index_t>(out[0]))))
            continue;
        }
        for (index_t i = j; i < found; ++i) out[i] = no_expert_of<Id>;
        break;
      }
    }
    g.sync();
  }
  status validate_tokens(offset_t tokens) const {
    return care.empty() ? status{} : checks{}.at_least("select.care size", care.size, tokens, errc::bad_shape).result();
  }
  status validate(index_t experts) const {
    checks c;
    c.at_least("select.k", k, 1).at_most("select.k", k, experts);
    if (!(mu >= 0)) c.also({errc::bad_value, "select.mu", "must be at least", static_cast<std::int64_t>(mu), 0});
    return c.result();
  }
  void describe(text& t) const {
    t.add("top ").add(k).add(", but only keys of at least ").add(mu).add(" times the first");
  }
};
static_assert(token_choice<ratio_threshold>);

}  // namespace moeroute::inline MOEROUTE_ABI
