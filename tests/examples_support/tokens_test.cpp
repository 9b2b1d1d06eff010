// Decides whether the committed data are complete and become the tokens that examples/data/README.md says.
#include <doctest/doctest.h>

#include <set>

#include "../../examples/support/tokens.hpp"

using namespace moeroute_examples;

namespace {
corpus const& data() {
  static corpus const c = load_corpus(default_data_folder());
  return c;
}
}  // namespace

TEST_CASE("tokens: the splits have the sizes the README states, and every class occurs") {
  CHECK(data().images_start.size() == 2000);
  CHECK(data().images_tune.size() == 1000);
  CHECK(data().images_test.size() == 1000);
  CHECK(data().glosses_test.size() == 2000);
  CHECK(data().glosses_train.size() == 9752);
  for (auto const* set : {&data().images_start, &data().images_tune, &data().images_test})
    CHECK(std::set<int>(set->labels.begin(), set->labels.end()).size() == image_classes);
  std::array<int, topics> counts{};
  for (auto const& g : data().glosses_test) {
    ++counts[static_cast<std::size_t>(g.topic)];
    CHECK(g.words.size() >= 6);
    CHECK(g.words.size() <= 16);
  }
  for (int const n : counts) CHECK(n == 250);
}

TEST_CASE("tokens: no held-out gloss is trained on") {
  std::set<std::vector<std::string>> train;
  for (auto const& g : data().glosses_train) train.insert(g.words);
  int shared = 0;
  for (auto const& g : data().glosses_test) shared += train.contains(g.words) ? 1 : 0;
  CHECK(shared == 0);
}

TEST_CASE("tokens: a patch is its 7 x 7 pixels, a word has unit length") {
  auto const& images = data().images_test;
  auto const p = images.patch(3, 6);  // second row, third column
  CHECK(p[0] == doctest::Approx((images.pixel(3, 7, 14) / 255. - 0.286) / 0.353));
  CHECK(p[48] == doctest::Approx((images.pixel(3, 13, 20) / 255. - 0.286) / 0.353));
  auto const norm = [](std::string const& w) {
    double s = 0;
    for (float const x : word_features(w)) s += static_cast<double>(x) * static_cast<double>(x);
    return s;
  };
  for (auto const* w : {"a", "tree", "abstraction"}) CHECK(norm(w) == doctest::Approx(1));
  CHECK(word_features("tree") == word_features("tree"));
  CHECK(word_features("tree") != word_features("three"));
}

TEST_CASE("tokens: a batch lists images first, then glosses, with their labels") {
  auto const t = make_tokens(data().images_test, 3, data().glosses_test, 2);
  auto const words = std::ssize(data().glosses_test[0].words) + std::ssize(data().glosses_test[1].words);
  CHECK(t.size() == 48 + words);
  CHECK(t.features.shape == shape_t{t.size(), 49});
  CHECK(t.modality[47] == vision);
  CHECK(t.modality[48] == text_modality);
  CHECK(t.sequence[47] == 2);
  CHECK(t.sequence[48] == 3);
  CHECK(t.position[17] == 1);
  CHECK(t.words[48] == data().glosses_test[0].words[0]);
}
