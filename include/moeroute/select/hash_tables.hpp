// Decides what stands in the tables of hash routing: random, balanced, clustered, dispersed, and the ids of
// bigram hashing. Owning conveniences for the host. Source: Hash Layers (S121); the release has the random
// table, the other builders are the adopted reading of the paper.
#pragma once

#include <vector>

#include <moeroute/core/philox.hpp>
#include <moeroute/core/sort.hpp>
#include <moeroute/core/status.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

namespace detail {
inline index_t draw_below(std::uint32_t bits, index_t n) {
  return static_cast<index_t>((std::uint64_t{bits} * static_cast<std::uint64_t>(n)) >> 32);
}
inline std::size_t at(offset_t i) { return static_cast<std::size_t>(i); }
// 0 .. n - 1 by descending value, ties in order.
MOEROUTE_ON_DEMAND
inline std::vector<offset_t> by_descending(row_view<index_t const> value) {
  std::vector<offset_t> order(at(value.size));
  for (offset_t i = 0; i < value.size; ++i) order[at(i)] = i;
  sort(order.data(), value.size,
       [&](offset_t a, offset_t b) { return value[a] != value[b] ? value[a] > value[b] : a < b; });
  return order;
}
}  // namespace detail

// vocabulary x k: column j is a random one of the experts [j E/k, (j+1) E/k) (k > 1: MultiHash, k functions
// over k slices).
MOEROUTE_ON_DEMAND
inline std::vector<index_t> random_hash(offset_t vocabulary, index_t experts, index_t k = 1, std::uint64_t seed = 0) {
  throw_if_bad(checks{}.at_least("k", k, 1).divides("k", k, experts).at_least("vocabulary", vocabulary, 0).result());
  draws const d{.seed = seed, .purpose = 0x48415348};
  std::vector<index_t> table(detail::at(vocabulary * k));
  index_t const width = experts / k;
  for (offset_t v = 0; v < vocabulary; ++v)
    for (index_t j = 0; j < k; ++j) table[detail::at(v * k + j)] = j * width + detail::draw_below(d.bits(v, j), width);
  return table;
}

// Token ids by descending frequency (ties: lower id), each to the expert of least accumulated frequency
// (ties: lower expert).
MOEROUTE_ON_DEMAND
inline std::vector<index_t> balanced_hash(row_view<index_t const> frequency, index_t experts) {
  throw_if_bad(checks{}.at_least("experts", experts, 1).result());
  std::vector<offset_t> load(detail::at(experts));
  std::vector<index_t> table(detail::at(frequency.size));
  for (offset_t const v : detail::by_descending(frequency)) {
    std::size_t lightest = 0;
    for (std::size_t e = 1; e < load.size(); ++e)
      if (load[e] < load[lightest]) lightest = e;
    table[detail::at(v)] = static_cast<index_t>(lightest);
    load[lightest] += frequency[v];
  }
  return table;
}

// Tokens whose embeddings are close share an expert: k-means (Lloyd) from the first distinct rows.
MOEROUTE_ON_DEMAND
inline std::vector<index_t> clustered_hash(matrix_view<float const> embedding, index_t experts, index_t rounds = 20) {
  throw_if_bad(checks{}.at_least("experts", experts, 1).at_least("embedding rows", embedding.rows, experts).result());
  offset_t const n = embedding.rows, d = embedding.cols;
  std::vector<double> center(detail::at(experts * d));
  for (index_t e = 0; e < experts; ++e)  // spread over the vocabulary
    for (offset_t i = 0; i < d; ++i) center[detail::at(e * d + i)] = static_cast<double>(embedding[e * n / experts][i]);
  std::vector<index_t> table(detail::at(n), no_expert);
  for (index_t round = 0; round < rounds; ++round) {
    bool moved = false;
    for (offset_t v = 0; v < n; ++v) {
      double least_distance = infinity<double>;
      index_t nearest = 0;
      for (index_t e = 0; e < experts; ++e) {
        double sum = 0;
        for (offset_t i = 0; i < d; ++i) {
          double const x = static_cast<double>(embedding[v][i]) - center[detail::at(e * d + i)];
          sum += math::mul(x, x);
        }
        if (sum < least_distance) least_distance = sum, nearest = e;
      }
      moved = moved || table[detail::at(v)] != nearest;
      table[detail::at(v)] = nearest;
    }
    if (!moved) break;
    std::vector<double> sum(center.size());
    std::vector<offset_t> count(detail::at(experts));
    for (offset_t v = 0; v < n; ++v) {
      index_t const e = table[detail::at(v)];
      ++count[detail::at(e)];
      for (offset_t i = 0; i < d; ++i) sum[detail::at(e * d + i)] += static_cast<double>(embedding[v][i]);
    }
    for (index_t e = 0; e < experts; ++e)
      for (offset_t i = 0; i < d && count[detail::at(e)] > 0; ++i)
        center[detail::at(e * d + i)] = sum[detail::at(e * d + i)] / static_cast<double>(count[detail::at(e)]);
  }
  return table;
}

// The opposite: the members of each cluster are dealt out to all experts in turn.
MOEROUTE_ON_DEMAND
inline std::vector<index_t> dispersed_hash(row_view<index_t const> cluster, index_t experts) {
  throw_if_bad(checks{}.at_least("experts", experts, 1).result());
  std::vector<index_t> table(detail::at(cluster.size)), next;
  for (offset_t v = 0; v < cluster.size; ++v) {
    auto const c = static_cast<std::size_t>(cluster[v]);
    if (next.size() <= c) next.resize(c + 1);
    table[detail::at(v)] = next[c];
    next[c] = (next[c] + 1) % experts;
  }
  return table;
}

// ids of a sequence by (current, previous) token; the first token has itself as previous.
MOEROUTE_ON_DEMAND
inline std::vector<index_t> bigram_hash(row_view<index_t const> vocabulary_id, index_t experts,
                                        std::uint64_t seed = 0) {
  throw_if_bad(checks{}.at_least("experts", experts, 1).result());
  draws const d{.seed = seed, .purpose = 0x42494752};
  std::vector<index_t> ids(detail::at(vocabulary_id.size));
  for (offset_t t = 0; t < vocabulary_id.size; ++t)
    ids[detail::at(t)] = detail::draw_below(d.bits(vocabulary_id[t > 0 ? t - 1 : t], vocabulary_id[t]), experts);
  return ids;
}

}  // namespace moeroute::inline MOEROUTE_ABI
