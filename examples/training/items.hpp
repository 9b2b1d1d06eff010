// Decides what a model is asked: six question families about the committed images and glosses, each with four
// options and one right answer, written as a short sequence of tokens. Namespace: moeroute_training.
//
//   [family] [number] [separator] [16 patches | 6 to 16 words] [answer slot]        at most 20 positions
//
//   ident   which class is shown (against three of its half: tops or the rest)
//   quad    which quarter is brightest
//   count   bright patches less `number`: below -3, below 0, below 4, or more
//   shift   class + number, modulo 10
//   topic   which topic the gloss has
//   letter  which group the first letter of word `number` is in: a-c, d-l, m-r, s-z
#pragma once

#include <algorithm>
#include <cmath>
#include <map>

#include "support/tokens.hpp"

namespace moeroute_training {

using moeroute_examples::corpus;
using moeroute_examples::gloss;
using moeroute_examples::image_set;

inline constexpr int families = 6, options = 4, longest = 20, answer_words = 30;
inline constexpr char const* family_names[families] = {"ident", "quad", "count", "shift", "topic", "letter"};
inline constexpr bool about_image(int family) { return family < 4; }

// A small generator with a stream for every purpose; the same numbers everywhere.
class generator {
 public:
  explicit generator(std::uint64_t seed, std::uint64_t purpose = 0) : state_(seed * 0x9E3779B97F4A7C15u + purpose) {}
  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  int below(int n) { return static_cast<int>(uniform() * n); }
  double normal() {
    double const u = uniform() + 0x1p-54;
    return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * uniform());
  }
  template <class T>
  void shuffle(std::vector<T>& v) {
    for (int i = static_cast<int>(v.size()); i > 1; --i)
      std::swap(v[static_cast<std::size_t>(i - 1)], v[static_cast<std::size_t>(below(i))]);
  }

 private:
  std::uint64_t state_;
};

// Words by how common they are in the first 4000 training glosses; the rest share 200 buckets.
class vocabulary {
 public:
  static constexpr int reserved = 32, common = 1500, buckets = 200, size = reserved + common + buckets;
  static constexpr int family(int f) { return 1 + f; }
  static constexpr int separator = 9, answer_slot = 10;
  static constexpr int number(int n) { return 11 + n; }

  explicit vocabulary(std::vector<gloss> const& training) {
    std::map<std::string, int> seen;
    for (std::size_t i = 0; i < std::min<std::size_t>(4000, training.size()); ++i)
      for (auto const& w : training[i].words) ++seen[w];
    std::vector<std::pair<int, std::string>> order;
    for (auto const& [w, n] : seen) order.emplace_back(-n, w);
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < std::min<std::size_t>(common, order.size()); ++i)
      id_[order[i].second] = reserved + static_cast<int>(i);
  }
  int word(std::string const& w) const {
    if (auto const it = id_.find(w); it != id_.end()) return it->second;
    std::uint64_t h = 0;
    for (char const c : w) h = (h * 131 + static_cast<unsigned char>(c)) % 1000003;
    return reserved + common + static_cast<int>(h % buckets);
  }

 private:
  std::map<std::string, int> id_;
};

struct item {
  int family = 0, number = 0;
  std::int64_t source = 0;            // image or gloss
  std::array<int, options> option{};  // answer words
  int right = 0;                      // place of the right option
  int label = 0;                      // place of the option that training calls right
};

namespace detail {

inline double patch_mean(image_set const& images, std::int64_t i, int p) {
  double sum = 0;
  for (int y = 0; y < 7; ++y)
    for (int x = 0; x < 7; ++x) sum += images.pixel(i, p / 4 * 7 + y, p % 4 * 7 + x);
  return sum / (49 * 255.);
}
// The right word and three others, shuffled.
inline void set_options(item& q, int answer, std::vector<int> others, generator& g) {
  g.shuffle(others);
  others.resize(options - 1);
  others.push_back(answer);
  g.shuffle(others);
  for (int i = 0; i < options; ++i) {
    q.option[static_cast<std::size_t>(i)] = others[static_cast<std::size_t>(i)];
    if (others[static_cast<std::size_t>(i)] == answer) q.right = q.label = i;
  }
}
inline std::vector<int> words_from(int first, int count, int without) {
  std::vector<int> out;
  for (int i = first; i < first + count; ++i)
    if (i != without) out.push_back(i);
  return out;
}

}  // namespace detail

// Answer words: classes 0-9, quarters 10-13, bands 14-17, topics 18-25, letter groups 26-29.
inline item ask_image(image_set const& images, std::int64_t i, int family, generator& g) {
  item q{.family = family, .source = i};
  int const shown = images.labels[static_cast<std::size_t>(i)];
  if (family == 0) {
    std::vector<int> others;
    bool const top =
        std::array{true, false, true, true, true, false, true, false, false, false}[static_cast<std::size_t>(shown)];
    for (int const c : top ? std::vector{0, 2, 3, 4, 6} : std::vector{1, 5, 7, 8, 9})
      if (c != shown) others.push_back(c);
    detail::set_options(q, shown, others, g);
  } else if (family == 1) {
    std::array<double, 4> light{};
    for (int p = 0; p < 16; ++p)
      light[static_cast<std::size_t>(p / 8 * 2 + p % 4 / 2)] += detail::patch_mean(images, i, p);
    int const best = static_cast<int>(std::max_element(light.begin(), light.end()) - light.begin());
    detail::set_options(q, 10 + best, detail::words_from(10, 4, 10 + best), g);
  } else if (family == 2) {
    q.number = 3 + g.below(11);
    int bright = 0;
    for (int p = 0; p < 16; ++p) bright += detail::patch_mean(images, i, p) > .3;
    int const d = bright - q.number, band = d < -3 ? 0 : (d < 0 ? 1 : (d < 4 ? 2 : 3));
    detail::set_options(q, 14 + band, detail::words_from(14, 4, 14 + band), g);
  } else {
    q.number = 1 + g.below(3);
    int const answer = (shown + q.number) % 10;
    detail::set_options(q, answer, detail::words_from(0, 10, answer), g);
  }
  return q;
}
inline item ask_gloss(std::vector<gloss> const& glosses, std::int64_t i, int family, generator& g) {
  item q{.family = family, .source = i};
  auto const& text = glosses[static_cast<std::size_t>(i)];
  if (family == 4) {
    detail::set_options(q, 18 + text.topic, detail::words_from(18, 8, 18 + text.topic), g);
  } else {
    q.number = g.below(std::min<int>(6, static_cast<int>(text.words.size())));
    char const c = text.words[static_cast<std::size_t>(q.number)][0];
    int const group = c <= 'c' ? 0 : (c <= 'l' ? 1 : (c <= 'r' ? 2 : 3));
    detail::set_options(q, 26 + group, detail::words_from(26, 4, 26 + group), g);
  }
  return q;
}

// Four items an image (families 0 to 3), four a gloss (topic twice, letter twice).
struct sources {
  image_set const* images = nullptr;
  std::vector<gloss> const* glosses = nullptr;
};
inline std::vector<item> ask(sources from, std::vector<std::int64_t> const& images,
                             std::vector<std::int64_t> const& glosses, std::uint64_t seed) {
  generator g(seed, 0x17E5);
  std::vector<item> out;
  for (auto const i : images)
    for (int f = 0; f < 4; ++f) out.push_back(ask_image(*from.images, i, f, g));
  for (auto const i : glosses)
    for (int f : {4, 4, 5, 5}) out.push_back(ask_gloss(*from.glosses, i, f, g));
  return out;
}
// A share of the labels is drawn anew from the options, so some stay right.
inline void redraw_labels(std::vector<item>& items, double share, std::uint64_t seed) {
  generator g(seed, 0x1ABE1);
  for (auto& q : items)
    if (g.uniform() < share) q.label = g.below(options);
}

// ---- sequences --------------------------------------------------------------------------------------------------

// Sequences one after the other, without padding.
struct batch {
  std::vector<int> word;  // tokens: vocabulary id, or -1 - row of `patch`
  std::vector<std::array<float, 49>> patch;
  std::vector<int> place;                     // tokens: position in the sequence, the answer slot is the last of 20
  std::vector<moeroute::index_t> modality;    // tokens: 0 vision, 1 text
  std::vector<moeroute::index_t> sequence;    // tokens
  std::vector<std::uint8_t> is_answer;        // tokens
  std::vector<moeroute::offset_t> offset{0};  // sequences + 1
  std::vector<item> items;                    // sequences

  std::int64_t tokens() const { return std::ssize(word); }
  std::int64_t size() const { return std::ssize(items); }
};

struct distortion {
  double pixel_noise = 0;  // standard deviation on the normalized pixels
  std::uint64_t seed = 0;
};

inline void append(batch& b, item const& q, sources from, vocabulary const& v, distortion d = {}) {
  auto const push = [&](int word, int place, int modality, bool answer) {
    b.word.push_back(word), b.place.push_back(place), b.modality.push_back(modality);
    b.sequence.push_back(static_cast<moeroute::index_t>(b.items.size())), b.is_answer.push_back(answer);
  };
  push(vocabulary::family(q.family), 0, 1, false);
  push(vocabulary::number(q.number), 1, 1, false);
  push(vocabulary::separator, 2, 1, false);
  if (about_image(q.family)) {
    for (int p = 0; p < 16; ++p) {
      auto x = from.images->patch(q.source, p);
      if (d.pixel_noise > 0) {
        generator g(d.seed, static_cast<std::uint64_t>(q.source * 16 + p));
        for (auto& v49 : x) v49 += static_cast<float>(d.pixel_noise * g.normal());
      }
      b.patch.push_back(x);
      push(-static_cast<int>(b.patch.size()), 3 + p, 0, false);
    }
  } else {
    int place = 3;
    for (auto const& w : (*from.glosses)[static_cast<std::size_t>(q.source)].words) push(v.word(w), place++, 1, false);
  }
  push(vocabulary::answer_slot, longest - 1, 1, true);
  b.items.push_back(q);
  b.offset.push_back(b.tokens());
}

}  // namespace moeroute_training
