// Decides by chance alone: k experts uniformly at random for each token, each sequence, or the whole batch, among
// those that are open. Source: THOR (S090): training draws one expert for the batch, evaluation one a token or
// sequence; weights are constant, and there is no router to train.
//
// THOR's other half, agreement of two passes: L = alpha/2 (KL(p1 || p2) + KL(p2 || p1)) = alpha/2 sum (p - q)(ln p - ln q).
#pragma once

#include <moeroute/concepts.hpp>
#include <moeroute/core/best.hpp>
#include <moeroute/core/philox.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class draw_for_each : std::uint8_t { token, sequence, batch };

template <class K = index_t>
struct uniform_random {
  [[no_unique_address]] K k{};
  draw_for_each unit = draw_for_each::token;
  draws random{.purpose = 0x54484F52};  // a new step, a new draw
  static constexpr key_kind keys = key_kind::rank;

  MOEROUTE_HD index_t experts_per_token() const { return k; }
  MOEROUTE_EXEC_CHECK_DISABLE
  template <lane_group G, class Row, class Id>
  MOEROUTE_HD void operator()(G const& g, row_context c, Row const& key, row_view<Id> out) const {
    using V = typename Row::value_type;
    offset_t const who = unit == draw_for_each::token ? c.token : unit == draw_for_each::sequence ? c.sequence : 0;
    auto const luck = mapped_row{key, [=, this](index_t e, V) { return random.template uniform<V>(who, e); }};
    take_best(g, luck, out, [&](index_t e) { return key.at(e) > -infinity<V>; });
  }
  status validate(index_t experts) const {
    return checks{}.at_least("select.k", k, 1).at_most("select.k", k, experts).result();
  }
  void describe(text& t) const {
    t.add(static_cast<index_t>(k)).add(" at random for each ");
    t.add(unit == draw_for_each::token ? "token" : unit == draw_for_each::sequence ? "sequence" : "batch");
  }
};
static_assert(token_choice<uniform_random<>>);

// 1/2 sum (p - q)(ln p - ln q) over rows and classes, and its gradients where wanted (added). Zeros count as `floor`.
struct symmetric_kl {
  double alpha = 1;
  double floor = 1e-30;

  double operator()(matrix_view<double const> p, matrix_view<double const> q, matrix_view<double> d_p = {},
                    matrix_view<double> d_q = {}) const {
    double sum = 0;
    auto const at_least_floor = [&](double x) { return x > floor ? x : floor; };
    for (offset_t r = 0; r < p.rows; ++r)
      for (offset_t i = 0; i < p.cols; ++i) {
        double const a = at_least_floor(p[r][i]), b = at_least_floor(q[r][i]);
        double const log_ratio = math::log(a) - math::log(b);
        sum += alpha / 2 * (a - b) * log_ratio;
        if (!d_p.empty()) d_p[r][i] += alpha / 2 * (log_ratio + (a - b) / a);
        if (!d_q.empty()) d_q[r][i] -= alpha / 2 * (log_ratio + (a - b) / b);
      }
    return sum;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
