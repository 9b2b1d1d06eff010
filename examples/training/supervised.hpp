// Decides plain training: cross-entropy over the four options, batches in a seeded order. Namespace: moeroute_training.
#pragma once

#include <cmath>

#include "training/adam.hpp"
#include "training/model.hpp"

namespace moeroute_training {

// Items in a fresh order each time they have all been seen.
class item_stream {
 public:
  item_stream(std::vector<item> items, std::uint64_t seed)
      : items_(std::move(items)), g_(seed, 0x0DE4), next_(items_.size()) {}
  item const& next() {
    if (next_ >= items_.size()) g_.shuffle(items_), next_ = 0;
    return items_[next_++];
  }

 private:
  std::vector<item> items_;
  generator g_;
  std::size_t next_;
};

// Softmax over the options, and -log of the labelled one (mean over the batch) with its gradient.
template <class Real>
double cross_entropy(batch const& b, matrix<Real> const& option_logits, matrix<Real>& d) {
  d.resize(option_logits.rows(), options);
  double loss = 0;
  for (Eigen::Index q = 0; q < d.rows(); ++q) {
    auto const z = option_logits.row(q);
    Real const top = z.maxCoeff();
    d.row(q) = (z.array() - top).exp().matrix();
    d.row(q) /= d.row(q).sum();
    int const label = b.items[static_cast<std::size_t>(q)].label;
    loss -= std::log(static_cast<double>(d(q, label)) + 1e-30);
    d(q, label) -= Real(1);
  }
  d /= static_cast<Real>(d.rows());
  return loss / static_cast<double>(d.rows());
}

struct supervised_options {
  schedule rate;
  int batch_size = 64;
  part trained = part::everything;
};

// before_step(step, batch) may set up the router (draws, names); after_step(step, loss) may report.
template <class Real, class Before, class After>
void train_supervised(parameters<Real>& p, item_stream& items, sources from, vocabulary const& words,
                      layer_router<Real>* router, supervised_options const& o, Before&& before_step,
                      After&& after_step) {
  adam<Real> move(p);
  parameters<Real> g(p.shape);
  model<Real> const m(p);
  batch_tape<Real> tape;
  matrix<Real> d;
  for (int step = 0; step < o.rate.steps; ++step) {
    batch b;
    for (int i = 0; i < o.batch_size; ++i) append(b, items.next(), from, words);
    before_step(step, b);
    m.forward(b, router, tape);
    double const loss = cross_entropy(b, tape.option_logits, d);
    g.zero();
    m.backward(b, router, tape, d, g, o.trained);
    move.step(p, g, o.trained, o.rate, step);
    after_step(step, loss);
  }
}

}  // namespace moeroute_training
