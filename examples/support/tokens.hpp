// Decides how the committed data become tokens: images and glosses as they are, and the 49 features of an
// image patch or a word (examples/data/README.md says plainly what they are). Namespace: moeroute_examples.
//
//   auto const data = load_corpus(default_data_folder());
//   auto const t = make_tokens(data.images_test, 100, data.glosses_test, 200);   // t.features: [T, 49]
#pragma once

#include <array>
#include <cmath>

#include "tensor.hpp"

namespace moeroute_examples {

inline constexpr int image_classes = 10, topics = 8, patches = 16, patch_pixels = 49;
inline constexpr char const* image_class_names[image_classes] = {"t-shirt", "trouser", "pullover", "dress", "coat",
                                                                 "sandal",  "shirt",   "sneaker",  "bag",   "boot"};
inline constexpr char const* topic_names[topics] = {"animal",   "artifact", "body",  "food",
                                                    "location", "person",   "plant", "state"};
inline constexpr int vision = 0, text_modality = 1;

struct image_set {
  std::vector<std::uint8_t> pixels;  // [size, 28, 28]
  std::vector<std::uint8_t> labels;  // [size]
  std::int64_t size() const { return std::ssize(labels); }
  std::uint8_t pixel(std::int64_t image, int y, int x) const {
    return pixels[static_cast<std::size_t>(image * 784 + y * 28 + x)];
  }
  // 7 x 7 pixels, row-major, roughly zero mean and unit variance; position 0 is the top left.
  std::array<float, patch_pixels> patch(std::int64_t image, int position) const {
    std::array<float, patch_pixels> out;
    for (int i = 0; i < patch_pixels; ++i) {
      int const y = position / 4 * 7 + i / 7, x = position % 4 * 7 + i % 7;
      out[static_cast<std::size_t>(i)] = (static_cast<float>(pixel(image, y, x)) / 255.f - 0.286f) / 0.353f;
    }
    return out;
  }
};

struct gloss {
  int topic = 0;
  std::vector<std::string> words;  // 6 to 16
};

struct corpus {
  image_set images_start, images_tune, images_test;
  std::vector<gloss> glosses_train, glosses_test;
};

inline std::filesystem::path default_data_folder() {
#if defined(MOEROUTE_SOURCE_DIR)
  return std::filesystem::path(MOEROUTE_SOURCE_DIR) / "examples" / "data";
#else
  return std::filesystem::path("examples") / "data";
#endif
}

namespace tokens_detail {

inline image_set load_images(std::filesystem::path const& folder, std::string const& name) {
  auto const file = folder / ("images_" + name + ".npy");
  array const pixels = read_npy(file), labels = read_npy(folder / ("labels_" + name + ".npy"));
  if (pixels.type != dtype::u1 || pixels.shape.size() != 3 || pixels.shape[1] != 28 || pixels.shape[2] != 28)
    throw input_error(file.string(), "shape", "u8 (any, 28, 28)", in_words(pixels.shape));
  if (labels.type != dtype::u1 || labels.shape != shape_t{pixels.shape[0]})
    throw input_error(file.string(), "labels", "u8 " + in_words(shape_t{pixels.shape[0]}), in_words(labels.shape));
  image_set out{pixels.values<std::uint8_t>(), labels.values<std::uint8_t>()};
  for (auto const l : out.labels)
    if (l >= image_classes) throw input_error(file.string(), "labels", "0 to 9", std::to_string(l));
  return out;
}

inline std::vector<gloss> load_glosses(std::filesystem::path const& file) {
  auto const bytes = read_bytes(file);
  std::string_view const all(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  std::vector<gloss> out;
  for (std::size_t at = 0, line = 1; at < all.size(); ++line) {
    auto const end = std::min(all.find('\n', at), all.size());
    auto const words = all.substr(at, end - at);
    at = end + 1;
    if (words.empty() || words[0] == '#') continue;
    auto const tab = words.find('\t');
    gloss g;
    while (g.topic < topics && words.substr(0, tab) != topic_names[g.topic]) ++g.topic;
    if (tab == std::string_view::npos || g.topic == topics)
      throw input_error(file.string(), "line " + std::to_string(line), "topic, tab, words", std::string(words));
    for (std::size_t first = tab + 1; first < words.size();) {
      auto const last = std::min(words.find(' ', first), words.size());
      if (last > first) g.words.emplace_back(words.substr(first, last - first));
      first = last + 1;
    }
    out.push_back(std::move(g));
  }
  return out;
}

}  // namespace tokens_detail

inline constexpr std::size_t held_out_glosses = 2000;

inline corpus load_corpus(std::filesystem::path const& folder) {
  corpus c;
  c.images_start = tokens_detail::load_images(folder, "start");
  c.images_tune = tokens_detail::load_images(folder, "tune");
  c.images_test = tokens_detail::load_images(folder, "test");
  auto all = tokens_detail::load_glosses(folder / "glosses.txt");
  auto const cut = all.begin() + static_cast<std::ptrdiff_t>(std::min(held_out_glosses, all.size()));
  c.glosses_test.assign(all.begin(), cut);
  c.glosses_train.assign(cut, all.end());
  return c;
}

// Signed hashed character 1- to 3-grams of "^word$" in 49 dimensions, unit length.
inline std::array<float, patch_pixels> word_features(std::string const& word) {
  std::array<int, patch_pixels> sums{};
  std::string const marked = "^" + word + "$";
  for (std::size_t n = 1; n <= 3; ++n)
    for (std::size_t i = 0; i + n <= marked.size(); ++i) {
      std::uint32_t h = 2166136261u;  // FNV-1a
      for (std::size_t j = i; j < i + n; ++j) h = (h ^ static_cast<unsigned char>(marked[j])) * 16777619u;
      h ^= h >> 15;
      sums[(h >> 1) % patch_pixels] += (h & 1u) != 0 ? 1 : -1;
    }
  int squares = 0;
  for (int const s : sums) squares += s * s;
  std::array<float, patch_pixels> out{};
  auto const length = std::sqrt(static_cast<float>(squares == 0 ? 1 : squares));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(sums[i]) / length;
  return out;
}

// One batch of tokens: images first, then glosses; a sequence is an image or a gloss.
struct token_batch {
  tensor<float> features;              // [T, 49]
  std::vector<std::int32_t> modality;  // vision 0, text 1
  std::vector<std::int32_t> sequence;  // from 0
  std::vector<std::int32_t> label;     // image class or topic
  std::vector<std::int32_t> position;  // patch position or index of the word
  std::vector<std::string> words;      // empty for patches
  std::int64_t size() const { return std::ssize(modality); }
};

inline token_batch make_tokens(image_set const& images, std::int64_t image_count, std::vector<gloss> const& glosses,
                               std::int64_t gloss_count) {
  token_batch out;
  std::int32_t sequence = 0;
  auto const push = [&](std::array<float, patch_pixels> const& f, int modality, int label, int position,
                        std::string const& word) {
    out.features.values.insert(out.features.values.end(), f.begin(), f.end());
    out.modality.push_back(modality), out.sequence.push_back(sequence), out.label.push_back(label);
    out.position.push_back(position), out.words.push_back(word);
  };
  for (std::int64_t i = 0; i < std::min(image_count, images.size()); ++i, ++sequence)
    for (int p = 0; p < patches; ++p)
      push(images.patch(i, p), vision, images.labels[static_cast<std::size_t>(i)], p, "");
  for (std::int64_t i = 0; i < std::min(gloss_count, std::int64_t(std::ssize(glosses))); ++i, ++sequence) {
    auto const& g = glosses[static_cast<std::size_t>(i)];
    for (std::size_t w = 0; w < g.words.size(); ++w)
      push(word_features(g.words[w]), text_modality, g.topic, static_cast<int>(w), g.words[w]);
  }
  out.features.shape = {out.size(), patch_pixels};
  return out;
}

}  // namespace moeroute_examples
