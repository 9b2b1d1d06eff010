// Decides what a loss term is: sums over tokens, a value made of the sums, and a gradient made of both.
//
//   observe:   sums += what each token adds        integers underneath: shards, micro-batches and ranks merge
//   value:     sums -> L                           by addition, bit for bit
//   gradient:  sums -> a few coefficients; token by token into d_logits, through the router's own score
//
// A term is a small aggregate:
//   using is_regularizer = void;
//   offset_t sums(index_t experts) const                       how many wide_sum it keeps
//   offset_t coefficients(index_t experts) const               how many doubles its gradient is made of
//   void observe(group, token_row, row_view<wide_sum> sums) const
//   double finish(group, index_t experts, row_view<wide_sum const> sums, row_view<double> coefficients) const
//                                      every lane gets L; coefficients are written unless the view is empty
//   void add_gradient(group, token_row, row_view<double const> coefficients) const
//                                      adds dL/dscore into row.d_scores, dL/dlogit into row.d_logits
//   bool wants_ids() const             optional: the sums need the choices; a batch without ids is refused
//   static constexpr bool wants_logits optional: reads row.logits; scores that came without logits are refused
// A statistic (stats/) is a term with sums() and observe() alone. Lane r writes only the elements it owns
// (row.scores.each), or rank 0 writes; the verbs sync between tokens.
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/tree_sum.hpp>
#include <moeroute/core/wide_sum.hpp>
#include <moeroute/score.hpp>
#include <moeroute/stats/counts.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// What a term sees of one valid token. Logits are those after the prior, NaN already closed (-inf).
template <class V, class Id, class Score>
struct token_row {
  using value_type = V;
  static constexpr bool sums_to_one = moeroute::sums_to_one<Score>;  // the scores are probabilities
  static constexpr bool is_softmax = std::same_as<Score, softmax>;   // and exactly these: `shared` is set
  offset_t t = 0;
  row_context context{};
  index_t experts = 0;
  memory_row<V> logits{};
  memory_row<V> scores{};
  row_view<Id const> ids{};  // k, or empty if the caller gave none
  memory_row<V> d_scores{};  // zero before the first term; empty while observing
  memory_row<V> d_logits{};
  softmax::summary<V> shared{};  // of the softmax of the logits, where is_softmax

  // Softmax of the logits, whatever the score: the router's own where it is that.
  template <class G>
  MOEROUTE_HD softmax::summary<V> softmax_summary(G const& g) const {
    if constexpr (is_softmax) return shared;
    else return softmax{}.summarize(g, logits);
  }
};

namespace probe {
using token = token_row<float, index_t, softmax>;
}  // namespace probe

template <class P>
concept statistic = requires(P const& p, probe::group g, probe::token t, row_view<wide_sum> sums) {
  { p.sums(index_t{}) } -> std::same_as<offset_t>;
  { p.observe(g, t, sums) } -> std::same_as<void>;
};
template <class P>
concept loss_term =
    regularize_policy<P> && statistic<P> &&
    requires(P const& p, probe::group g, probe::token t, row_view<wide_sum const> sums, row_view<double> c) {
      { p.coefficients(index_t{}) } -> std::same_as<offset_t>;
      { p.finish(g, index_t{}, sums, c) } -> std::same_as<double>;
      { p.add_gradient(g, t, row_view<double const>{}) } -> std::same_as<void>;
    };

template <class P>
inline constexpr bool wants_logits = false;
template <class P>
  requires requires { P::wants_logits; }
inline constexpr bool wants_logits<P> = P::wants_logits;
template <class P>
bool wants_ids(P const& term) {
  if constexpr (requires {
                  { term.wants_ids() } -> std::same_as<bool>;
                })
    return term.wants_ids();
  else return false;
}

// Which tokens share one set of sums.
enum class segment_by : std::uint8_t { batch, sequence, modality, group };
MOEROUTE_HD constexpr index_t segment_of(segment_by by, row_context c) {
  return by == segment_by::batch      ? 0
         : by == segment_by::sequence ? c.sequence
         : by == segment_by::modality ? c.modality
                                      : c.group;
}

// Several terms as one: L = first + rest.
template <class... T>
struct terms;
template <>
struct terms<> {
  using is_regularizer = void;
  static constexpr bool none = true;
  MOEROUTE_HD offset_t sums(index_t) const { return 0; }
  MOEROUTE_HD offset_t coefficients(index_t) const { return 0; }
  MOEROUTE_HD void observe(auto const&, auto const&, row_view<wide_sum>) const {}
  MOEROUTE_HD double finish(auto const&, index_t, row_view<wide_sum const>, row_view<double>) const { return 0; }
  MOEROUTE_HD void add_gradient(auto const&, auto const&, row_view<double const>) const {}
};
template <class First, class... Rest>
struct terms<First, Rest...> {
  using is_regularizer = void;
  static constexpr bool wants_logits = moeroute::wants_logits<First> || (moeroute::wants_logits<Rest> || ...);
  [[no_unique_address]] First first{};
  [[no_unique_address]] terms<Rest...> rest{};

  constexpr terms() = default;
  MOEROUTE_HD constexpr terms(First f, Rest... r) : first(f), rest(r...) {}

  MOEROUTE_HD offset_t sums(index_t e) const { return first.sums(e) + rest.sums(e); }
  MOEROUTE_HD offset_t coefficients(index_t e) const { return first.coefficients(e) + rest.coefficients(e); }

  bool wants_ids() const { return moeroute::wants_ids(first) || moeroute::wants_ids(rest); }

  MOEROUTE_EXEC_CHECK_DISABLE
  MOEROUTE_HD void observe(auto const& g, auto const& row, row_view<wide_sum> s) const {
    offset_t const n = first.sums(row.experts);
    first.observe(g, row, head(s, n));
    rest.observe(g, row, tail(s, n));
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  MOEROUTE_HD double finish(auto const& g, index_t e, row_view<wide_sum const> s, row_view<double> c) const {
    offset_t const n = first.sums(e), m = c.empty() ? 0 : first.coefficients(e);
    double const a = math::mul(first.finish(g, e, head(s, n), head(c, m)), 1.);  // a term may end in a product
    return a + rest.finish(g, e, tail(s, n), tail(c, m));
  }
  MOEROUTE_EXEC_CHECK_DISABLE
  MOEROUTE_HD void add_gradient(auto const& g, auto const& row, row_view<double const> c) const {
    offset_t const m = first.coefficients(row.experts);
    first.add_gradient(g, row, head(c, m));
    rest.add_gradient(g, row, tail(c, m));
  }
  status validate(index_t e) const { return checks{}.also(experts_fit(first, e)).also(experts_fit(rest, e)).result(); }
  void describe(text& t) const {
    if constexpr (describes<First>) first.describe(t);
    else t.add("(user term)");
    if constexpr (sizeof...(Rest) > 0) t.add(" + "), rest.describe(t);
  }

 private:
  template <class T>
  MOEROUTE_HD static row_view<T> head(row_view<T> v, offset_t n) {
    return row_view<T>(v.data, n);
  }
  template <class T>
  MOEROUTE_HD static row_view<T> tail(row_view<T> v, offset_t n) {
    return row_view<T>(v.data + n, v.size - n);
  }
};
template <class... T>
terms(T...) -> terms<T...>;

// into += from: another shard, micro-batch or rank. Any order, the same bits.
inline void merge_sums(row_view<wide_sum> into, row_view<wide_sum const> from) {
  throw_if_bad(checks{}.must_be("from size", from.size, into.size).result());
  for (offset_t i = 0; i < into.size; ++i) into[i] += from[i];
}

// L on the CPU, from merged sums.
template <loss_term P>
double loss_value(P const& term, index_t experts, row_view<wide_sum const> sums) {
  throw_if_bad(checks{}.must_be("sums size", sums.size, term.sums(experts)).result());
  return term.finish(serial_group{}, experts, sums, row_view<double>{});
}

static_assert(loss_term<terms<>>);

}  // namespace moeroute::inline MOEROUTE_ABI
