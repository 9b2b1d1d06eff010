#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include <moeroute/moeroute.hpp>

#include "support/inputs.hpp"
#include "support/run.hpp"

using namespace moeroute;

#if defined(MOEROUTE_SIMD)
namespace {
std::vector<std::vector<float>> rows_of(std::size_t experts) {
  auto all = inputs::adversarial(experts);
  for (unsigned seed = 0; seed < 30; ++seed) all.push_back(inputs::normal(experts, seed));
  for (auto const& row : inputs::adversarial(experts)) {  // full of ties, and of ties beside larger numbers
    auto tied = row;
    for (std::size_t e = 0; e < experts; ++e) tied[e] = e % 7 == 0 ? row[e] : .25f;
    all.push_back(tied);
  }
  return all;
}
std::vector<float> numbers(std::vector<float> row) {
  std::erase_if(row, [](float x) { return is_nan(x); });
  std::sort(row.begin(), row.end(), std::greater<>());
  return row;
}
}  // namespace

TEST_CASE("blocks: at least k keys of each row reach its bound, and the largest is the row's") {
  for (int size : {64, 128, 512}) {
    auto const all = rows_of(static_cast<std::size_t>(size));
    for (std::size_t first = 0; first + 16 <= all.size(); first += 5)
      for (int k : {1, 6, 8, 10, 16}) {
        float const* row[16];
        for (std::size_t q = 0; q < 16; ++q) row[q] = all[first + q].data();
        alignas(64) float bound[16], top[16];
        simd::bounds_of(row, size, k, bound, top);
        for (std::size_t q = 0; q < 16; ++q) {
          auto const sorted = numbers(all[first + q]);
          auto const reach = std::count_if(sorted.begin(), sorted.end(), [&](float x) { return x >= bound[q]; });
          if (bound[q] > simd::lowest) CHECK(reach >= k);
          if (!sorted.empty()) CHECK(top[q] == sorted[0]);
        }
      }
  }
}

TEST_CASE("blocks: of a row with many keys at the bound, candidates that hold the k best by (key, lower id)") {
  for (int size : {64, 128, 256}) {
    std::vector<std::int32_t> list(static_cast<std::size_t>(size));
    for (auto const& row : rows_of(static_cast<std::size_t>(size)))
      for (int k : {1, 3, 8, 16}) {
        auto const sorted = numbers(row);
        if (sorted.size() < static_cast<std::size_t>(k) || !(sorted[static_cast<std::size_t>(k - 1)] > simd::lowest))
          continue;
        float const bound = sorted[static_cast<std::size_t>(k - 1)];  // the tightest there is
        auto const found = simd::first_of_many(row.data(), size, bound, k, list.data());
        float key[16];
        std::int32_t id[16];
        simd::store(key, found.key);
        simd::store(id, found.id);
        CHECK(found.count >= k);
        CHECK(found.count <= 16);
        std::vector<int> order(static_cast<std::size_t>(size));
        std::iota(order.begin(), order.end(), 0);
        std::erase_if(order, [&](int e) { return is_nan(row[static_cast<std::size_t>(e)]); });
        std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
          return row[static_cast<std::size_t>(a)] > row[static_cast<std::size_t>(b)];
        });
        std::set<int> const have(id, id + found.count);
        for (int j = 0; j < k; ++j) CHECK(have.count(order[static_cast<std::size_t>(j)]) == 1);
        for (int j = 0; j < found.count; ++j) CHECK(key[j] == row[static_cast<std::size_t>(id[j])]);
      }
  }
}

TEST_CASE("blocks: scores ranked with a bias, weights of every kind, rows that are left to the plain path") {
  for (index_t experts : {64, 100, 256}) {
    std::vector<float> z;
    for (auto const& row : rows_of(static_cast<std::size_t>(experts))) z.insert(z.end(), row.begin(), row.end());
    auto const bias = inputs::normal(static_cast<std::size_t>(experts), 4, .1f);
    correction_bias const biased{row_view<float const>(bias)};
    auto const same = [&](auto const& r) {
      auto const fast = run::route(serial{}, r, z, experts), slow = run::route(row_by_row{serial{}}, r, z, experts);
      CHECK(fast.ids == slow.ids);
      CHECK(run::same_bits(fast.weights, slow.weights));
      CHECK(run::same_bits(fast.scores, slow.scores));
    };
    for (index_t k : {1, 8, 16}) {
      same(router{.bias = biased, .select = top_k{k}});
      same(router{.score = sqrt_softplus{}, .bias = biased, .select = top_k{k}, .weigh = renormalize{}});
      same(router{.select = top_k{k}, .weigh = p_norm{}});
      same(router{.select = top_k{k}, .weigh = softmax_over_chosen{}});
      same(router{.select = gumbel_top_k{.k = k}});
    }
  }
}
#endif
