// Decides how the model's layers are routed by the library: top-k, a random draw, noise before the choice, or a recorded
// route; under a modality mask or not; and what the gate is trained on besides the task: a policy loss on the route's
// log-probability and a balance loss. Namespace: moeroute_training.
//
// Another method derives from library_router and overrides observe / add_to_gradient, or from layer_router.
#pragma once

#include <moeroute/grpo/guidance.hpp>
#include <moeroute/grpo/log_prob.hpp>
#include <moeroute/loss/switch_balance.hpp>
#include <moeroute/loss/observe.hpp>
#include <moeroute/prior/noise.hpp>
#include <moeroute/route_backward.hpp>
#include <moeroute/select/gumbel_top_k.hpp>
#include <moeroute/select/replay.hpp>

#include "training/model.hpp"

namespace moeroute_training {

using moeroute::index_t;
using moeroute::matrix_view;
using moeroute::offset_t;
using moeroute::row_view;

enum class route_mode { top_k, draw, noise, replay, transport, experts_choose };  // the last two: whole_batch.hpp

// The modality masks of all layers, 1 = open; all open until guided.
struct masks {
  int layers = 0, experts = 0;
  std::vector<std::uint8_t> open;  // layers x 2 x experts

  masks() = default;
  masks(int l, int e) : layers(l), experts(e), open(static_cast<std::size_t>(l * 2 * e), 1) {}
  matrix_view<std::uint8_t> layer(int l) { return {open.data() + l * 2 * experts, 2, experts}; }
  matrix_view<std::uint8_t const> layer(int l) const { return {open.data() + l * 2 * experts, 2, experts}; }
};

template <class Real>
class library_router : public layer_router<Real> {
 public:
  int experts = 8, k = 2;
  route_mode mode = route_mode::top_k;
  bool renormalized = true;  // weights divided by their sum (a network grown from a dense one)
  float noise = 1;           // deviation times experts, route_mode::noise (V-MoE)
  float temperature = 1;     // route_mode::draw
  std::uint64_t seed = 0;
  std::uint32_t step = 0;                // of the draws
  masks mask;                            // empty: everything open
  std::vector<offset_t> token_name;      // tokens; empty: the row number
  mutable std::vector<id_matrix> trace;  // layers; route_mode::replay
  double balance = 0;                    // alpha of a Switch balance loss
  moeroute::route_measure measure{};
  std::vector<std::vector<double>> d_log_prob;  // layers x tokens; empty: no policy loss on the gate
  double balance_loss = 0;                      // sum over layers, of the last backward

  void choose(int l, batch const& b, matrix<Real> const& logits, id_matrix& ids, matrix<Real>& weights) override {
    if (l == 0) balance_loss = 0;
    with_router(l, [&](auto const& r) {
      using R = std::remove_cvref_t<decltype(r)>;
      memory(moeroute::route_workspace_bytes<moeroute::serial, R, Real>({}, r, logits.rows(), experts));
      moeroute::route(moeroute::serial{}, r, input(b, logits), moeroute::routing_view<index_t, Real>{ids, weights, {}},
                      moeroute::workspace(space_));
    });
  }

  // Log-probability of the chosen routes under these logits.
  void log_prob(int l, batch const& b, layer_tape<Real> const& t, row_view<Real> out) {
    memory(moeroute::route_log_prob_workspace_bytes<moeroute::serial, Real>({}, measured(), experts, k));
    moeroute::route_log_prob(moeroute::serial{}, prior(l), measured(), input(b, t.logits), ids_of(t), out,
                             moeroute::workspace(space_));
  }

  void backward(int l, batch const& b, layer_tape<Real> const& t, matrix<Real> const& d_weights,
                matrix<Real>& d_logits) override {
    with_router(l, [&](auto const& r) {
      using R = std::remove_cvref_t<decltype(r)>;
      memory(moeroute::route_workspace_bytes<moeroute::serial, R, Real>({}, r, t.logits.rows(), experts));
      moeroute::route_backward(moeroute::serial{}, r, input(b, t.logits), ids_of(t), matrix_view<Real const>(d_weights),
                               matrix_view<Real>(d_logits), moeroute::workspace(space_));
    });
    if (!d_log_prob.empty()) {
      auto const& d = d_log_prob[static_cast<std::size_t>(l)];
      memory(moeroute::route_log_prob_workspace_bytes<moeroute::serial, Real>({}, measured(), experts, k));
      moeroute::route_log_prob_backward(moeroute::serial{}, prior(l), measured(), input(b, t.logits), ids_of(t),
                                        row_view<double const>(d), matrix_view<Real>(d_logits),
                                        moeroute::workspace(space_), true);
    }
    if (balance > 0) {
      moeroute::switch_balance const term{.alpha = balance};
      moeroute::router const r{.select = moeroute::top_k<index_t>{k}};
      std::vector<moeroute::wide_sum> sums(static_cast<std::size_t>(term.sums(experts)));
      memory(1 << 20);
      throw_if_bad(moeroute::try_observe(moeroute::serial{}, term, r, input(b, t.logits), ids_of(t),
                                         row_view<moeroute::wide_sum>(sums), moeroute::workspace(space_)));
      balance_loss += moeroute::loss_value(term, experts, row_view<moeroute::wide_sum const>(sums));
      throw_if_bad(moeroute::try_add_gradient(moeroute::serial{}, term, r, input(b, t.logits), ids_of(t),
                                              row_view<moeroute::wide_sum const>(sums), matrix_view<Real>(d_logits),
                                              moeroute::workspace(space_)));
    }
    add_to_gradient(l, b, t, d_logits);
  }
  // For methods with a loss of their own on the gate.
  virtual void add_to_gradient(int, batch const&, layer_tape<Real> const&, matrix<Real>&) {}

 protected:
  moeroute::batch<Real> input(batch const& b, matrix<Real> const& logits) const {
    moeroute::batch<Real> in;
    in.logits = logits;
    in.sequence = b.sequence, in.modality = b.modality;
    if (!token_name.empty()) in.token = token_name;
    return in;
  }
  static matrix_view<index_t const> ids_of(layer_tape<Real> const& t) { return t.ids; }
  moeroute::route_measure measured() const {
    auto m = measure;
    m.temperature = temperature;
    return m;
  }
  moeroute::modality_mask prior(int l) const {
    if (mask.layers > 0) return {mask.layer(l)};
    if (all_open_.experts != experts) all_open_ = masks(1, experts);
    return {all_open_.layer(0)};
  }
  void memory(offset_t bytes) {
    if (std::ssize(space_) < bytes) space_.resize(static_cast<std::size_t>(bytes));
  }

  moeroute::workspace space() { return moeroute::workspace(space_); }

  // Calls f with the router of a layer.
  template <class F>
  void with_router(int l, F&& f) const {
    moeroute::draws const random{.seed = seed, .step = step, .purpose = static_cast<std::uint32_t>(0x100 + l)};
    auto const weighed = [&](auto const& p, auto const& select) {
      if (renormalized) f(moeroute::router{.prior = p, .select = select, .weigh = moeroute::renormalize{.epsilon = 0}});
      else f(moeroute::router{.prior = p, .select = select});
    };
    moeroute::top_k<index_t> const best{k};
    switch (mode) {
      case route_mode::top_k:
        return weighed(prior(l), best);
      case route_mode::draw:
        return weighed(prior(l), moeroute::gumbel_top_k<index_t>{k, temperature, {random}});
      case route_mode::noise:
        return weighed(moeroute::both{moeroute::gaussian_noise<>{.deviation = noise, .source = {random}}, prior(l)},
                       best);
      case route_mode::transport:
      case route_mode::experts_choose:
      case route_mode::replay:
        return weighed(prior(l), moeroute::replay{best, matrix_view<index_t>(trace[static_cast<std::size_t>(l)])});
    }
  }

 private:
  mutable masks all_open_;
  std::vector<std::byte> space_;
};

}  // namespace moeroute_training
