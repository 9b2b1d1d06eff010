// Decides where every method starts: a dense model trained on all families, copied once for each expert, the feed-forward
// parts of each copy trained on families of its own (0, 1, 2, 3, 4, 5, 0-3, 4-5), stacked in a seeded order under a fresh
// gate. So experts differ, and routing has something to find. Namespace: moeroute_training.
#pragma once

#include <fstream>

#include "support/progress.hpp"
#include "training/supervised.hpp"

namespace moeroute_training {

struct start_options {
  int dense_steps = 800, expert_steps = 400, batch_size = 64;
  double rate = 3e-3;
  int images = 2000, glosses = 2000;
  std::uint64_t seed = 1;
};

// What the start is trained on.
inline std::vector<item> start_items(sources from, start_options const& o) {
  std::vector<std::int64_t> images(static_cast<std::size_t>(o.images)), glosses(static_cast<std::size_t>(o.glosses));
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::int64_t>(i);
  for (std::size_t i = 0; i < glosses.size(); ++i) glosses[i] = static_cast<std::int64_t>(i);
  return ask(from, images, glosses, o.seed);
}

// The dense model first, then its eight descendants.
inline std::vector<parameters<float>> train_start(sources from, vocabulary const& words, model_shape shape,
                                                  start_options const& o, bool quiet = false) {
  shape.experts = 1, shape.k = 1;
  auto const all = start_items(from, o);
  moeroute_examples::progress bar("start", o.dense_steps + 8 * o.expert_steps, quiet);
  auto const train = [&](parameters<float>& p, std::vector<item> items, int steps, part trained, std::uint64_t seed) {
    item_stream stream(std::move(items), seed);
    train_supervised<float>(
        p, stream, from, words, nullptr,
        {.rate = {.rate = o.rate, .steps = steps}, .batch_size = o.batch_size, .trained = trained},
        [](int, batch const&) {}, [&](int, double) { bar.step(); });
  };
  std::vector<parameters<float>> out(9, parameters<float>(shape));
  out[0].draw(o.seed);
  train(out[0], all, o.dense_steps, part::everything, o.seed);
  std::vector<std::vector<int>> const own{{0}, {1}, {2}, {3}, {4}, {5}, {0, 1, 2, 3}, {4, 5}};
  for (std::size_t e = 0; e < own.size(); ++e) {
    out[e + 1] = out[0];
    std::vector<item> items;
    for (auto const& q : all)
      if (std::find(own[e].begin(), own[e].end(), q.family) != own[e].end()) items.push_back(q);
    train(out[e + 1], items, o.expert_steps, part::experts, o.seed + e + 1);
  }
  return out;
}

inline void save(std::vector<parameters<float>> const& p, std::filesystem::path const& file) {
  std::ofstream out(file, std::ios::binary);
  for (auto const& x : p)
    out.write(reinterpret_cast<char const*>(x.values.data()),
              static_cast<std::streamsize>(x.values.size() * sizeof(float)));
}
// Empty if there is no such file, or one of another size.
inline std::vector<parameters<float>> load(std::filesystem::path const& file, model_shape shape, std::size_t count) {
  shape.experts = 1, shape.k = 1;
  std::vector<parameters<float>> out(count, parameters<float>(shape));
  std::ifstream in(file, std::ios::binary);
  for (auto& x : out)
    in.read(reinterpret_cast<char*>(x.values.data()), static_cast<std::streamsize>(x.values.size() * sizeof(float)));
  if (!in || in.peek() != std::ifstream::traits_type::eof()) out.clear();
  return out;
}

}  // namespace moeroute_training
