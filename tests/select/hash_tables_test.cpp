// Decides whether the tables of hash routing are fair, balanced, clustered or dispersed as they say.
#include <moeroute/select/hash_tables.hpp>

#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include <algorithm>

using namespace moeroute;

TEST_CASE("S121 balanced hash: near-equal load on Zipf counts, deterministic") {
  std::vector<index_t> frequency(2000);
  for (std::size_t v = 0; v < frequency.size(); ++v) frequency[v] = static_cast<index_t>(100000 / (v + 10));
  auto const table = balanced_hash(frequency, 16);
  CHECK(table == balanced_hash(frequency, 16));
  std::vector<double> load(16), other(16);
  for (std::size_t v = 0; v < table.size(); ++v) load[static_cast<std::size_t>(table[v])] += frequency[v];
  double const mean = std::accumulate(load.begin(), load.end(), 0.) / 16;
  CHECK(*std::max_element(load.begin(), load.end()) <= 1.01 * mean);
  auto const random = random_hash(2000, 16);
  for (std::size_t v = 0; v < random.size(); ++v) other[static_cast<std::size_t>(random[v])] += frequency[v];
  CHECK(*std::max_element(other.begin(), other.end()) > 1.1 * mean);
}

TEST_CASE("hash tables: the order by frequency is that of a stable sort") {
  for (std::size_t const n : {0u, 1u, 2u, 3u, 7u, 64u, 1000u}) {
    std::vector<index_t> value(n);
    for (std::size_t i = 0; i < n; ++i) value[i] = static_cast<index_t>(i * 7919 % 13);
    std::vector<offset_t> wanted(n);
    std::iota(wanted.begin(), wanted.end(), offset_t{0});
    std::stable_sort(wanted.begin(), wanted.end(), [&](offset_t a, offset_t b) {
      return value[static_cast<std::size_t>(a)] > value[static_cast<std::size_t>(b)];
    });
    CHECK(detail::by_descending(value) == wanted);
  }
}

TEST_CASE("S121 random hash: uniform over the experts; multi-hash keeps its k functions in their slices") {
  auto const one = random_hash(16000, 16, 1, 7);
  double chi = 0;
  std::vector<int> count(16);
  for (index_t const e : one) ++count[static_cast<std::size_t>(e)];
  for (int const n : count) chi += (n - 1000.) * (n - 1000.) / 1000;
  CHECK(chi < 37.7);  // 15 degrees of freedom, 0.1 %
  CHECK(one != random_hash(16000, 16, 1, 8));
  auto const four = random_hash(500, 16, 4);
  for (std::size_t i = 0; i < four.size(); ++i) CHECK(four[i] / 4 == static_cast<index_t>(i % 4));
  CHECK_THROWS_AS(random_hash(5, 16, 3), error);
}

TEST_CASE("S121 clustered hash keeps clusters together, dispersed hash deals them out") {
  std::vector<float> embedding;
  for (int v = 0; v < 90; ++v) {
    embedding.push_back(static_cast<float>(v / 30) * 10);
    embedding.push_back(static_cast<float>(v % 30) * .01f);
  }
  auto const table = clustered_hash({embedding.data(), 90, 2}, 3);
  for (std::size_t v = 0; v < 90; ++v) CHECK(table[v] == table[v / 30 * 30]);
  CHECK((table[0] != table[30] && table[30] != table[60] && table[0] != table[60]));
  auto const apart = dispersed_hash(table, 3);
  for (std::ptrdiff_t c = 0; c < 3; ++c)
    for (index_t e = 0; e < 3; ++e) CHECK(std::count(apart.begin() + c * 30, apart.begin() + c * 30 + 30, e) == 10);
}

TEST_CASE("S121 bigram hash depends on the pair and on nothing else") {
  std::vector<index_t> const words{5, 6, 5, 6, 7, 6};
  auto const ids = bigram_hash(words, 64, 3);
  CHECK(ids[1] == ids[3]);
  CHECK(ids[1] != ids[2]);
  CHECK(ids[1] != ids[5]);
}
