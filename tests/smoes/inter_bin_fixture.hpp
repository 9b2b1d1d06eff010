// Decides what the inter-bin tests share: a batch of samples, the call with its memory, and the definition of
// the term in plain loops.
#pragma once

#include <cmath>

#include "fixture.hpp"

namespace smoes_test {

// V: type of the probabilities. `logits` are kept so that gradients can be tried.
template <class V>
struct mi_data {
  index_t experts, bins, modalities;
  offset_t samples;
  table<V> logits, p, scores;  // scores: tokens x 1 (u) or x modalities
  table<index_t> sample, bin;

  mi_data(unsigned seed, offset_t samples_, offset_t each, index_t experts_, index_t bins_, index_t modalities_ = 2)
      : experts(experts_), bins(bins_), modalities(modalities_), samples(samples_) {
    numbers n(seed);
    logits = n.normals<V>(samples * each, experts);
    p = softmax_rows(logits);
    if (modalities == 2) scores = n.units<V>(samples * each, 1);
    else scores = softmax_rows(n.normals<V>(samples * each, modalities));
    sample = table<index_t>(1, samples * each), bin = table<index_t>(1, experts);
    for (offset_t t = 0; t < sample.cols; ++t) sample.at(0, t) = static_cast<index_t>(t / each);
    for (index_t e = 0; e < experts; ++e) bin.at(0, e) = e % bins;
    std::shuffle(bin.values.begin(), bin.values.end(), n.g);
  }
  offset_t tokens() const { return p.rows; }
  bin_batch<V> batch() const {
    return {.p = p.seen(),
            .modality = scores.seen(),
            .sample = sample.row(),
            .samples = samples,
            .bin_of_expert = bin.row()};
  }
};

template <class V>
struct mi_result {
  double loss = 0;
  table<double> value;
  table<std::uint8_t> kept;
  table<std::int64_t> totals;
  table<V> d_logits;
};
template <class X, class V>
mi_result<V> inter_bin_of(X const& x, inter_bin_term const& term, bin_batch<V> const& in) {
  mi_result<V> r{0, table<double>(1, in.samples), table<std::uint8_t>(1, in.samples), table<std::int64_t>(1, 3, 99),
                 table<V>(in.p.rows, in.p.cols, V(99))};
  r.loss = inter_bin(x, term, in, r.value.row(), r.kept.row(), r.totals.row(), r.d_logits.view(),
                     memory(inter_bin_workspace_bytes<V>(x, term, in.p.rows, static_cast<index_t>(in.p.cols),
                                                         in.modality.count(), in.samples)));
  return r;
}

// Bin distributions w_m of one sample, in double; false if a modality has less mass than `least`.
template <class V>
bool shares_of(mi_data<V> const& d, table<V> const& p, offset_t b, double least, table<double>& w) {
  w = table<double>(d.modalities, d.bins);
  std::vector<double> mass(static_cast<std::size_t>(d.modalities), 0);
  for (offset_t t = 0; t < d.tokens(); ++t) {
    if (d.sample.at(0, t) != b) continue;
    for (index_t m = 0; m < d.modalities; ++m) {
      double const M = d.scores.cols == 1 ? (m == 1 ? double(d.scores.at(t, 0)) : 1 - double(d.scores.at(t, 0)))
                                          : double(d.scores.at(t, m));
      mass[static_cast<std::size_t>(m)] += M;
      for (index_t e = 0; e < d.experts; ++e) w.at(m, d.bin.at(0, e)) += M * double(p.at(t, e));
    }
  }
  bool good = true;
  for (index_t m = 0; m < d.modalities; ++m) {
    good = good && mass[static_cast<std::size_t>(m)] >= least;
    for (index_t i = 0; i < d.bins; ++i) w.at(m, i) /= mass[static_cast<std::size_t>(m)];
  }
  return good;
}
// I_b as the paper writes it: joint and marginals.
inline double mutual_information(table<double> const& w) {
  double all = 0, sum = 0;
  for (double const x : w.values) all += x;
  for (offset_t m = 0; m < w.rows; ++m)
    for (offset_t i = 0; i < w.cols; ++i) {
      double of_m = 0, of_i = 0, joint = w.at(m, i) / all;
      for (offset_t o = 0; o < w.cols; ++o) of_m += w.at(m, o) / all;
      for (offset_t o = 0; o < w.rows; ++o) of_i += w.at(o, i) / all;
      if (joint > 0) sum += joint * std::log(joint / (of_m * of_i));
    }
  return sum;
}
inline double symmetric_kl(table<double> const& w) {
  double d = 0;
  for (offset_t i = 0; i < w.cols; ++i) d += (w.at(1, i) - w.at(0, i)) * std::log(w.at(1, i) / w.at(0, i));
  return d;
}
template <class V, class Loss>
double mean_loss(mi_data<V> const& d, table<V> const& p, Loss const& loss) {
  double sum = 0, kept = 0;
  table<double> w;
  for (offset_t b = 0; b < d.samples; ++b)
    if (shares_of(d, p, b, 1, w)) sum += loss(w), kept += 1;
  return kept > 0 ? sum / kept : 0;
}
// The largest error of `gradient` against central differences of f(logits), over the largest entry.
template <class F>
double gradient_error(table<double> logits, table<double> const& gradient, F const& f) {
  double worst = 0, scale = 0;
  for (std::size_t i = 0; i < logits.values.size(); ++i) {
    double const h = 1e-4, x = logits.values[i];
    logits.values[i] = x + h;
    double const up = f(logits);
    logits.values[i] = x - h;
    double const down = f(logits);
    logits.values[i] = x;
    worst = std::max(worst, std::fabs((up - down) / (2 * h) - gradient.values[i]));
    scale = std::max(scale, std::fabs(gradient.values[i]));
  }
  return scale > 0 ? worst / scale : worst;
}

}  // namespace smoes_test
