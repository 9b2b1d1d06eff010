// Decides the price of routing weights far from those of similar samples that were answered right:
//   L = lambda sum_i sum_{j in N(i)} W_ij |r_i - r_j|^2,  W_ij = exp(-|x_i - x_j|^2 / (2 sigma^2)), rows of W sum to 1,
// N(i) the k nearest samples by task embedding x among those answered right, i itself left out; r_j is a
// constant. Source: RoMA (S034), k = 3. Host, double; ties to the lower index.
#pragma once

#include <moeroute/core/math.hpp>
#include <moeroute/core/view.hpp>

namespace moeroute::inline MOEROUTE_ABI {

struct manifold_alignment {
  double lambda = 1;
  double sigma = 1;
  index_t k = 3;  // at most 64

  // embedding: samples x width; right: samples, 1 = answered right; routes: samples x weights. d_routes is
  // added to if given.
  double operator()(matrix_view<double const> embedding, row_view<std::uint8_t const> right,
                    matrix_view<double const> routes, matrix_view<double> d_routes = {}) const {
    double loss = 0;
    for (offset_t i = 0; i < routes.rows; ++i) {
      offset_t near[64];
      double distance[64], total = 0;
      index_t const found = nearest(embedding, right, i, near, distance);
      for (index_t n = 0; n < found; ++n) total += weight(distance[n], distance[0]);
      for (index_t n = 0; n < found; ++n) {
        double const each = lambda * weight(distance[n], distance[0]) / total;
        for (offset_t c = 0; c < routes.cols; ++c) {
          double const d = routes[i][c] - routes[near[n]][c];
          loss += math::mul(each * d, d);
          if (!d_routes.empty()) d_routes[i][c] += math::mul(2 * each, d);
        }
      }
    }
    return loss;
  }

 private:
  // Relative to the nearest, so that far samples do not underflow to 0 / 0.
  double weight(double square, double least) const { return math::exp((least - square) / (2 * sigma * sigma)); }
  index_t nearest(matrix_view<double const> x, row_view<std::uint8_t const> right, offset_t i, offset_t* near,
                  double* distance) const {
    index_t const most = k < 64 ? k : 64;
    index_t found = 0;
    for (offset_t j = 0; j < x.rows; ++j) {
      if (j == i || right[j] == 0) continue;
      double square = 0;
      for (offset_t c = 0; c < x.cols; ++c) square += math::mul(x[i][c] - x[j][c], x[i][c] - x[j][c]);
      if (found == most && (most == 0 || !(square < distance[most - 1]))) continue;
      index_t at = found < most ? found++ : most - 1;
      for (; at > 0 && square < distance[at - 1]; --at) near[at] = near[at - 1], distance[at] = distance[at - 1];
      near[at] = j, distance[at] = square;
    }
    return found;
  }
};

}  // namespace moeroute::inline MOEROUTE_ABI
