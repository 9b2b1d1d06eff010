// Decides what is said of a routing in a few numbers: load per expert and per modality, how even it is, how
// sharp the weights are, how much two routings agree. Namespace: moeroute_examples.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace moeroute_examples {

struct load_statistics {
  std::vector<double> load;            // experts: chosen places
  std::vector<double> load_text;       // experts: those of text tokens (modality 1)
  double places = 0, empty = 0;        // places that hold an expert, and that hold none
  double max_over_mean = 0;            // 1: even
  double variation = 0;                // standard deviation over mean
  double entropy = 0;                  // of the load, over log(experts): 1 is even
  int unused = 0;                      // experts nobody chose
  double top_weight = 0;               // mean over tokens of largest weight / sum
  double modality_split = 0;           // mean over used experts of |2 text share - 1|, shares per modality
};

// ids and weights: tokens x k (no_expert: negative); modality empty or one entry a token.
template <class Id, class W, class M>
load_statistics statistics_of(std::vector<Id> const& ids, std::vector<W> const& weights, std::vector<M> const& modality,
                              std::int64_t k, std::int64_t experts) {
  load_statistics s;
  auto const n = static_cast<std::size_t>(experts), width = static_cast<std::size_t>(k);
  s.load.resize(n), s.load_text.resize(n);
  std::size_t const tokens = width == 0 ? 0 : ids.size() / width;
  double text_places = 0, image_places = 0, rows = 0;
  for (std::size_t t = 0; t < tokens; ++t) {
    double top = 0, sum = 0;
    for (std::size_t j = 0; j < width; ++j) {
      auto const id = static_cast<std::int64_t>(ids[t * width + j]);
      if (id < 0 || id >= experts) {
        ++s.empty;
        continue;
      }
      ++s.places, ++s.load[static_cast<std::size_t>(id)];
      if (!modality.empty()) {
        bool const text = modality[t] == 1;
        ++(text ? text_places : image_places);
        if (text) ++s.load_text[static_cast<std::size_t>(id)];
      }
      if (!weights.empty()) {
        double const w = std::fabs(static_cast<double>(weights[t * width + j]));
        top = std::max(top, w), sum += w;
      }
    }
    if (sum > 0) s.top_weight += top / sum, ++rows;
  }
  if (rows > 0) s.top_weight /= rows;
  if (s.places == 0 || n == 0) return s;
  double const mean = s.places / static_cast<double>(n);
  double squares = 0, split = 0, used = 0;
  for (std::size_t e = 0; e < n; ++e) {
    double const x = s.load[e];
    s.max_over_mean = std::max(s.max_over_mean, x / mean);
    squares += (x - mean) * (x - mean);
    if (x > 0) s.entropy -= x / s.places * std::log(x / s.places);
    else ++s.unused;
    if (x > 0 && text_places > 0 && image_places > 0) {
      double const text = s.load_text[e] / text_places, image = (x - s.load_text[e]) / image_places;
      split += std::fabs(text - image) / (text + image), ++used;
    }
  }
  s.variation = std::sqrt(squares / static_cast<double>(n)) / mean;
  s.entropy = n > 1 ? s.entropy / std::log(static_cast<double>(n)) : 1;
  s.modality_split = used > 0 ? split / used : 0;
  return s;
}

// Mean over tokens of |a and b| / |a or b|, the sets of chosen experts.
template <class A, class B>
double agreement(std::vector<A> const& a, std::int64_t k_a, std::vector<B> const& b, std::int64_t k_b) {
  auto const wa = static_cast<std::size_t>(k_a), wb = static_cast<std::size_t>(k_b);
  std::size_t const tokens = wa == 0 ? 0 : a.size() / wa;
  double total = 0;
  for (std::size_t t = 0; t < tokens; ++t) {
    int both = 0, in_a = 0, in_b = 0;
    for (std::size_t j = 0; j < wb; ++j) in_b += b[t * wb + j] >= 0 ? 1 : 0;
    for (std::size_t i = 0; i < wa; ++i) {
      if (a[t * wa + i] < 0) continue;
      ++in_a;
      for (std::size_t j = 0; j < wb; ++j)
        if (b[t * wb + j] >= 0 && std::int64_t{a[t * wa + i]} == std::int64_t{b[t * wb + j]}) {
          ++both;
          break;
        }
    }
    int const either = in_a + in_b - both;
    total += either > 0 ? static_cast<double>(both) / either : 1;
  }
  return tokens > 0 ? total / static_cast<double>(tokens) : 1;
}

}  // namespace moeroute_examples
