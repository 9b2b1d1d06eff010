// Decides what is asked of the bins: that the two modalities use different ones (SMoES, arXiv 2604.23996).
//
//   S[m, i]  = sum_{e in bin i} sum_j M[j, m] p[j, e] / (NB sum_j M[j, m]),   Pj = S / sum S,  per sample
//   I_b      = sum_{m, i} Pj ln(Pj[m, i] / (Pj[m, .] Pj[., i]));   L_MI = -alpha mean_b I_b
//   closed   w_m[i] = NB S[m, i], wb = mean_m w_m:  I_b = (1/modalities) sum_m sum_i w_m[i] ln(w_m[i] / wb[i])
//
// the Jensen-Shannon divergence of the modalities' bin distributions, every modality weighing the same
// whatever its tokens: 0 <= I_b <= ln(modalities). It follows from sum_e p[j, e] = 1. The same sums serve the
// baselines: the symmetric KL between bins (S11), and SMAR (S12) where every expert is a bin of its own.
#pragma once

#include <moeroute/smoes/detail/gate_rows.hpp>
#include <moeroute/smoes/modality_scores.hpp>

namespace moeroute::inline MOEROUTE_ABI {

enum class bin_divergence : std::uint8_t {
  jensen_shannon,  // the mutual information, closed form
  by_definition,   // the mutual information, as the paper writes it; same value and gradient
  symmetric_kl,    // sum over pairs of KL(w_m, w_n) + KL(w_n, w_m)
};
enum class divergence_goal : std::uint8_t {
  raise,  // -d
  reach,  // -min(d, low) + max(0, d - high)
  band,   // max(0, low - d) + max(0, d - high)
};
enum class sample_mean : std::uint8_t { kept, all };   // divide by the samples kept, or by all of them
enum class layer_reduce : std::uint8_t { sum, mean };  // over the layers of the model (S14)

struct inter_bin_term {
  using is_regularizer = void;
  double alpha = 1e-4;
  index_t bins = 8;  // 0: every expert is a bin of its own
  bin_divergence divergence = bin_divergence::jensen_shannon;
  divergence_goal goal = divergence_goal::raise;
  double low = .5, high = 1;
  double min_mass = 1;  // a sample counts when every modality has at least this mass, in tokens (S7)
  sample_mean mean = sample_mean::kept;
  layer_reduce reduce = layer_reduce::sum;
  index_t layers = 1;
  gate_form gate = gate_form::softmax;

  MOEROUTE_HD constexpr index_t bin_count(index_t experts) const { return bins == 0 ? experts : bins; }
  MOEROUTE_HD constexpr double factor() const { return reduce == layer_reduce::sum ? alpha : alpha / layers; }
  // The loss of one sample and its slope.
  MOEROUTE_HD double loss(double d) const {
    if (goal == divergence_goal::raise) return -d;
    double const over = d > high ? d - high : 0;
    return goal == divergence_goal::reach ? over - (d < low ? d : low) : over + (d < low ? low - d : 0);
  }
  MOEROUTE_HD double slope(double d) const {
    if (goal == divergence_goal::raise) return -1;
    return d < low ? -1 : (d > high ? 1 : 0);
  }
  status validate(index_t experts) const {
    checks c;
    c.at_least("inter_bin.bins", bins, 0)
        .at_most("inter_bin.bins", bins, experts)
        .at_least("inter_bin.layers", layers, 1);
    if (!(low <= high))
      c.also({errc::bad_value, "inter_bin.low (times 1000)", "must be at most", static_cast<std::int64_t>(low * 1000),
              static_cast<std::int64_t>(high * 1000)});
    return c.result();
  }
  void describe(text& t) const {
    t.add(alpha).add(" times the mean over samples of ");
    char const* const d = divergence == bin_divergence::symmetric_kl ? "d" : "I";
    if (goal == divergence_goal::raise) t.add("-").add(d);
    if (goal == divergence_goal::reach)
      t.add("-min(").add(d).add(", ").add(low).add(") + max(0, ").add(d).add(" - ").add(high).add(")");
    if (goal == divergence_goal::band)
      t.add("max(0, ").add(low).add(" - ").add(d).add(") + max(0, ").add(d).add(" - ").add(high).add(")");
    t.add(", ").add(d).add(divergence == bin_divergence::symmetric_kl ? " the symmetric KL"
                                                                      : " the mutual information");
    t.add(divergence == bin_divergence::symmetric_kl ? " between the modalities' shares of " : " of modality and ");
    t.add(bins == 0 ? "the experts" : "the bins");
  }
};

// L_MI. Paper: alpha 1e-4, 8 bins of 64 experts.
constexpr inter_bin_term inter_bin_mi(index_t bins, double alpha = 1e-4) { return {.alpha = alpha, .bins = bins}; }
// The "inter-bin KL" ablation (adopted reading): pushed up to `low`, pulled back from `high`.
constexpr inter_bin_term inter_bin_kl(index_t bins, double alpha, double low = .5, double high = 1) {
  return {.alpha = alpha,
          .bins = bins,
          .divergence = bin_divergence::symmetric_kl,
          .goal = divergence_goal::reach,
          .low = low,
          .high = high};
}
// SMAR (adopted reading): the symmetric KL of the modalities' mean gate vectors kept in a band. Give hard
// scores and one sample: the batch.
constexpr inter_bin_term smar(double alpha, double low = .5, double high = 1) {
  return {.alpha = alpha,
          .bins = 0,
          .divergence = bin_divergence::symmetric_kl,
          .goal = divergence_goal::band,
          .low = low,
          .high = high};
}

}  // namespace moeroute::inline MOEROUTE_ABI
