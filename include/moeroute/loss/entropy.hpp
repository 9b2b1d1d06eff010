// Decides the price of undecided tokens and of unused experts, by entropy.
//
//   token_entropy   L = alpha mean_t H_q(p_t)              a negative alpha asks for softer routing
//   usage_entropy   L = alpha sum_m max(0, tau - H(mean_t p_t)), over segments m; without tau: -alpha H
//
// H_1 is Shannon's -sum p ln p; H_q = (1 - sum p^q) / (q - 1) Tsallis'. `relative` divides by the maximum.
// Source: LIMoE (local and global, per modality, tau), DynMoLE (S061, q = 1.1), LoRA-Mixer (the sign is yours).
#pragma once

#include <moeroute/loss/segment_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
// p (1 - p^(q-1)) / (q - 1): the share of one p in H_q, accurate also near q = 1.
MOEROUTE_HD inline double entropy_part(double p, double q) {
  if (!(p > 0)) return 0;
  double const l = math::log(p);
  return q == 1 ? math::mul(-p, l) : -p * MOEROUTE_LIBM(expm1)((q - 1) * l) / (q - 1);
}
// Its derivative; 0 at p = 0, where every score's own derivative is 0 as well.
MOEROUTE_HD inline double entropy_slope(double p, double q) {
  if (!(p > 0)) return 0;
  double const l = math::log(p);
  if (q == 1) return -l - 1;
  return -(math::exp((q - 1) * l) + MOEROUTE_LIBM(expm1)((q - 1) * l) / (q - 1));
}
MOEROUTE_HD inline double most_entropy(double n, double q) {
  if (n <= 1) return 1;
  return q == 1 ? math::log(n) : -MOEROUTE_LIBM(expm1)((1 - q) * math::log(n)) / (q - 1);
}
}  // namespace detail

struct token_entropy {
  using is_regularizer = void;
  double alpha = 1e-2;
  double q = 1;
  bool relative = false;
  double shift = 0;  // > 0: DynMoLE's literal form, p + shift without renormalizing; wrong as q nears 1
  segment_by by = segment_by::batch;
  index_t only = 0;  // tokens of this segment
  bool normalize = true;
  double eps = 1e-20;

  MOEROUTE_HD offset_t sums(index_t) const { return 2; }  // tokens, entropies
  MOEROUTE_HD offset_t coefficients(index_t) const { return 1; }

  // H of one token, as every lane sees it.
  template <lane_group G, class Row>
  MOEROUTE_HD double of(G const& g, Row const& row) const {
    double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
    double h = tree_sum<double>(g, row.experts,
                                [&](offset_t e) { return part(static_cast<double>(row.scores.data[e]) / per); });
    if (shift > 0 && q != 1) h = (1 - h) / (q - 1);
    return relative ? h / detail::most_entropy(row.experts, q) : h;
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    if (segment_of(by, row.context) != only) return;
    double const h = of(g, row);
    if (g.rank() != 0) return;
    sums[0] += std::int64_t{1};
    sums[1].add(h);
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t, row_view<wide_sum const> sums, row_view<double> out) const {
    double const tokens = static_cast<double>(sums[0].count());
    double const each = tokens > 0 ? alpha / tokens : 0.;
    if (!out.empty() && g.rank() == 0) out[0] = each;
    return each * sums[1].value();
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> c) const {
    if (segment_of(by, row.context) != only) return;
    double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
    double const each = relative ? c[0] / detail::most_entropy(row.experts, q) : c[0];
    add_score_gradient(g, row, normalize, eps, [&](index_t e) {
      return math::mul(each, slope(static_cast<double>(row.scores.data[e]) / per));
    });
  }
  status validate(index_t) const {
    return checks{}.at_least("token_entropy.q (must be positive)", q > 0 ? 1 : 0, 1).result();
  }
  void describe(text& t) const {
    t.add(alpha).add(" mean token entropy");
    if (q != 1) t.add(" (Tsallis, q ").add(q).add(")");
    if (relative) t.add(" / its maximum");
  }

 private:
  MOEROUTE_HD double part(double p) const {
    if (!(shift > 0)) return detail::entropy_part(p, q);
    double const l = math::log(p + shift);
    return q == 1 ? math::mul(-(p + shift), l) : math::exp(q * l);
  }
  MOEROUTE_HD double slope(double p) const {
    if (!(shift > 0)) return detail::entropy_slope(p, q);
    double const l = math::log(p + shift);
    return q == 1 ? -l - 1 : -q / (q - 1) * math::exp((q - 1) * l);
  }
};
static_assert(loss_term<token_entropy>);

struct usage_entropy {
  using is_regularizer = void;
  double alpha = 1e-2;
  double threshold = infinity<double>;  // tau; infinity: no hinge, L = -alpha H
  segment_by by = segment_by::batch;
  index_t segments = 1;  // a token numbered beyond makes L NaN; one below 0 counts nowhere
  bool normalize = true;
  double eps = 1e-20;

  MOEROUTE_HD offset_t sums(index_t experts) const { return segments * segment_sums_of(experts) + 1; }
  MOEROUTE_HD offset_t coefficients(index_t experts) const { return offset_t{segments} * experts; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    index_t const at = segment_in(g, segment_of(by, row.context), segments, sums[sums.size - 1]);
    if (at >= 0) segment_sums<wide_sum>{sums, row.experts, at}.add_scores(g, row, normalize, eps);
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> sums, row_view<double> out) const {
    double total = sums[sums.size - 1].count() > 0 ? not_a_number<double> : 0.;
    for (index_t i = 0; i < segments; ++i) {
      segment_sums<wide_sum const> const s{sums, experts, i};
      double const tokens = static_cast<double>(s.tokens());
      auto const mean = [&](offset_t e) { return tokens > 0 ? s.mass(static_cast<index_t>(e)) / tokens : 0.; };
      double const h = tree_sum<double>(g, experts, [&](offset_t e) { return detail::entropy_part(mean(e), 1); });
      bool const hinged = threshold < infinity<double>, on = tokens > 0 && (!hinged || h < threshold);
      total += on ? math::mul(alpha, (hinged ? threshold : 0.) - h) : 0.;
      if (!out.empty())
        for (offset_t e = g.rank(); e < experts; e += g.size())
          out[i * experts + e] = on ? -alpha / tokens * detail::entropy_slope(mean(e), 1) : 0.;
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
  status validate(index_t) const { return checks{}.at_least("usage_entropy.segments", segments, 1).result(); }
  void describe(text& t) const {
    t.add(alpha).add(threshold < infinity<double> ? " max(0, tau - H(mean p))" : " (-H(mean p))");
    if (threshold < infinity<double>) t.add(", tau ").add(threshold);
  }
};
static_assert(loss_term<usage_entropy>);

}  // namespace moeroute::inline MOEROUTE_ABI
