// Decides how a method routes and regularizes one step of the small model, every number from the library: soft
// scores while the layers run, counts, bins, inter-bin term and balance on the way back, and, on held-out
// items, who would travel where. Namespace: moeroute_smoes.
#pragma once

#include <cmath>

#include "smoes/methods.hpp"
#include "training/routing.hpp"

namespace moeroute_smoes {

using moeroute::index_t;
using moeroute::matrix_view;
using moeroute::offset_t;
using moeroute::row_view;
using moeroute_training::batch;
using moeroute_training::batch_tape;
using moeroute_training::generator;
using moeroute_training::id_matrix;
using moeroute_training::layer_tape;
template <class Real>
using matrix = moeroute_training::matrix<Real>;

template <class T>
using table = std::vector<T>;

// Experts and modalities on devices, layer by layer.
struct placement {
  std::string name;
  int devices = 2;
  std::vector<table<index_t>> device, home_of;                 // layers: experts, modalities
  std::vector<std::array<moeroute::transfer_tally, 4>> tally;  // layers: vision, text, answer slot, all
  std::vector<table<std::int64_t>> load;                       // layers: devices
};

// Sums that give a mean and a correlation.
struct paired {
  double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
  void add(double a, double b) { n += 1, x += a, y += b, xx += a * a, yy += b * b, xy += a * b; }
  double correlation() const {
    double const vx = xx - x * x / n, vy = yy - y * y / n;
    return n > 0 && vx > 1e-12 && vy > 1e-12 ? (xy - x * y / n) / std::sqrt(vx * vy) : 0;
  }
};
struct layer_figures {
  double mixed_a = 0, mixed_b = 0, tokens = 0;  // of items that show an image
  paired a_label, b_label, a_b;
};

template <class Real>
class smoes_router : public moeroute_training::library_router<Real> {
  using base = moeroute_training::library_router<Real>;

 public:
  method const& how;
  bool training = false, measuring = false;
  std::uint64_t label_seed = 0;
  double term_loss = 0, balance_value = 0;  // of the last step, summed over layers
  std::vector<table<std::int64_t>> counts;  // layers: 2 x experts, while measuring
  std::vector<layer_figures> figures;       // layers, while measuring
  std::vector<placement> placements;        // while measuring

  smoes_router(method const& m, int layers, int experts_, int width) : how(m), layers_(layers) {
    this->experts = experts_, this->k = m.k;
    if (m.pools.experts() > 0) {
      this->mask = moeroute_training::masks(layers, experts_);
      for (int l = 0; l < layers; ++l) throw_if_bad(m.pools.fill(this->mask.layer(l)));
    }
    for (int l = 0; l < layers; ++l) state_.emplace_back(experts_, width);
    scores_.resize(at(layers + 1)), gaussian_.resize(at(layers));
    clear_measures();
  }
  void clear_measures() {
    counts.assign(at(layers_), table<std::int64_t>(at(2 * this->experts), 0));
    figures.assign(at(layers_), {});
    placements.clear();
  }
  row_view<index_t const> bins(int l) const { return state_[at(l)].bin; }

  void observe(int l, batch const& b, batch_tape<Real> const& t) override {
    if (l == 0) {
      label_ = b.modality;
      if (how.score == scored_by::random && training) {
        generator g(label_seed, this->step);
        for (auto& m : label_) m = g.below(2);
      }
      scores_[0].resize(b.tokens(), 1);
      moeroute::fill_hard_scores(row_view<index_t const>(label_), matrix_view<Real>(scores_[0]));
    }
    follow_attention(l, b, t);
    follow_gaussians(l, b, t.layers[at(l)].h);
    if (measuring) measure_scores(l, b);
  }

  void choose(int l, batch const& b, matrix<Real> const& logits, id_matrix& ids, matrix<Real>& weights) override {
    base::choose(l, b, logits, ids, weights);
    if (measuring) measure_choices(l, b, ids);
  }

  void add_to_gradient(int l, batch const& b, layer_tape<Real> const& t, matrix<Real>& d_logits) override {
    if (l + 1 == layers_) term_loss = balance_value = 0;
    auto& s = state_[at(l)];
    table<std::int64_t> count(at(2 * this->experts), 0);
    count_choices(b, t.ids, count);
    matrix_view<std::int64_t const> const seen(count.data(), 2, this->experts);
    moeroute::update_bins(moeroute::serial{}, how.binning, seen, {s.moving.data(), 2, this->experts}, s.preference,
                          s.order, s.bin);
    p_ = t.logits;
    for (Eigen::Index i = 0; i < p_.rows(); ++i) {
      p_.row(i) = (p_.row(i).array() - p_.row(i).maxCoeff()).exp().matrix();
      p_.row(i) /= p_.row(i).sum();
    }
    if (how.term.alpha > 0) add_term(l, b, d_logits);
    if (how.balance != moeroute::balance_form::off) add_balance(l, seen, d_logits);
  }

 private:
  struct layer_state {
    table<double> moving, preference;
    table<index_t> order, bin;
    table<double> mean, variance, inverse, log_sum;
    table<std::uint8_t> known;
    int width;
    layer_state(int experts, int w)
        : moving(at(2 * experts)),
          preference(at(experts)),
          order(at(experts)),
          bin(at(experts)),
          mean(at(2 * w)),
          variance(at(2 * w), 1),
          inverse(at(2 * w), 1),
          log_sum(2),
          known(2),
          width(w) {
      for (int e = 0; e < experts; ++e) bin[at(e)] = order[at(e)] = e;
    }
    moeroute::gaussian_view<double> view() {
      return {{mean.data(), 2, width}, {variance.data(), 2, width}, {inverse.data(), 2, width}, log_sum, known};
    }
  };
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

  moeroute::workspace memory(offset_t bytes) {
    if (std::ssize(work_) < bytes) work_.resize(at(bytes));
    return moeroute::workspace(work_);
  }
  // u^(l + 1) from u^(l), sequence by sequence.
  void follow_attention(int l, batch const& b, batch_tape<Real> const& t) {
    auto const& a = t.layers[at(l)];
    auto& next = scores_[at(l + 1)];
    next.resize(b.tokens(), 1);
    matrix_view<Real const> const stream(a.x), added(a.added), from(scores_[at(l)]);
    matrix_view<Real> const to(next);
    for (std::int64_t q = 0; q < b.size(); ++q) {
      offset_t const first = b.offset[at(q)], n = b.offset[at(q + 1)] - first;
      auto const heads = static_cast<index_t>((t.attention_at[at(q + 1)] - t.attention_at[at(q)]) / at(n * n));
      moeroute::attention_layer<Real> const in{.heads = heads,
                                               .attention = {a.attention.data() + t.attention_at[at(q)], heads * n, n},
                                               .stream = stream.middle_rows(first, n),
                                               .added = added.middle_rows(first, n)};
      moeroute::attention_score(moeroute::serial{}, in, from.middle_rows(first, n), to.middle_rows(first, n));
    }
  }
  // Scored with what was held before; moved by the batch when training.
  void follow_gaussians(int l, batch const& b, matrix<Real> const& h) {
    auto const view = state_[at(l)].view();
    auto const features = matrix_view<Real const>(h);
    gaussian_wide_.resize(b.tokens(), 1);
    moeroute::gaussian_score(moeroute::serial{}, {}, features, view, row_view<index_t const>(b.modality),
                             matrix_view<double>(gaussian_wide_), {},
                             memory(moeroute::gaussian_score_workspace_bytes(moeroute::serial{}, 2)));
    gaussian_[at(l)] = gaussian_wide_.template cast<Real>();
    if (!training) return;
    offset_t const columns = moeroute::moment_columns(h.cols());
    table<moeroute::wide_sum> moments(at(2 * columns));
    matrix_view<moeroute::wide_sum> const m(moments.data(), 2, columns);
    moeroute::gaussian_moments(
        moeroute::serial{}, moeroute::gauss_weight::hard, features, row_view<index_t const>(b.modality),
        moeroute::modality_scores<Real>{}, {}, m,
        memory(moeroute::gaussian_moments_workspace_bytes(moeroute::serial{}, b.tokens(), h.cols(), 2)));
    moeroute::update_gaussians(moeroute::serial{}, {.beta = how.binning.beta}, matrix_view<moeroute::wide_sum const>(m),
                               view);
  }
  matrix<Real> const& score_of(int l) const {
    if (how.score == scored_by::attention) return scores_[at(moeroute::score_layer(l, moeroute::score_lag::none))];
    if (how.score == scored_by::gaussian) return gaussian_[at(l)];
    return scores_[0];  // hard, random
  }

  void add_term(int l, batch const& b, matrix<Real>& d_logits) {
    bool const whole = how.term.bins == 0;  // SMAR: one sample, every expert a bin
    moeroute::bin_batch<Real> in{.p = p_,
                                 .modality = matrix_view<Real const>(score_of(l)),
                                 .sample = b.sequence,
                                 .samples = b.size(),
                                 .bin_of_expert = state_[at(l)].bin};
    if (whole) in.sample = {}, in.samples = 1, in.bin_of_expert = {};
    value_.resize(at(in.samples)), kept_.resize(at(in.samples));
    std::array<std::int64_t, 3> totals{};
    term_loss +=
        moeroute::inter_bin(moeroute::serial{}, how.term, in, row_view<double>(value_), row_view<std::uint8_t>(kept_),
                            row_view<std::int64_t>(totals), matrix_view<Real>(d_logits),
                            memory(moeroute::inter_bin_workspace_bytes<Real>(moeroute::serial{}, how.term, b.tokens(),
                                                                             this->experts, 2, in.samples)),
                            true);
  }
  void add_balance(int l, matrix_view<std::int64_t const> count, matrix<Real>& d_logits) {
    index_t const n = this->experts;
    moeroute::bin_balance const term{.alpha = how.balance_alpha, .form = how.balance, .bins = how.binning.bins};
    table<std::int64_t> both(at(n)), mass(at(n + 1));
    for (index_t e = 0; e < n; ++e) both[at(e)] = count[0][e] + count[1][e];
    table<Real> coefficient(at(n));
    matrix_view<Real const> const p(p_);
    moeroute::gate_mass(moeroute::serial{}, moeroute::gate_form::softmax, p, {}, row_view<std::int64_t>(mass),
                        memory(moeroute::gate_mass_workspace_bytes(moeroute::serial{}, p_.rows(), n)));
    balance_value += moeroute::bin_balance_loss(
        moeroute::serial{}, term, row_view<std::int64_t const>(both), row_view<std::int64_t const>(mass),
        row_view<index_t const>(state_[at(l)].bin), row_view<Real>(coefficient));
    moeroute::bin_balance_backward(moeroute::serial{}, term, p, {}, row_view<Real const>(coefficient),
                                   matrix_view<Real>(d_logits), {}, true);
  }
  void count_choices(batch const& b, id_matrix const& ids, table<std::int64_t>& to) {
    moeroute::choice_counts(
        moeroute::serial{}, moeroute::count_weight::hard, matrix_view<index_t const>(ids),
        row_view<index_t const>(label_), moeroute::modality_scores<Real>{}, {},
        matrix_view<std::int64_t>(to.data(), 2, this->experts),
        memory(moeroute::choice_counts_workspace_bytes(moeroute::serial{}, b.tokens(), 2, this->experts)));
  }

  void measure_scores(int l, batch const& b) {
    auto& f = figures[at(l)];
    moeroute::modality_scores<Real> const a{matrix_view<Real const>(scores_[at(l + 1)])},
        g{matrix_view<Real const>(gaussian_[at(l)])};
    for (offset_t t = 0; t < b.tokens(); ++t) {
      if (!moeroute_training::about_image(b.items[at(b.sequence[at(t)])].family)) continue;
      double const x = static_cast<double>(a(t, 1)), y = static_cast<double>(g(t, 1)), label = b.modality[at(t)];
      f.mixed_a += moeroute::mixing(a, t), f.mixed_b += moeroute::mixing(g, t), f.tokens += 1;
      f.a_label.add(x, label), f.b_label.add(y, label), f.a_b.add(x, y);
    }
  }
  void measure_choices(int l, batch const& b, id_matrix const& ids) {
    count_choices(b, ids, counts[at(l)]);
    matrix_view<index_t const> const chosen(ids);
    table<index_t> home(at(b.tokens())), kind = b.modality;
    for (offset_t t = 0; t < b.tokens(); ++t)
      if (b.is_answer[at(t)] != 0) kind[at(t)] = 2;
    for (auto& p : placements) {
      moeroute::homes_of_tokens(row_view<index_t const>(b.modality), row_view<index_t const>(p.home_of[at(l)]),
                                row_view<index_t>(home));
      row_view<index_t const> const device(p.device[at(l)]), at_home(home), kinds(kind);
      for (index_t m = 0; m < 3; ++m) {
        auto const r = moeroute::transfers(chosen, device, at_home, row_view<std::int64_t>(p.load[at(l)]), kinds, m);
        p.tally[at(l)][at(m)] += r, p.tally[at(l)][3] += r;
      }
    }
  }

  int layers_;
  std::vector<layer_state> state_;
  std::vector<matrix<Real>> scores_, gaussian_;
  matrix<double> gaussian_wide_;
  matrix<Real> p_;
  table<index_t> label_;
  table<double> value_;
  table<std::uint8_t> kept_;
  std::vector<std::byte> work_;
};

}  // namespace moeroute_smoes
