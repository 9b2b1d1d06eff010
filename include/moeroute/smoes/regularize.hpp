// Decides how SMoES sits in a router: its losses as terms of `.regularize`, beside any other (loss/term.hpp).
//
//   router{.regularize = terms{inter_bin_regularizer{.term = inter_bin_mi(8), .bin_of_expert = bins, .samples = n},
//                              in_bin_balance{.alpha = 1e-3, .bin_of_expert = bins}}}
//
// A token's sample is its `sequence`. The same values as inter_bin and bin_balance, which see probabilities that
// `route` has written and are the faster way; here they are made again from the logits.
#pragma once

#include <moeroute/loss/segment_sums.hpp>
#include <moeroute/smoes/detail/divergence.hpp>
#include <moeroute/smoes/modality_scores.hpp>

namespace moeroute::inline MOEROUTE_ABI {

template <element S = float>
struct inter_bin_regularizer {
  using is_regularizer = void;
  inter_bin_term term{};                    // .gate is read off the router
  row_view<index_t const> bin_of_expert{};  // experts; left out with term.bins = 0
  index_t samples = 1;                      // tokens of other sequences are left out
  index_t modalities = 2;
  modality_scores<S> scores{};  // rows of the batch; left out: the label, hard

  MOEROUTE_HD offset_t cells(index_t experts) const { return offset_t{modalities} * (term.bin_count(experts) + 1); }
  MOEROUTE_HD offset_t sums(index_t experts) const { return samples * cells(experts); }
  MOEROUTE_HD offset_t coefficients(index_t experts) const {
    return offset_t{samples} * modalities * term.bin_count(experts);
  }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums_of) const {
    index_t const b = row.context.sequence, bins = term.bin_count(row.experts);
    if (b < 0 || b >= samples) return;
    double const per = segment_sums<wide_sum>::score_divisor(g, row, true, 0);
    if (g.rank() != 0) return;  // lanes own experts, the sums are by bin
    wide_sum* const to = sums_of.data + b * cells(row.experts);
    for (index_t m = 0; m < modalities; ++m) {
      double const weight = weight_of(row, m);
      if (weight > 0 && per > 0)
        for (index_t e = 0; e < row.experts; ++e)
          to[m * bins + bin_of(e)].add(math::mul(weight, static_cast<double>(row.scores.at(e)) / per));
      to[modalities * bins + m].add(weight);
    }
  }

  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> all, row_view<double> out) const {
    index_t const bins = term.bin_count(experts);
    double total = 0;
    std::int64_t kept = 0;
    for (index_t b = 0; b < samples; ++b) {
      if (!is_kept(all, experts, b)) continue;
      total += term.loss(divergence_of(g, all, experts, b)), ++kept;
    }
    std::int64_t const n = term.mean == sample_mean::kept ? kept : samples;
    double const factor = n > 0 ? term.factor() / static_cast<double>(n) : 0;
    if (!out.empty())
      for (index_t b = 0; b < samples; ++b) {
        bool const here = is_kept(all, experts, b);
        double const slope = here ? factor * term.slope(divergence_of(g, all, experts, b)) : 0;
        auto const w = shares(all, experts, b);
        for (index_t c = g.rank(); c < modalities * bins; c += g.size())
          out[offset_t{b} * modalities * bins + c] =
              here ? slope * detail::divergence_slope(term.divergence, w, modalities, c / bins, c % bins) /
                         w.mass(c / bins)
                   : 0;
      }
    return factor * total;
  }

  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> prices) const {
    index_t const b = row.context.sequence, bins = term.bin_count(row.experts);
    if (b < 0 || b >= samples) return;
    double const* const price = prices.data + offset_t{b} * modalities * bins;
    add_score_gradient(g, row, true, 0, [&](index_t e) {
      double a = 0;
      for (index_t m = 0; m < modalities; ++m) a = math::fma(weight_of(row, m), price[m * bins + bin_of(e)], a);
      return a;
    });
  }

  status validate(index_t experts) const {
    checks c;
    c.also(term.validate(experts))
        .at_least("inter_bin_regularizer.samples", samples, 1)
        .at_least("inter_bin_regularizer.modalities", modalities, 2);
    if (term.bins != 0) c.must_be("inter_bin_regularizer.bin_of_expert size", bin_of_expert.size, experts);
    if (!scores.of.empty()) c.must_be("inter_bin_regularizer.scores modalities", scores.count(), modalities);
    return c.result();
  }
  void describe(text& t) const { term.describe(t); }

 private:
  struct share_view {
    wide_sum const* sums;
    index_t bins, modalities;
    MOEROUTE_HD double mass(index_t m) const { return sums[modalities * bins + m].value(); }
    MOEROUTE_HD double whole(index_t m) const {
      double sum = 0;
      for (index_t i = 0; i < bins; ++i) sum += sums[m * bins + i].value();
      return sum;
    }
    MOEROUTE_HD double operator()(index_t m, index_t i) const { return sums[m * bins + i].value() / whole(m); }
  };
  MOEROUTE_HD index_t bin_of(index_t e) const { return term.bins == 0 ? e : bin_of_expert[e]; }
  template <class Row>
  MOEROUTE_HD double weight_of(Row const& row, index_t m) const {
    return scores.of.empty() ? (row.context.modality == m ? 1. : 0.) : static_cast<double>(scores(row.t, m));
  }
  MOEROUTE_HD share_view shares(row_view<wide_sum const> all, index_t experts, index_t b) const {
    return {all.data + b * cells(experts), term.bin_count(experts), modalities};
  }
  MOEROUTE_HD bool is_kept(row_view<wide_sum const> all, index_t experts, index_t b) const {
    auto const w = shares(all, experts, b);
    for (index_t m = 0; m < modalities; ++m)
      if (!(w.mass(m) >= term.min_mass && w.whole(m) > 0)) return false;
    return true;
  }
  template <class G>
  MOEROUTE_HD double divergence_of(G const& g, row_view<wide_sum const> all, index_t experts, index_t b) const {
    auto const w = shares(all, experts, b);
    auto const kind = term.divergence;
    return detail::divergence_value(
        g, kind, w, [&](index_t m, index_t i) { return detail::divergence_slope(kind, w, modalities, m, i); },
        modalities, term.bin_count(experts));
  }
};

// Balance inside bins: sum over bins of NB sum fb_e Pb_e (bin_balance.hpp).
struct in_bin_balance {
  using is_regularizer = void;
  double alpha = 1e-3;
  row_view<index_t const> bin_of_expert{};  // experts

  MOEROUTE_HD offset_t sums(index_t experts) const { return segment_sums_of(experts); }
  MOEROUTE_HD offset_t coefficients(index_t experts) const { return experts; }
  bool wants_ids() const { return true; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> all) const {
    segment_sums<wide_sum> const s{all, row.experts, 0};
    s.add_scores(g, row, true, 0);
    if (g.rank() == 0) s.add_choices(row, row.ids.size);
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t experts, row_view<wide_sum const> all, row_view<double> out) const {
    segment_sums<wide_sum const> const s{all, experts, 0};
    // Sums over the bin of e: its size, choices, mass, and product of both.
    auto const bin_of = [&](index_t e, double& chosen, double& mass, double& product) {
      index_t size = 0;
      chosen = mass = product = 0;
      for (index_t o = 0; o < experts; ++o) {
        if (bin_of_expert[o] != bin_of_expert[e]) continue;
        double const n = static_cast<double>(s.count(o)), p = s.mass(o);
        chosen += n, mass += p, product += math::mul(n, p), ++size;
      }
      return size;
    };
    auto const price = [&](index_t e) {  // d loss / d mass_e
      double chosen, mass, product;
      index_t const size = bin_of(e, chosen, mass, product);
      if (!(chosen > 0 && mass > 0)) return 0.;
      return alpha * size / (chosen * mass) * (static_cast<double>(s.count(e)) - product / mass);
    };
    double const total = tree_sum<double>(g, experts, [&](offset_t e) {  // NB experts bring NB times the bin's sum
      double chosen, mass, product;
      bin_of(static_cast<index_t>(e), chosen, mass, product);
      return chosen > 0 && mass > 0 ? product / (chosen * mass) : 0.;
    });
    if (!out.empty())
      for (index_t e = g.rank(); e < experts; e += g.size()) out[e] = price(e);
    return alpha * total;
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> prices) const {
    add_score_gradient(g, row, true, 0, [&](index_t e) { return prices[e]; });
  }
  status validate(index_t experts) const {
    return checks{}.must_be("in_bin_balance.bin_of_expert size", bin_of_expert.size, experts).result();
  }
  void describe(text& t) const {
    t.add(alpha).add(" times sum over bins of NB sum f_e P_e, f and P normalized inside the bin");
  }
};

static_assert(loss_term<inter_bin_regularizer<>> && validates<inter_bin_regularizer<>> &&
              describes<inter_bin_regularizer<double>>);
static_assert(loss_term<in_bin_balance> && validates<in_bin_balance> && describes<in_bin_balance>);

}  // namespace moeroute::inline MOEROUTE_ABI
