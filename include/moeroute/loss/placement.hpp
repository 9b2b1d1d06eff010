// Decides prices that know more of a token or an expert than its score: where they live, what they are for.
//
//   locality              L = mu KL(D || D_local): share of choices that device a sends to device b, against all
//                         of a's own on a; with one-hot D_local, L = -mu sum_a w_a ln(mean share kept on a),
//                         w_a the share of tokens on a. Source: LocMoE (S028), D from probabilities.
//   label_cross_entropy   L = -alpha mean_t ln sum_{e in group(label_t)} p_te. Source: Innovator's warm-up (S146),
//                         whose exact loss is not published.
//   group_variance        L = alpha mean over tokens and groups of var_{e in group}(p_te), ddof 0.
//                         Source: MoEC (S043); the scale is not pinned down.
// The label or home of a token is row_context.modality or .group: the caller's own numbering.
#pragma once

#include <moeroute/loss/segment_sums.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct locality {
  using is_regularizer = void;
  double mu = 1e-2;
  row_view<index_t const> home{};  // experts: the device that holds each
  index_t devices = 1;
  segment_by by = segment_by::group;  // which number of a token is its device
  bool normalize = true;
  double eps = 1e-20;

  // For each device: tokens, and the score mass they keep at home.
  MOEROUTE_HD offset_t sums(index_t) const { return 2 * offset_t{devices}; }
  MOEROUTE_HD offset_t coefficients(index_t) const { return devices; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    index_t const at = segment_of(by, row.context);
    if (at < 0 || at >= devices) return;
    double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
    double const kept = tree_sum<double>(
        g, row.experts, [&](offset_t e) { return home[e] == at ? static_cast<double>(row.scores.data[e]) / per : 0.; });
    if (g.rank() != 0) return;
    sums[2 * at] += std::int64_t{1};
    sums[2 * at + 1].add(kept);
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t, row_view<wide_sum const> sums, row_view<double> out) const {
    std::int64_t all = 0;
    for (index_t a = 0; a < devices; ++a) all += sums[2 * a].count();
    double total = 0;
    for (index_t a = 0; a < devices; ++a) {
      double const tokens = static_cast<double>(sums[2 * a].count()), mass = sums[2 * a + 1].value();
      double const weight = all > 0 ? tokens / static_cast<double>(all) : 0.;
      double const floor = mass > 1e-300 ? mass : 1e-300;
      if (tokens > 0) total -= math::mul(mu * weight, math::log(floor / tokens));
      if (!out.empty() && g.rank() == 0) out[a] = tokens > 0 ? -mu * weight / floor : 0.;
    }
    return total;
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> price) const {
    index_t const at = segment_of(by, row.context);
    if (at < 0 || at >= devices) return;
    add_score_gradient(g, row, normalize, eps, [&](index_t e) { return home[e] == at ? price[at] : 0.; });
  }
  status validate(index_t experts) const {
    return checks{}.must_be("locality.home size", home.size, experts).at_least("locality.devices", devices, 1).result();
  }
  void describe(text& t) const { t.add(mu).add(" KL to fully local routing, ").add(devices).add(" devices"); }
};
static_assert(loss_term<locality>);

struct label_cross_entropy {
  using is_regularizer = void;
  double alpha = 1;
  matrix_view<std::uint8_t const> group{};  // labels x experts, 1 = an expert of this label
  segment_by by = segment_by::modality;     // which number of a token is its label
  bool normalize = true;
  double eps = 1e-20;

  MOEROUTE_HD offset_t sums(index_t) const { return 2; }  // tokens, -ln of the group's mass
  MOEROUTE_HD offset_t coefficients(index_t) const { return 1; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    index_t const label = segment_of(by, row.context);
    if (label < 0 || label >= group.rows) return;
    double const p = mass(g, row, label);
    if (g.rank() != 0) return;
    sums[0] += std::int64_t{1};
    sums[1].add(-math::log(p));
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t, row_view<wide_sum const> sums, row_view<double> out) const {
    double const tokens = static_cast<double>(sums[0].count()), each = tokens > 0 ? alpha / tokens : 0.;
    if (!out.empty() && g.rank() == 0) out[0] = each;
    return each * sums[1].value();
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> c) const {
    index_t const label = segment_of(by, row.context);
    if (label < 0 || label >= group.rows) return;
    double const price = -c[0] / mass(g, row, label);
    add_score_gradient(g, row, normalize, eps, [&](index_t e) { return group[label][e] != 0 ? price : 0.; });
  }
  status validate(index_t experts) const {
    return checks{}
        .must_be("label_cross_entropy.group columns", group.cols, experts)
        .strided("label_cross_entropy.group", group)
        .result();
  }
  void describe(text& t) const { t.add(alpha).add(" mean -ln of the mass on the label's experts"); }

 private:
  // At least 1e-30: a group without mass costs 69 alpha and pulls with a finite gradient.
  template <class G, class Row>
  MOEROUTE_HD double mass(G const& g, Row const& row, index_t label) const {
    double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
    double const p = tree_sum<double>(g, row.experts, [&](offset_t e) {
      return group[label][e] != 0 ? static_cast<double>(row.scores.data[e]) / per : 0.;
    });
    return p > 1e-30 ? p : 1e-30;
  }
};
static_assert(loss_term<label_cross_entropy>);

struct group_variance {
  using is_regularizer = void;
  double alpha = 1;
  index_t groups = 1;
  bool normalize = true;
  double eps = 1e-20;

  MOEROUTE_HD offset_t sums(index_t) const { return 2; }  // tokens, variances summed over groups
  MOEROUTE_HD offset_t coefficients(index_t) const { return 1; }

  template <lane_group G, class Row>
  MOEROUTE_HD void observe(G const& g, Row const& row, row_view<wide_sum> sums) const {
    double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
    index_t const width = row.experts / groups;
    double const sum = tree_sum<double>(g, row.experts, [&](offset_t e) {
      double const d = off_mean(row, static_cast<index_t>(e), width, per);
      return math::mul(d, d);
    });
    if (g.rank() != 0) return;
    sums[0] += std::int64_t{1};
    sums[1].add(sum / width);
  }
  template <lane_group G>
  MOEROUTE_HD double finish(G const& g, index_t, row_view<wide_sum const> sums, row_view<double> out) const {
    double const tokens = static_cast<double>(sums[0].count()), each = tokens > 0 ? alpha / (tokens * groups) : 0.;
    if (!out.empty() && g.rank() == 0) out[0] = each;
    return each * sums[1].value();
  }
  template <lane_group G, class Row>
  MOEROUTE_HD void add_gradient(G const& g, Row const& row, row_view<double const> c) const {
    double const per = segment_sums<wide_sum>::score_divisor(g, row, normalize, eps);
    index_t const width = row.experts / groups;
    add_score_gradient(g, row, normalize, eps,
                       [&](index_t e) { return math::mul(c[0] * 2 / width, off_mean(row, e, width, per)); });
  }
  status validate(index_t experts) const { return checks{}.divides("group_variance.groups", groups, experts).result(); }
  void describe(text& t) const { t.add(alpha).add(" mean variance of p inside ").add(groups).add(" groups"); }

 private:
  template <class Row>
  MOEROUTE_HD static double off_mean(Row const& row, index_t e, index_t width, double per) {
    index_t const first = e / width * width;
    double mean = 0;
    for (index_t j = first; j < first + width; ++j) mean += static_cast<double>(row.scores.data[j]) / per;
    return static_cast<double>(row.scores.data[e]) / per - mean / width;
  }
};
static_assert(loss_term<group_variance>);

}  // namespace moeroute::inline MOEROUTE_ABI
