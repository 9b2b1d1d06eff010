// Decides how text for calibrating a quantized mixture is chosen and weighed: sequences that use the experts evenly, and
// second moments weighted by the router. Source: MoEQuant (S169). Host, double.
//
//   usage_deviation      sigma = mean over layers of the standard deviation (ddof 0) of the experts' shares
//   balanced_beam_search keeps the w branches of least  -(R_S + log P(v | S)) / (l + 1) + sigma(S) / tau,  R_S = log P(S);
//                        sigma of S without v, so that a branch is run once (the paper's Eq. 14 says top w: adopted: least)
//   weighted_gram        H = sum_i c_i x_i x_i^T, c the router's weight of row i; c = 1: the plain Hessian of GPTQ
#pragma once

#include <vector>

#include <moeroute/core/arithmetic.hpp>
#include <moeroute/core/status.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

// counts: layers x experts. A layer without choices counts as even.
inline double usage_deviation(matrix_view<std::int64_t const> counts) {
  double sum = 0;
  for (offset_t l = 0; l < counts.rows; ++l) {
    double all = 0, squares = 0;
    for (offset_t e = 0; e < counts.cols; ++e) all += static_cast<double>(counts[l][e]);
    double const even = 1 / static_cast<double>(counts.cols);
    for (offset_t e = 0; e < counts.cols && all > 0; ++e) {
      double const d = static_cast<double>(counts[l][e]) / all - even;
      squares += math::mul(d, d);
    }
    sum += math::sqrt(squares * even);
  }
  return counts.rows > 0 ? sum / static_cast<double>(counts.rows) : 0;
}

struct beam_branch {
  std::vector<index_t> sequence;
  double log_prob = 0;  // of the sequence
  double cost = 0;      // what it was kept for
};
struct balanced_beam {
  offset_t width = 4;   // w
  offset_t length = 1;  // symbols to add
  double tau = 1;       // more: less weight on even use
};

// `run(sequence, log_prob)` fills log P(v | sequence) for every symbol v and returns sigma(sequence). The branches kept,
// least cost first; ties: the earlier branch, then the lower symbol.
template <class Run>
status try_balanced_beam_search(balanced_beam const& how, offset_t symbols, std::vector<index_t> const& start,
                                Run&& run, std::vector<beam_branch>& out) {
  checks c;
  c.at_least("beam.width", how.width, 1).at_least("beam.length", how.length, 1).at_least("symbols", symbols, 1);
  if (!(how.tau > 0)) c.also({errc::bad_value, "beam.tau", "must be above", static_cast<std::int64_t>(how.tau), 0});
  if (!c.result().ok()) return c.result();
  out.assign(1, beam_branch{start, 0, 0});
  std::vector<double> log_prob(static_cast<std::size_t>(symbols));
  for (offset_t l = 0; l < how.length; ++l) {
    std::vector<beam_branch> next;
    for (beam_branch const& s : out) {
      double const sigma = run(s.sequence, row_view<double>{log_prob.data(), symbols});
      for (offset_t v = 0; v < symbols; ++v) {
        double const p = s.log_prob + log_prob[static_cast<std::size_t>(v)];
        double const cost = sigma / how.tau - p / static_cast<double>(l + 1);
        if (!(cost < infinity<double>)) continue;  // impossible, or NaN
        std::size_t at = next.size();
        while (at > 0 && next[at - 1].cost > cost) --at;
        if (at >= static_cast<std::size_t>(how.width)) continue;
        if (next.size() == static_cast<std::size_t>(how.width)) next.pop_back();
        beam_branch grown{s.sequence, p, cost};
        grown.sequence.push_back(static_cast<index_t>(v));
        next.insert(next.begin() + static_cast<std::ptrdiff_t>(at), static_cast<beam_branch&&>(grown));
      }
    }
    out = static_cast<std::vector<beam_branch>&&>(next);
  }
  return {};
}

// H (width x width) += sum_i c_i x_i x_i^T; without `weight` every c_i is 1.
template <element T>
status try_weighted_gram(matrix_view<T const> x, row_view<double const> weight, matrix_view<double> h) {
  checks c;
  c.empty_or("weight size", weight, x.rows).must_be("h rows", h.rows, x.cols).must_be("h columns", h.cols, x.cols);
  c.readable("x", x).strided("h", h);
  if (!c.result().ok()) return c.result();
  for (offset_t i = 0; i < x.rows; ++i)
    for (offset_t a = 0; a < x.cols; ++a) {
      double const s = (weight.empty() ? 1. : weight[i]) * static_cast<double>(load(x[i][a]));
      for (offset_t b = 0; b < x.cols; ++b) h[a][b] += math::mul(s, static_cast<double>(load(x[i][b])));
    }
  return {};
}

}  // namespace moeroute::inline MOEROUTE_ABI
