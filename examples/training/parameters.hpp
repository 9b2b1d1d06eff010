// Decides what a model is made of: one flat array, and a named tensor for each part of it. Values, gradients and
// the optimizer's moments share the layout. Namespace: moeroute_training.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <string>
#include <vector>

#include "training/items.hpp"

namespace moeroute_training {

template <class Real>
using matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using id_matrix = matrix<moeroute::index_t>;

struct model_shape {
  int width = 32, heads = 4, hidden = 64, layers = 3;
  int experts = 8;  // 1: dense, no gate
  int k = 2;
  int vocabulary_size = vocabulary::size;
  bool operator==(model_shape const&) const = default;
};

enum class part : unsigned { body = 1, experts = 2, gates = 4, everything = 7 };
constexpr bool holds(part all, part one) { return (static_cast<unsigned>(all) & static_cast<unsigned>(one)) != 0; }

struct tensor_info {
  std::string name;
  Eigen::Index offset, rows, cols;
  part which;
  double deviation;  // of its first values; 0: ones
};

// Where each tensor lies.
class layout {
 public:
  int embedding, patches, positions, final_norm, answers;
  struct layer_ids {
    int norm1, qkv, out, norm2, gate;
    std::vector<int> w1, w2;
  };
  std::vector<layer_ids> layers;
  std::vector<tensor_info> tensors;
  Eigen::Index size = 0;

  explicit layout(model_shape const& s) {
    double const d = 1 / std::sqrt(static_cast<double>(s.width)), h = 1 / std::sqrt(static_cast<double>(s.hidden));
    embedding = add("embedding", s.vocabulary_size, s.width, part::body, .3);
    patches = add("patches", 49, s.width, part::body, 1. / 7);
    positions = add("positions", longest, s.width, part::body, .3);
    for (int l = 0; l < s.layers; ++l) {
      auto const n = "layer" + std::to_string(l) + ".";
      layer_ids a;
      a.norm1 = add(n + "norm1", 1, s.width, part::body, 0);
      a.qkv = add(n + "qkv", s.width, 3 * s.width, part::body, d);
      a.out = add(n + "out", s.width, s.width, part::body, d / 2);
      a.norm2 = add(n + "norm2", 1, s.width, part::body, 0);
      a.gate = s.experts > 1 ? add(n + "gate", s.width, s.experts, part::gates, .02) : -1;
      for (int e = 0; e < s.experts; ++e) {
        a.w1.push_back(add(n + "expert" + std::to_string(e) + ".w1", s.width, s.hidden, part::experts, d));
        a.w2.push_back(add(n + "expert" + std::to_string(e) + ".w2", s.hidden, s.width, part::experts, h / 2));
      }
      layers.push_back(a);
    }
    final_norm = add("final_norm", 1, s.width, part::body, 0);
    answers = add("answers", answer_words, s.width, part::body, .3);
  }

 private:
  int add(std::string name, Eigen::Index rows, Eigen::Index cols, part which, double deviation) {
    tensors.push_back({std::move(name), size, rows, cols, which, deviation});
    size += rows * cols;
    return static_cast<int>(tensors.size()) - 1;
  }
};

template <class Real>
struct parameters {
  model_shape shape;
  layout where;
  std::vector<Real, Eigen::aligned_allocator<Real>> values;

  explicit parameters(model_shape s) : shape(s), where(s), values(static_cast<std::size_t>(where.size)) {}

  Eigen::Map<matrix<Real>> operator[](int tensor) {
    auto const& t = where.tensors[static_cast<std::size_t>(tensor)];
    return {values.data() + t.offset, t.rows, t.cols};
  }
  Eigen::Map<matrix<Real> const> operator[](int tensor) const {
    auto const& t = where.tensors[static_cast<std::size_t>(tensor)];
    return {values.data() + t.offset, t.rows, t.cols};
  }
  void draw(std::uint64_t seed) {
    for (std::size_t i = 0; i < where.tensors.size(); ++i) {
      auto const& t = where.tensors[i];
      generator g(seed, i);
      for (auto& x : (*this)[static_cast<int>(i)].reshaped())
        x = t.deviation == 0 ? Real(1) : static_cast<Real>(t.deviation * g.normal());
    }
  }
  void zero() { std::fill(values.begin(), values.end(), Real(0)); }
};

// Experts of several dense models side by side, in the given order; the rest from the first. Fresh gates.
template <class Real>
parameters<Real> stacked(std::vector<parameters<Real>> const& dense, std::vector<int> const& order, int k,
                         std::uint64_t seed) {
  model_shape s = dense.front().shape;
  s.experts = static_cast<int>(order.size()), s.k = k;
  parameters<Real> out(s);
  out.draw(seed);
  auto const& from = dense.front();
  for (std::size_t i = 0, j = 0; i < out.where.tensors.size(); ++i) {
    if (out.where.tensors[i].which != part::body) continue;
    while (from.where.tensors[j].which != part::body) ++j;
    out[static_cast<int>(i)] = from[static_cast<int>(j++)];
  }
  for (std::size_t l = 0; l < out.where.layers.size(); ++l)
    for (std::size_t e = 0; e < order.size(); ++e) {
      auto const& d = dense[static_cast<std::size_t>(order[e])];
      out[out.where.layers[l].w1[e]] = d[d.where.layers[l].w1[0]];
      out[out.where.layers[l].w2[e]] = d[d.where.layers[l].w2[0]];
    }
  return out;
}

}  // namespace moeroute_training
