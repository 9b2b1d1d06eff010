// Decides what all schemes see: the same tokens, the logits of one cosine gate on them, and how a selection
// bias is made on other tokens. Namespace: moeroute_examples.
#pragma once

#include <cmath>

#include <moeroute/balance/bias_update.hpp>
#include <moeroute/gate/cosine.hpp>
#include <moeroute/stats/counts.hpp>

#include "cli/preset.hpp"
#include "support/tokens.hpp"

namespace moeroute_examples {

struct world {
  token_batch tokens;             // held-out images and glosses
  tensor<float> logits;           // [T, E]
  tensor<float> training_logits;  // of other tokens, for what is learned
  tensor<float> centroids;        // [E, 49]
  moeroute::index_t k = 2;
  any_executor executor;

  std::int64_t size() const { return logits.extent(0); }
  moeroute::index_t experts() const { return as_index(logits.extent(1)); }
  moeroute::batch<> batch() const {
    return {.logits = logits.matrix(), .sequence = tokens.sequence, .modality = tokens.modality};
  }
};

namespace world_detail {

// Directions of the tokens, each to the nearest of E centroids, a few rounds of Lloyd from tokens spread over
// the batch. Few rounds on purpose: clusters stay uneven, as the loads of a young router are.
inline tensor<float> centroids_of(token_batch const& tokens, std::int64_t experts, int rounds) {
  auto const width = std::int64_t{patch_pixels};
  tensor<float> x = tokens.features, c({experts, width});
  moeroute::throw_if_bad(moeroute::rescale_rows(x.matrix(), 1.f));
  for (std::int64_t e = 0; e < experts; ++e)
    for (std::int64_t i = 0; i < width; ++i)
      c[e * width + i] = x[((2 * e + 1) * x.extent(0) / (2 * experts)) * width + i];
  for (int round = 0; round < rounds; ++round) {
    tensor<float> sum(c.shape);
    for (std::int64_t t = 0; t < x.extent(0); ++t) {
      std::int64_t best = 0;
      float top = -2;
      for (std::int64_t e = 0; e < experts; ++e) {
        float dot = 0;
        for (std::int64_t i = 0; i < width; ++i) dot += x[t * width + i] * c[e * width + i];
        if (dot > top) top = dot, best = e;
      }
      for (std::int64_t i = 0; i < width; ++i) sum[best * width + i] += x[t * width + i];
    }
    moeroute::throw_if_bad(moeroute::rescale_rows(sum.matrix(), 1.f));
    c = sum;
  }
  return c;
}

inline tensor<float> logits_of(any_executor const& x, tensor<float> const& hidden, tensor<float> const& centroids,
                               double scale) {
  auto const width = centroids.extent(1);
  tensor<float> same({width, width});
  for (std::int64_t i = 0; i < width; ++i) same[i * width + i] = 1;
  moeroute::cosine_gate<> const gate{
      .projection = same.matrix(), .expert = centroids.matrix(), .log_scale = std::log(scale)};
  tensor<float> out({hidden.extent(0), centroids.extent(0)});
  auto work = memory(gate.workspace_bytes(x, hidden.extent(0)));
  moeroute::throw_if_bad(gate(x, hidden.matrix(), out.matrix(), moeroute::workspace(work)));
  return out;
}

}  // namespace world_detail

// Route, count, move the bias: the auxiliary-loss-free rule on whole batches of training tokens, with a rate
// that falls. `run` routes a request with the scheme the bias is for.
template <class Run>
tensor<float> balanced_bias(world const& w, Run const& run, int steps = 60) {
  using namespace moeroute;
  preset_request q{.logits = w.training_logits,
                   .bias = tensor<float>({w.experts()}),
                   .modality = {},
                   .group = {},
                   .valid = {},
                   .k = w.k,
                   .executor = w.executor};
  for (int s = 0; s < steps; ++s) {
    auto const ids = run(q).ids;
    tensor<std::int64_t> counts({w.experts()});
    auto work = memory(count_choices_workspace_bytes(w.executor, ids.extent(0), w.experts()));
    count_choices(w.executor, ids.matrix(), {}, counts.row(), workspace(work));
    update_bias(w.executor, sign_update{.rate = 0.02 * (1 - static_cast<double>(s) / steps)}, counts.row(),
                q.bias.row());
  }
  return q.bias;
}

inline world make_world(corpus const& data, std::int64_t images, std::int64_t glosses, std::int64_t experts,
                        std::int64_t k, any_executor const& x) {
  using namespace world_detail;
  world w;
  w.k = as_index(k);
  w.executor = x;
  w.tokens = make_tokens(data.images_test, images, data.glosses_test, glosses);
  auto const training = make_tokens(data.images_start, images, data.glosses_train, glosses);
  constexpr double scale = 6;
  w.centroids = centroids_of(training, experts, 2);
  w.logits = world_detail::logits_of(x, w.tokens.features, w.centroids, scale);
  w.training_logits = world_detail::logits_of(x, training.features, w.centroids, scale);
  return w;
}

}  // namespace moeroute_examples
