// Decides how many experts a token gets by probability mass: the shortest prefix, in descending score, whose
// sum passes p. Ids are dense [tokens, max_experts]; unused places are empty.
//
//   crossing::keep   expert j stays while the sum before it has not passed p   (Dynamic routing, S013, p = 0.4)
//   crossing::drop   expert j stays while the sum with it has not passed p     (DynMoLE, S061, p = 0.75)
// Combine weights are the raw scores in both (keep_scores).
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class crossing : std::uint8_t { keep, drop };
enum class passing : std::uint8_t { above, at_least };  // sum > p, or sum >= p

struct top_p {
  float p = .4f;
  index_t max_experts = 8;
  index_t min_experts = 1;
  crossing boundary = crossing::keep;
  passing passed = passing::above;
  static constexpr key_kind keys = key_kind::value;

  MOEROUTE_HD index_t experts_per_token() const { return max_experts; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context, Row const& key, row_view<Id> out) const {
    using V = typename Row::value_type;
    index_t const found = take_best(g, key, out, open_only<Row>{key});
    if (g.rank() == 0) {
      V sum = 0;
      bool over = false;
      for (index_t j = 0; j < found; ++j) {
        V const before = sum;
        sum += key.at(static_cast<index_t>(out[j]));
        V const reached = boundary == crossing::keep ? before : sum;
        over = over || (passed == passing::above ? reached > V(p) : reached >= V(p));
        if (over && j >= min_experts) out[j] = no_expert_of<Id>;
      }
    }
    g.sync();
  }
  status validate(index_t experts) const {
    checks c;
    c.at_least("select.max_experts", max_experts, 1).at_most("select.max_experts", max_experts, experts);
    c.at_least("select.min_experts", min_experts, 0).at_most("select.min_experts", min_experts, max_experts);
    if (!(p >= 0)) c.also({errc::bad_value, "select.p", "must be at least", static_cast<std::int64_t>(p), 0});
    return c.result();
  }
  void describe(text& t) const {
    t.add("the shortest prefix whose sum is ").add(passed == passing::above ? "above " : "at least ").add(p);
    t.add(boundary == crossing::keep ? " (crossing expert kept)" : " (crossing expert dropped)");
    if (min_experts > 1) t.add(", at least ").add(min_experts);
    t.add(", at most ").add(max_experts);
  }

 private:
  template <class Row>
  struct open_only {  // closed experts and NaN are no candidates
    Row key;
    MOEROUTE_HD bool operator()(index_t e) const { return key.at(e) > -infinity<typename Row::value_type>; }
  };
};
static_assert(token_choice<top_p>);

}  // namespace moeroute::inline MOEROUTE_ABI
