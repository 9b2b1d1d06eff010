// Decides which token-choice schemes are compared: every preset at the world's k, and compositions of the
// policies that no preset shows.
#include <moeroute/select/above.hpp>
#include <moeroute/select/entropy_switch.hpp>
#include <moeroute/select/hash.hpp>
#include <moeroute/select/hash_tables.hpp>
#include <moeroute/select/null_experts.hpp>
#include <moeroute/select/ratio_threshold.hpp>
#include <moeroute/select/top_p.hpp>

#include "cli/preset_list.hpp"
#include "compare_schemes/contender.hpp"

namespace moeroute_examples {
namespace {

using namespace moeroute;

// Table lookup by the hash of a word, or of what a patch is: its position and its brightness in 32 steps.
preset_routes hash_routes(world const& w) {
  constexpr std::int64_t vocabulary = 4096;
  auto const table = random_hash(vocabulary, w.experts(), w.k, 1);
  std::vector<index_t> ids(static_cast<std::size_t>(w.size()));
  for (std::int64_t t = 0; t < w.size(); ++t) {
    auto const i = static_cast<std::size_t>(t);
    std::uint32_t h = 2166136261u;
    if (!w.tokens.words[i].empty()) {
      for (char const c : w.tokens.words[i]) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
    } else {
      float mean = 0;
      for (int p = 0; p < patch_pixels; ++p) mean += w.tokens.features[t * patch_pixels + p] / patch_pixels;
      h = static_cast<std::uint32_t>(w.tokens.position[i] * 32 + static_cast<int>((mean + 0.9f) * 11)) * 2654435761u >>
          7;
    }
    ids[i] = static_cast<index_t>(h % vocabulary);
  }
  router const r{.score = softmax{},
                 .select = hash_choice{.table = {table.data(), vocabulary, w.k}, .vocabulary_id = ids},
                 .weigh = renormalize{}};
  preset_routes out{tensor<index_t>({w.size(), w.k}), tensor<float>({w.size(), w.k}), describe(r).c_str()};
  auto work = memory(route_workspace_bytes(w.executor, r, w.size(), w.experts()));
  route(w.executor, r, w.batch(), routing_view<>{out.ids.matrix(), out.weights.matrix(), {}}, workspace(work));
  return out;
}

register_contenders const compositions{
    contender_of<[](world const& w) {
      return router{.score = softmax{}, .select = top_k{w.k}, .weigh = keep_scores{}};
    }>("softmax top-k", "P12"),
    contender_of<[](world const& w) {
      return router{.score = softmax{}, .select = top_p{.p = .5f, .max_experts = w.experts()}, .weigh = keep_scores{}};
    }>("top-p 0.5", "S013"),
    contender_of<[](world const& w) {
      return router{
          .score = softmax{},
          .select =
              entropy_switch<>{
                  .threshold = .9f,
                  .base = top_p{.p = .5f, .max_experts = w.experts(), .min_experts = 2, .boundary = crossing::drop}},
          .weigh = keep_scores{}};
    }>("entropy switch", "S061"),
    contender_of<[](world const& w) {
      return router{.score = softmax{}, .select = ratio_threshold{.mu = .5f, .k = w.k}, .weigh = renormalize{}};
    }>("ratio threshold 0.5", "S161"),
    contender_of<[](world const& w) {
      return router{
          .score = relu{}, .select = above{.threshold = 4, .max_experts = w.experts()}, .weigh = renormalize{}};
    }>("above 4 (ReLU)", "S096"),
    contender_of<[](world const& w) {
      return router{.score = softmax{},
                    .select = null_experts<>{.nulls = w.experts() / 4, .base = {2 * w.k}, .place = null_place::empty},
                    .weigh = renormalize{}};
    }>("null experts", "S065"),
    {"hash of the token", "S121", hash_routes},
};

bool const presets_registered = [] {
  for (auto const& p : preset_list()) {
    auto const run = p.run;
    bool const biased = p.takes_bias;
    all_contenders().push_back({p.name, p.id, [run, biased](world const& w) {
                                  preset_request q{.logits = w.logits,
                                                   .bias = {},
                                                   .modality = w.tokens.modality,
                                                   .group = {},
                                                   .valid = {},
                                                   .k = w.k,
                                                   .executor = w.executor};
                                  if (biased) q.bias = balanced_bias(w, run);
                                  return run(q);
                                }});
  }
  return true;
}();

}  // namespace
}  // namespace moeroute_examples
