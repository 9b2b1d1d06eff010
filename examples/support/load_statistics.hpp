// Decides what is said of a routing in a few numbers: load per expert and per modality, how even it is, how
// sharp the weights are, how much of it another routing shares. Namespace: moeroute_examples.
#pragma once

#include <cmath>

#include <moeroute/smoes/specialization.hpp>
#include <moeroute/stats/load.hpp>
#include <moeroute/stats/usage.hpp>

#include "tensor.hpp"

namespace moeroute_examples {

struct load_statistics {
  tensor<std::int64_t> usage;      // [2, experts]: choices of tokens of modality 1 in row 1, all others in row 0
  std::vector<std::int64_t> load;  // experts
  std::vector<double> text_share;  // experts: of modality 1, corrected for the size of both; 0.5 if unused
  moeroute::load_summary summary;  // max/mean, variation, entropy, unused, ...
  std::int64_t empty = 0;          // places without an expert
  double specialization = 0;       // mean over experts of |2 text share - 1|
  double top_weight = 0;           // mean over tokens of largest weight / sum
};

// ids: tokens x k (negative: no expert); weights, modality: as many, or empty.
template <class W, class M>
load_statistics statistics_of(tensor<moeroute::index_t> const& ids, std::vector<W> const& weights,
                              std::vector<M> const& modality, std::int64_t experts) {
  using namespace moeroute;
  load_statistics s;
  auto const n = static_cast<std::size_t>(experts);
  auto const tokens = ids.extent(0), k = ids.extent(1);
  s.usage = tensor<std::int64_t>({2, experts});
  s.load.resize(n), s.text_share.resize(n, .5);
  std::vector<index_t> label(static_cast<std::size_t>(tokens));
  for (std::size_t t = 0; t < modality.size(); ++t) label[t] = modality[t] == 1 ? 1 : 0;
  serial const x{};
  std::vector<std::byte> work(static_cast<std::size_t>(usage_workspace_bytes(x, tokens, 2 * experts)));
  throw_if_bad(try_count_usage(x, ids.matrix(), row_view<index_t const>(label), {}, s.usage.matrix(), workspace(work)));
  for (std::size_t e = 0; e < n; ++e) s.load[e] = s.usage.values[e] + s.usage.values[n + e];
  s.summary = summarize_load(row_view<std::int64_t const>(s.load));
  s.empty = tokens * k - s.summary.total;
  s.specialization = specialization(matrix_view<std::int64_t const>(s.usage.matrix()), row_view<double>(s.text_share));
  std::int64_t rows = 0;
  for (std::int64_t t = 0; t < tokens && !weights.empty(); ++t) {
    double top = 0, sum = 0;
    for (std::int64_t j = 0; j < k; ++j) {
      double const w = std::fabs(static_cast<double>(weights[static_cast<std::size_t>(t * k + j)]));
      top = std::max(top, w), sum += w;
    }
    if (sum > 0) s.top_weight += top / sum, ++rows;
  }
  if (rows > 0) s.top_weight /= static_cast<double>(rows);
  return s;
}

// Share of the choices of `a` that `b` made too; 1 where `a` chose nothing.
inline double shared_choices(tensor<moeroute::index_t> const& a, tensor<moeroute::index_t> const& b) {
  using namespace moeroute;
  std::int64_t counts[2] = {0, 0};
  serial const x{};
  std::vector<std::byte> work(static_cast<std::size_t>(usage_workspace_bytes(x, a.extent(0), 2)));
  throw_if_bad(try_count_overlap(x, a.matrix(), b.matrix(), {}, row_view<std::int64_t>(counts, 2), workspace(work)));
  return counts[1] > 0 ? static_cast<double>(counts[0]) / static_cast<double>(counts[1]) : 1;
}

}  // namespace moeroute_examples
