// Decides the choice the other way round: every expert takes its best tokens.
//
//   k = tokens * capacity_factor / experts, rounded to nearest, at least 1, at most all   (S014, P35)
// Scope: all tokens of the batch, or those of each sequence or isolation group by themselves (S002: one image).
// Over tokens of a whole batch a choice depends on other requests and on later tokens: not for decoders.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/select/take_many.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class choice_scope : std::uint8_t { batch, sequence, group };
// Over what a summary score is taken: the experts of a token, or the tokens of an expert (Mesh-TensorFlow).
enum class score_axis : std::uint8_t { experts, tokens };
// Who comes first among equal keys: the lower token index, or a keyed hash of the token's name, so that a place
// in the batch tells nothing (S123). Hashing weakens the leak; only scopes remove it.
enum class tie_rule : std::uint8_t { index, hashed };

template <choice_scope Scope = choice_scope::batch>
struct top_tokens {
  float capacity_factor = 1;  // mean number of experts a token
  offset_t fixed_count = 0;   // tokens an expert; 0: from the factor
  score_axis axis = score_axis::experts;
  tie_rule ties = tie_rule::index;
  std::uint64_t secret = 0;  // key of the hash
  index_t within = 0;        // a token offers itself to its own best `within` experts only (S016); 0: to all
  pick_order order = pick_order::best_first;
  static constexpr choice_scope scope = Scope;
  static constexpr cross_token_dependence dependence =
      Scope == choice_scope::batch ? cross_token_dependence::whole_batch : cross_token_dependence::within_group;

  MOEROUTE_HD offset_t tokens_per_expert(offset_t tokens, index_t experts) const {
    double const share =
        static_cast<double>(tokens) * static_cast<double>(capacity_factor) / static_cast<double>(experts);
    auto wanted = fixed_count > 0 ? fixed_count : static_cast<offset_t>(share + .5);
    wanted = wanted < 1 ? 1 : wanted;
    return wanted < tokens ? wanted : tokens;
  }
  MOEROUTE_HD void operator()(lane_group auto const& g, auto const& keys, row_view<offset_t> out) const {
    take_many(g, keys, out, order);
  }
  status validate(index_t experts) const {
    checks c;
    c.at_least("select.fixed_count", fixed_count, 0).at_least("select.within", within, 0);
    c.at_most("select.within", within, experts);
    if (!(capacity_factor > 0))
      c.also(
          {errc::bad_value, "select.capacity_factor", "must be above", static_cast<std::int64_t>(capacity_factor), 0});
    return c.result();
  }
  void describe(text& t) const {
    t.add("every expert takes its best ");
    if (fixed_count > 0) t.add(fixed_count);
    else t.add("T x ").add(capacity_factor).add(" / E");
    t.add(scope == choice_scope::batch      ? " tokens of the batch"
          : scope == choice_scope::sequence ? " tokens of each sequence"
                                            : " tokens of each isolation group");
    if (within > 0) t.add(" among those that rank it in their top ").add(within);
    if (axis == score_axis::tokens) t.add(" (score over tokens)");
    if (ties == tie_rule::hashed) t.add(" (ties by keyed hash)");
  }
};
static_assert(expert_choice<top_tokens<>> && expert_choice<top_tokens<choice_scope::group>>);

}  // namespace moeroute::inline MOEROUTE_ABI
