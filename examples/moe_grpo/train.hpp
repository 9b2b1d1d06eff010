// Decides one MoE-GRPO step: several answers to every prompt, each along a route of its own, rewarded, compared inside the
// group; then the token loss and the gate loss along the recorded routes. Namespace: moeroute_training.
//
//   L = L_token + gate_weight L_gate, both clipped; with one update for each rollout every ratio is 1, the tape of
//   the rollout serves the update, and no second forward pass is needed. Later updates replay the recorded route.
#pragma once

#include <cmath>
#include <functional>
#include <numeric>
#include <optional>

#include "moe_grpo/methods.hpp"
#include "moe_grpo/whole_batch.hpp"
#include "training/evaluate.hpp"
#include "training/start.hpp"

namespace moeroute_training {

// What a run leaves behind, step by step.
struct curves {
  std::vector<double> reward, spread, clipped, kl, ratio_most;
};

// Closes, for each modality, the experts it uses least.
class guide {
 public:
  guide(model_shape s, float percent) : layers_(s.layers), experts_(s.experts), k_(s.k), percent_(percent) {}
  // Counts are those of deterministic top-k without a mask on `items`.
  masks update(parameters<float> const& p, std::vector<item> const& items, sources from, vocabulary const& words,
               moeroute::guidance_refresh refresh) {
    library_router<float> plain;
    plain.experts = experts_, plain.k = k_;
    auto const seen = evaluate(p, items, from, words, &plain);
    masks m(layers_, experts_);
    bool const first = moving_.empty();
    moving_.resize(static_cast<std::size_t>(layers_));
    std::vector<double> q(static_cast<std::size_t>(2 * experts_));
    std::vector<std::byte> space(4096);
    for (int l = 0; l < layers_; ++l) {
      auto& moving = moving_[static_cast<std::size_t>(l)];
      moving.resize(q.size());
      matrix_view<double> const counts{moving.data(), 2, experts_};
      throw_if_bad(moeroute::try_move_counts(moeroute::serial{}, refresh,
                                             seen.table(seen.layers[static_cast<std::size_t>(l)].by_modality, 2),
                                             counts, first));
      moeroute::guide(moeroute::serial{}, {.percent = percent_, .keep_open = k_}, counts,
                      matrix_view<double>{q.data(), 2, experts_}, m.layer(l), moeroute::workspace(space));
    }
    return m;
  }

 private:
  int layers_, experts_, k_;
  float percent_;
  std::vector<std::vector<double>> moving_;
};

class grpo_step {
 public:
  grpo_step(method const& m, std::uint64_t seed) : m_(m), seed_(seed) {}

  // One batch of prompts; `rollouts` answers to each. Moves p.
  void operator()(parameters<float>& p, std::vector<item> const& prompts, sources from, vocabulary const& words,
                  library_router<float>& router, adam<float>& move, schedule const& rate, part trained, int step,
                  curves& log) {
    batch b;
    for (auto const& q : prompts)
      for (int i = 0; i < m_.rollouts; ++i) append(b, q, from, words);
    model<float> const net(p);
    router.mode = m_.mode, router.step = static_cast<std::uint32_t>(step);
    router.d_log_prob.clear();
    net.forward(b, &router, tape_);
    answer(b, step, log);

    auto const rollouts = static_cast<offset_t>(b.size());
    std::vector<float> const token_old = token_log_prob(b);
    std::vector<float> const gate_old = gate_log_prob(router, b);
    for (int update = 0; update < m_.inner; ++update) {
      if (update > 0) {
        if (update == 1) {
          router.trace.clear();
          for (auto const& l : tape_.layers) router.trace.push_back(l.ids);
        }
        router.mode = route_mode::replay;
        net.forward(b, &router, tape_);
      }
      std::vector<float> const token_now = update == 0 ? token_old : token_log_prob(b);
      std::vector<float> const gate_now = update == 0 ? gate_old : gate_log_prob(router, b);
      moeroute::segments const answers(rollouts, 1), positions{row_view<offset_t const>(b.offset)};
      auto const d_token = slopes(token_now, token_old, 1, rollouts, answers, {}, m_.token_weight, nullptr);
      auto const over =
          m_.over == scope::answers ? row_view<std::uint8_t const>(b.is_answer) : row_view<std::uint8_t const>{};
      auto const layers = static_cast<offset_t>(tape_.layers.size());
      auto const d_gate = slopes(gate_now, gate_old, layers, b.tokens(), positions, over, m_.gate_weight,
                                 update + 1 == m_.inner ? &log : nullptr);
      router.d_log_prob.clear();
      if (m_.gate_weight != 0)
        for (offset_t l = 0; l < layers; ++l)
          router.d_log_prob.emplace_back(d_gate.begin() + l * b.tokens(), d_gate.begin() + (l + 1) * b.tokens());
      matrix<float> d = share_;  // d log p(y) = 1{y} - p
      for (Eigen::Index q = 0; q < d.rows(); ++q) {
        d.row(q) *= static_cast<float>(-d_token[static_cast<std::size_t>(q)]);
        d(q, said_[static_cast<std::size_t>(q)]) += static_cast<float>(d_token[static_cast<std::size_t>(q)]);
      }
      if (std::all_of(advantage_.begin(), advantage_.end(), [](float a) { return a == 0; })) break;  // nothing to learn
      if (!gradient_) gradient_.emplace(p.shape);
      gradient_->zero();
      net.backward(b, &router, tape_, d, *gradient_, trained);
      move.step(p, *gradient_, trained, rate, step);
    }
  }

 private:
  // Draws an answer for every rollout, rewards it and compares it with its group.
  void answer(batch const& b, int step, curves& log) {
    share_of_options();
    said_.clear();
    std::vector<float> reward;
    for (std::int64_t q = 0; q < b.size(); ++q) {
      generator g(seed_ * 1000003 + static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(q));
      double u = g.uniform();
      int y = 0;
      while (y + 1 < options && u >= static_cast<double>(share_(q, y))) u -= static_cast<double>(share_(q, y++));
      said_.push_back(y);
      reward.push_back(y == b.items[static_cast<std::size_t>(q)].label ? 1.f : 0.f);
    }
    auto const n = static_cast<std::size_t>(m_.rollouts);
    double mean = 0, spread = 0;
    for (std::size_t first = 0; first < reward.size(); first += n) {
      double const r = std::accumulate(reward.begin() + static_cast<std::ptrdiff_t>(first),
                                       reward.begin() + static_cast<std::ptrdiff_t>(first + n), 0.) /
                       static_cast<double>(n);
      mean += r, spread += std::sqrt(r * (1 - r));  // rewards are 0 or 1
      if (m_.shuffled) {
        generator g(seed_ * 1000003 + static_cast<std::uint64_t>(step), 0x5A0F + first);
        std::vector<float> group(reward.begin() + static_cast<std::ptrdiff_t>(first),
                                 reward.begin() + static_cast<std::ptrdiff_t>(first + n));
        g.shuffle(group);
        std::copy(group.begin(), group.end(), reward.begin() + static_cast<std::ptrdiff_t>(first));
      }
    }
    auto const groups = static_cast<double>(reward.size() / n);
    log.reward.push_back(mean / groups), log.spread.push_back(spread / groups);
    advantage_.resize(reward.size());
    moeroute::group_advantages(moeroute::serial{}, m_.advantage, row_view<float const>(reward),
                               moeroute::segments(static_cast<offset_t>(reward.size() / n), m_.rollouts),
                               row_view<float>(advantage_));
  }
  void share_of_options() {
    share_ = tape_.option_logits;
    for (Eigen::Index q = 0; q < share_.rows(); ++q) {
      share_.row(q) = (share_.row(q).array() - share_.row(q).maxCoeff()).exp().matrix();
      share_.row(q) /= share_.row(q).sum();
    }
  }
  std::vector<float> token_log_prob(batch const& b) {
    share_of_options();
    std::vector<float> out(static_cast<std::size_t>(b.size()));
    for (std::size_t q = 0; q < out.size(); ++q)
      out[q] = std::log(std::max(1e-30f, share_(static_cast<Eigen::Index>(q), said_[q])));
    return out;
  }
  std::vector<float> gate_log_prob(library_router<float>& router, batch const& b) {
    std::vector<float> out(tape_.layers.size() * static_cast<std::size_t>(b.tokens()));
    if (m_.gate_weight == 0) return out;
    for (std::size_t l = 0; l < tape_.layers.size(); ++l)
      router.log_prob(static_cast<int>(l), b, tape_.layers[l],
                      {out.data() + static_cast<offset_t>(l) * b.tokens(), b.tokens()});
    return out;
  }
  // weight * d loss / d log-probability, layers x positions.
  std::vector<double> slopes(std::vector<float> const& now, std::vector<float> const& old, offset_t layers,
                             offset_t positions, moeroute::segments rollouts, row_view<std::uint8_t const> included,
                             double weight, curves* log) {
    std::vector<double> d(now.size());
    std::vector<moeroute::objective_sums> each(advantage_.size()), total(1);
    moeroute::policy_objective(moeroute::serial{}, m_.surrogate,
                               moeroute::policy_batch<float>{.log_prob = {now.data(), layers, positions},
                                                             .old = {old.data(), layers, positions},
                                                             .reference = {},
                                                             .advantage = row_view<float const>(advantage_),
                                                             .rollouts = rollouts,
                                                             .included = included},
                               moeroute::policy_gradient<double>{{d.data(), layers, positions}, each, total});
    for (auto& x : d) x *= weight;
    if (log != nullptr) {
      auto const& t = total[0];
      log->clipped.push_back(t.clipped / t.terms), log->kl.push_back(t.kl / t.terms),
          log->ratio_most.push_back(t.ratio_most);
    }
    return d;
  }

  method m_;
  std::uint64_t seed_;
  batch_tape<float> tape_;
  matrix<float> share_;  // sequences x options
  std::vector<int> said_;
  std::vector<float> advantage_;
  std::optional<parameters<float>> gradient_;
};

// What a bench does to the start first: see bench::settling.
inline void settle(parameters<float>& p, bench const& where, sources from, vocabulary const& words,
                   std::uint64_t seed) {
  if (where.settling == 0) return;
  library_router<float> router;
  router.experts = p.shape.experts, router.k = p.shape.k;
  item_stream stream(start_items(from, {}), seed);
  train_supervised<float>(
      p, stream, from, words, &router,
      {.rate = {.rate = where.rate, .steps = where.settling, .gate_factor = where.gate_factor},
       .batch_size = 16,
       .trained = where.trained},
      [](int, batch const&) {}, [](int, double) {});
}

// Runs a method on p, which is the start when it comes and trained when it goes.
inline curves run_method(method const& m, bench const& where, parameters<float>& p, std::vector<item> const& items,
                         sources from, vocabulary const& words, std::uint64_t seed,
                         std::function<void()> const& after_step) {
  curves log;
  whole_batch_router<float> router;
  router.experts = p.shape.experts, router.k = p.shape.k, router.seed = seed, router.balance = m.balance;
  router.measure = {.of = m.measure};
  guide guidance(p.shape, m.percent);
  if (m.guided) router.mask = guidance.update(p, items, from, words, m.refresh);
  schedule const rate{.rate = where.rate, .steps = where.steps * m.longer, .gate_factor = where.gate_factor};
  item_stream stream(items, seed);
  if (m.by == teacher::labels) {
    router.mode = m.mode;
    train_supervised<float>(
        p, stream, from, words, &router, {.rate = rate, .batch_size = where.prompts, .trained = where.trained},
        [&](int step, batch const&) { router.step = static_cast<std::uint32_t>(step); },
        [&](int, double) { after_step(); });
  } else if (m.by == teacher::rewards) {
    grpo_step one(m, seed);
    adam<float> move(p);
    for (int step = 0; step < rate.steps; ++step) {
      std::vector<item> prompts;
      for (int i = 0; i < where.prompts; ++i) prompts.push_back(stream.next());
      if (m.guided && m.refresh.due(step)) router.mask = guidance.update(p, items, from, words, m.refresh);
      one(p, prompts, from, words, router, move, rate, where.trained, step, log);
      after_step();
    }
  }
  return log;
}

}  // namespace moeroute_training
