// Decides GShard's pair: the first expert is the best, the second the best of the rest, drawn or not, and kept
// always or by chance.
//
//   e1 = argmax z,  e2 = argmax over e != e1 of z_e + noise_e      DeepSpeed top-2: Gumbel noise, that is
//                                                                  a draw in proportion to exp(z)
//   e2 stays if u < min(1, g2 / threshold), u uniform              GShard: 2 g2 > u, threshold 1/2 (2006.16668);
//                                                                  Mesh-TensorFlow: threshold 0.2
// g2 is the second weight, after the pair was normalized and before any capacity.
#pragma once

#include <moeroute/core/best.hpp>
#include <moeroute/plan/view.hpp>
#include <moeroute/prior/noise.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct no_noise {
  template <class V>
  MOEROUTE_HD V at(row_context, index_t) const {
    return V(0);
  }
};

template <noise_source Source = no_noise>
struct second_of_rest {
  Source source{};
  static constexpr key_kind keys = key_kind::logit;

  MOEROUTE_HD index_t experts_per_token() const { return 2; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& logits, row_view<Id> out) const {
    using V = typename Row::value_type;
    take_best(g, logits, row_view<Id>(out.data, 1));
    index_t const first = static_cast<index_t>(out[0]);
    auto const noisy = [&](index_t e, V z) {
      return z > -infinity<V> ? z + source.template at<V>(c, e) : -infinity<V>;
    };
    take_best(g, mapped_row{logits, noisy}, row_view<Id>(out.data + 1, 1), [&](index_t e) { return e != first; });
  }
  status validate_tokens(offset_t tokens) const { return tokens_fit(source, tokens); }
  status validate(index_t experts) const {
    checks c;
    return c.at_least("experts (for a pair)", experts, 2).also(experts_fit(source, experts)).result();
  }
  void describe(text& t) const {
    t.add("the best, and the best of the rest");
    if constexpr (!std::same_as<Source, no_noise>) t.add(" with noise");
  }
};
template <class S>
second_of_rest(S) -> second_of_rest<S>;
static_assert(token_choice<second_of_rest<>> && token_choice<second_of_rest<drawn_gumbel>>);

// The chance of the second choice. A choice that is not kept becomes no_expert with weight 0.
struct random_second {
  float threshold = 0.5f;
  draws random{.seed = 0, .step = 0, .purpose = 0x32};

  template <class V>
  MOEROUTE_HD bool keeps(offset_t token, V weight) const {
    return random.template uniform<V>(token, 0) * V(threshold) < weight;
  }
};

namespace detail {
template <std::integral Id, element W>
struct thin_row {
  random_second rule;
  matrix_view<Id> ids;
  matrix_view<W> weights;
  row_view<offset_t const> token;  // tokens: names for the draws, or empty

  static constexpr offset_t scratch_bytes() { return 0; }
  template <lane_group G>
  MOEROUTE_HD void operator()(G const& g, offset_t t, scratch) const {
    if (g.rank() == 0)
      for (offset_t j = 1; j < ids.cols; ++j)
        if (!rule.keeps(token.empty() ? t : token[t], load(weights[t][j])))
          ids[t][j] = no_expert_of<Id>, weights[t][j] = store<W>(0.f);
    g.sync();
  }
};
}  // namespace detail

// Between routing and planning: leaves out second choices by chance (all choices behind the first, if more).
template <executor X, std::integral Id, element W>
status try_thin_choices(X const& x, random_second const& rule, matrix_view<Id> ids, matrix_view<W> weights,
                        row_view<offset_t const> token = {}) noexcept {
  checks c;
  c.must_be("weights rows", weights.rows, ids.rows).must_be("weights columns", weights.cols, ids.cols);
  c.strided("ids", ids).strided("weights", weights).empty_or("token size", token, ids.rows);
  if (!(rule.threshold > 0)) c.must_be("random_second.threshold above 0 (0: no, 1: yes)", 0, 1, errc::bad_value);
  if (!c.result().ok()) return c.result();
  return x.run(ids.rows, detail::thin_row<Id, W>{rule, ids, weights, token}, {});
}
template <executor X, std::integral Id, element W>
void thin_choices(X const& x, random_second const& rule, matrix_view<Id> ids, matrix_view<W> weights,
                  row_view<offset_t const> token = {}) {
  throw_if_bad(try_thin_choices(x, rule, ids, weights, token));
}

}  // namespace moeroute::inline MOEROUTE_ABI
