// Decides how specialized and how balanced a routing is, from its choice counts alone (SMoES, equation 18).
//
//   t_e = (C[text, e] / sum C[text]) / (C[text, e] / sum C[text] + C[other, e] / sum C[other]),  0/0 = 1/2
//   MSI = mean over layers and experts of 2 |t_e - 1/2|:  0 = no difference, 1 = one modality an expert
//
// Counts: modalities x experts of choice_counts.hpp, one table a layer; two modalities, or text against the
// rest. Reports on the host; nothing here is differentiated.
#pragma once

#include <moeroute/core/math.hpp>
#include <moeroute/core/view.hpp>
#include <moeroute/smoes/modality_scores.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// t_e of one layer into `share` (experts); returns the index of the layer.
inline double specialization(matrix_view<std::int64_t const> counts, row_view<double> share,
                             index_t text = text_modality) {
  double of_text = 0, of_rest = 0;
  for (offset_t m = 0; m < counts.rows; ++m)
    for (std::int64_t const n : counts[m]) (m == text ? of_text : of_rest) += static_cast<double>(n);
  double sum = 0;
  for (offset_t e = 0; e < counts.cols; ++e) {
    double mine = 0, rest = 0;
    for (offset_t m = 0; m < counts.rows; ++m) (m == text ? mine : rest) += static_cast<double>(counts[m][e]);
    mine = of_text > 0 ? mine / of_text : 0;
    rest = of_rest > 0 ? rest / of_rest : 0;
    share[e] = mine + rest > 0 ? mine / (mine + rest) : .5;
    sum += share[e] < .5 ? 1 - 2 * share[e] : 2 * share[e] - 1;
  }
  return counts.cols > 0 ? sum / static_cast<double>(counts.cols) : 0;
}

// counts (layers * modalities) x experts, layer by layer. share (layers x experts) and per_layer are written;
// the mean over layers is returned.
inline double specialization(matrix_view<std::int64_t const> counts, index_t modalities, matrix_view<double> share,
                             row_view<double> per_layer, index_t text = text_modality) {
  double sum = 0;
  for (offset_t l = 0; l < per_layer.size; ++l)
    sum += per_layer[l] = specialization(counts.middle_rows(l * modalities, modalities), share[l], text);
  return per_layer.size > 0 ? sum / static_cast<double>(per_layer.size) : 0;
}

// ---- load ---------------------------------------------------------------------------------------------------

struct load_report {
  double variation = 0;  // standard deviation over mean, of the parts
  double most = 0;       // share of the busiest part; even: 1 / parts
  double least = 0;
};
// How evenly `load` is spread: of experts, of bins, of devices.
inline load_report load_of(row_view<std::int64_t const> load) {
  if (load.empty()) return {};
  double sum = 0, squares = 0, most = 0, least = infinity<double>;
  for (std::int64_t const n : load) {
    double const x = static_cast<double>(n);
    sum += x, squares += math::mul(x, x), most = math::max(x, most), least = math::min(x, least);
  }
  if (!(sum > 0)) return {};
  double const parts = static_cast<double>(load.size), mean = sum / parts;
  return {math::sqrt(math::max(squares / parts - math::mul(mean, mean), 0.)) / mean, most / sum, least / sum};
}
// Adds the counts of experts to their bins, or to their devices: part_of_expert (experts) in [0, parts).
inline void load_by_part(row_view<std::int64_t const> counts, row_view<index_t const> part_of_expert,
                         row_view<std::int64_t> load) {
  for (std::int64_t& n : load) n = 0;
  for (offset_t e = 0; e < counts.size; ++e) load[part_of_expert[e]] += counts[e];
}
// Mean over the bins that were used of the variation of load among a bin's experts: what in-bin balance holds
// down.
inline double variation_inside(row_view<std::int64_t const> counts, row_view<index_t const> bin_of_expert,
                               index_t bins) {
  double total = 0;
  index_t used = 0;
  for (index_t i = 0; i < bins; ++i) {
    double sum = 0, squares = 0, size = 0;
    for (offset_t e = 0; e < counts.size; ++e) {
      if (bin_of_expert[e] != i) continue;
      double const x = static_cast<double>(counts[e]);
      sum += x, squares += math::mul(x, x), size += 1;
    }
    if (!(sum > 0)) continue;
    double const mean = sum / size;
    total += math::sqrt(math::max(squares / size - math::mul(mean, mean), 0.)) / mean;
    ++used;
  }
  return used > 0 ? total / used : 0;
}

}  // namespace moeroute::inline MOEROUTE_ABI
