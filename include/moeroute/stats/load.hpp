// Decides what the counts of choices say about balance, each figure with its formula; n_e counts, E experts,
// N = sum n, mean = N / E. Every figure is 0 where N = 0, but for dead experts and the minimum. Axis: experts.
//
//   max_violation    max n / mean - 1                       Loss-Free Balancing: global or per batch
//   cv               sqrt(mean (n - mean)^2) / mean         ddof 0
//   entropy          -sum p ln p, p = n / N                 ln E at balance
//   gini             sum_ij |n_i - n_j| / (2 E N)           0 at balance, (E - 1) / E with one expert
//   dead             experts with n = 0
//   utilization(e)   n_e / mean                             1 at balance, 0 dead
//   percentile(q)    nearest rank: the ceil(q E)-th smallest n
//   overflow(c)      sum max(n_e - c, 0) / N                share of choices beyond capacity c
#pragma once

#include <moeroute/core/math.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct load_summary {
  std::int64_t total = 0, least = 0, most = 0;
  index_t experts = 0, dead = 0;
  double mean = 0, max_violation = 0, cv = 0, entropy = 0, gini = 0;

  double max_over_mean() const { return total > 0 ? max_violation + 1 : 0; }
  // Of the maximum, ln E; 1 for a single expert.
  double relative_entropy() const { return experts > 1 ? entropy / math::log(double(experts)) : (total > 0 ? 1 : 0); }
};

// Works on any counts that convert to std::int64_t; O(E^2), no memory. Integer sums: exact to the division.
template <class Count>
load_summary summarize_load(row_view<Count> counts) {
  load_summary s;
  s.experts = static_cast<index_t>(counts.size);
  if (s.experts == 0) return s;
  auto const n = [&](offset_t e) { return static_cast<std::int64_t>(counts[e]); };
  s.least = s.most = n(0);
  for (offset_t e = 0; e < counts.size; ++e) {
    s.total += n(e);
    s.least = n(e) < s.least ? n(e) : s.least, s.most = n(e) > s.most ? n(e) : s.most;
    s.dead += n(e) == 0;
  }
  if (s.total <= 0) return s;
  double const all = static_cast<double>(s.total), experts = s.experts;
  s.mean = all / experts;
  s.max_violation = static_cast<double>(s.most) * experts / all - 1;
  double squares = 0, pairs = 0;
  for (offset_t i = 0; i < counts.size; ++i) {
    double const x = static_cast<double>(n(i)), p = x / all;
    squares += math::mul(x - s.mean, x - s.mean);
    if (p > 0) s.entropy -= math::mul(p, math::log(p));
    for (offset_t j = 0; j < i; ++j) pairs += static_cast<double>(n(i) > n(j) ? n(i) - n(j) : n(j) - n(i));
  }
  s.cv = math::sqrt(squares / experts) / s.mean;
  s.gini = pairs / (experts * all);
  return s;
}
template <class Count>
double utilization(row_view<Count> counts, index_t e) {
  auto const mean = summarize_load(counts).mean;
  return mean > 0 ? static_cast<double>(counts[e]) / mean : 0;
}
// q in [0, 1]: 0 the minimum, 1 the maximum.
template <class Count>
std::int64_t load_percentile(row_view<Count> counts, double q) {
  if (counts.size == 0) return 0;
  double const rank = q * static_cast<double>(counts.size);
  auto place = static_cast<offset_t>(rank);
  if (static_cast<double>(place) < rank) ++place;
  place = place < 1 ? 1 : place > counts.size ? counts.size : place;
  for (offset_t i = 0; i < counts.size; ++i) {
    offset_t below = 0, equal = 0;
    for (offset_t j = 0; j < counts.size; ++j) below += counts[j] < counts[i], equal += counts[j] == counts[i];
    if (below < place && place <= below + equal) return static_cast<std::int64_t>(counts[i]);
  }
  return 0;
}
template <class Count>
double overflow_share(row_view<Count> counts, std::int64_t capacity) {
  std::int64_t total = 0, over = 0;
  for (offset_t e = 0; e < counts.size; ++e) {
    auto const n = static_cast<std::int64_t>(counts[e]);
    total += n, over += n > capacity ? n - capacity : 0;
  }
  return total > 0 ? static_cast<double>(over) / static_cast<double>(total) : 0;
}

}  // namespace moeroute::inline MOEROUTE_ABI
