// Decides how a trained model is judged: accuracy by question family, and how its routing is spread, always with
// deterministic top-k and without a mask, on held-out items. Namespace: moeroute_training.
#pragma once

#include <cmath>

#include <moeroute/grpo/diversity.hpp>
#include <nlohmann/json.hpp>

#include "training/routing.hpp"

namespace moeroute_training {

struct counters {                                    // of one layer
  std::vector<std::int64_t> by_family, by_modality;  // families x experts, 2 x experts
  double token_entropy = 0;                          // summed over tokens
  std::int64_t tokens = 0;
};
struct report {
  std::array<double, families> accuracy{};
  std::vector<counters> layers;
  int experts = 0;

  static double mean(double const* x, int n) {
    double s = 0;
    for (int i = 0; i < n; ++i) s += x[i] / n;
    return s;
  }
  double image() const { return mean(accuracy.data(), 4); }
  double text() const { return mean(accuracy.data() + 4, 2); }
  double overall() const { return mean(accuracy.data(), families); }
  template <class F>
  double over_layers(F&& f) const {
    double s = 0;
    for (auto const& l : layers) s += f(l);
    return layers.empty() ? 0 : s / static_cast<double>(layers.size());
  }
  matrix_view<std::int64_t const> table(std::vector<std::int64_t> const& t, int rows) const {
    return {t.data(), rows, experts};
  }
  double use_entropy() const {
    return over_layers([&](counters const& l) { return moeroute::use_entropy(table(l.by_family, families)); });
  }
  double gate_entropy() const {
    return over_layers(
        [](counters const& l) { return l.tokens > 0 ? l.token_entropy / static_cast<double>(l.tokens) : 0; });
  }
  double divergence() const {
    return over_layers([&](counters const& l) { return moeroute::mean_divergence(table(l.by_family, families)); });
  }
};

// `router` decides how experts are chosen; a dense model passes none.
template <class Real>
report evaluate(parameters<Real> const& p, std::vector<item> const& items, sources from, vocabulary const& words,
                library_router<Real>* router, distortion d = {}) {
  report r;
  r.experts = p.shape.experts;
  r.layers.resize(static_cast<std::size_t>(p.shape.layers));
  for (auto& l : r.layers)
    l.by_family.assign(static_cast<std::size_t>(families * r.experts), 0),
        l.by_modality.assign(static_cast<std::size_t>(2 * r.experts), 0);
  std::array<double, families> right{}, asked{};
  model<Real> const m(p);
  batch_tape<Real> tape;
  constexpr std::size_t at_once = 256;
  for (std::size_t first = 0; first < items.size(); first += at_once) {
    batch b;
    for (std::size_t i = first; i < std::min(items.size(), first + at_once); ++i) append(b, items[i], from, words, d);
    m.forward(b, router, tape);
    for (std::int64_t q = 0; q < b.size(); ++q) {
      Eigen::Index best;
      tape.option_logits.row(q).maxCoeff(&best);
      auto const& i = b.items[static_cast<std::size_t>(q)];
      right[static_cast<std::size_t>(i.family)] += best == i.right;
      asked[static_cast<std::size_t>(i.family)] += 1;
    }
    if (r.experts == 1) continue;
    std::vector<index_t> family;
    for (auto const s : b.sequence) family.push_back(b.items[static_cast<std::size_t>(s)].family);
    for (std::size_t l = 0; l < r.layers.size(); ++l) {
      auto& c = r.layers[l];
      auto const& t = tape.layers[l];
      matrix_view<index_t const> const ids = t.ids;
      throw_if_bad(moeroute::try_count_choices(moeroute::serial{}, ids, row_view<index_t const>(family), {},
                                               matrix_view<std::int64_t>{c.by_family.data(), families, r.experts}));
      throw_if_bad(moeroute::try_count_choices(moeroute::serial{}, ids, row_view<index_t const>(b.modality), {},
                                               matrix_view<std::int64_t>{c.by_modality.data(), 2, r.experts}));
      for (Eigen::Index i = 0; i < t.logits.rows(); ++i) {
        Eigen::ArrayXd z = t.logits.row(i).template cast<double>().array();
        z -= z.maxCoeff();
        double const total = z.exp().sum();
        c.token_entropy += std::log(total) - (z * z.exp()).sum() / total;
      }
      c.tokens += b.tokens();
    }
  }
  for (std::size_t f = 0; f < families; ++f) r.accuracy[f] = asked[f] > 0 ? right[f] / asked[f] : 0;
  return r;
}

inline nlohmann::json to_json(report const& r) {
  nlohmann::json j{{"accuracy", r.overall()},
                   {"image", r.image()},
                   {"text", r.text()},
                   {"use_entropy", r.use_entropy()},
                   {"gate_entropy", r.gate_entropy()},
                   {"divergence", r.divergence()}};
  for (int f = 0; f < families; ++f) j["family"][family_names[f]] = r.accuracy[static_cast<std::size_t>(f)];
  for (auto const& l : r.layers) {
    j["by_family"].push_back(l.by_family);
    j["by_modality"].push_back(l.by_modality);
  }
  return j;
}

}  // namespace moeroute_training
