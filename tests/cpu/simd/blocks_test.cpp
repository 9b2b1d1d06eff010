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
        std::size_t const rows = first % 3 == 0 ? 16 : 1 + first % 16;
        float const* row[16] = {};  // no row is read that is not there
        for (std::size_t q = 0; q < rows; ++q) row[q] = all[first + q].data();
        alignas(64) float bound[16], top[16];
        simd::bounds_of(row, static_cast<int>(rows), size, k, bound, top);
        for (std::size_t q = 0; q < rows; ++q) {
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

namespace {
// A body's outputs: rows `gap` apart, and what was there before.
struct outputs {
  static constexpr index_t no_id = 123456789, gap = 3;
  std::vector<index_t> ids;
  std::vector<float> weights, scores;
  offset_t rows, k, experts;
  outputs(offset_t r, offset_t places, offset_t width)
      : ids(size(r, places), no_id),
        weights(size(r, places), -7.f),
        scores(size(r, width), -7.f),
        rows(r),
        k(places),
        experts(width) {}
  static std::size_t size(offset_t r, offset_t n) { return static_cast<std::size_t>(r * (n + gap)); }
  routing_view<> view(bool with_scores) {
    routing_view<> v{{ids.data(), rows, k, k + gap}, {weights.data(), rows, k, k + gap}};
    if (with_scores) v.scores = {scores.data(), rows, experts, experts + gap};
    return v;
  }
};

// Blocks of 1 to 16 rows: these have the bits of the plain path, and nothing else is read or written.
template <class R>
void same_as_plain(R const& r, std::vector<float> const& all, index_t experts, bool with_scores) {
  auto const width = static_cast<std::size_t>(experts);
  offset_t const k = r.select.experts_per_token(), count = static_cast<offset_t>(all.size() / width);
  for (offset_t rows = 1; rows <= 16; ++rows)
    for (offset_t first = 0; first + rows <= count; first += rows + 7) {
      // The block is all there is, or rows are behind it: whatever follows, and often rows with too few experts.
      for (offset_t behind : {offset_t{0}, first + rows + 2 <= count ? offset_t{2} : offset_t{0}}) {
        CAPTURE(rows);
        CAPTURE(first);
        auto const begin = all.begin() + first * experts;
        std::vector<float> const z(begin, begin + (rows + behind) * experts);
        batch<> const in{.logits = {z.data(), rows + behind, experts}};
        outputs fast(rows + behind, k, experts), slow(rows + behind, k, experts);
        std::vector<std::byte> space(static_cast<std::size_t>(route_workspace_bytes(serial{}, r, rows, experts)),
                                     std::byte{0xff});
        scratch const s = aligned_scratch(workspace(space));
        simd::route_block(route_row<R, float, float, index_t, float>{r, in, fast.view(with_scores)}, 0,
                          static_cast<int>(rows), s);
        route_row<R, float, float, index_t, float> const plain{r, in, slow.view(with_scores)};
        for (offset_t t = 0; t < rows; ++t) plain(serial_group{}, t, s);
        CHECK(fast.ids == slow.ids);
        CHECK(run::same_bits(fast.weights, slow.weights));
        CHECK(run::same_bits(fast.scores, slow.scores));
      }
    }
}
}  // namespace

TEST_CASE("blocks: of 1 to 16 rows, odd ones among them and behind them") {
  for (index_t experts : {60, 128}) {
    std::vector<float> z;
    for (auto const& row : rows_of(static_cast<std::size_t>(experts))) z.insert(z.end(), row.begin(), row.end());
    auto const bias = inputs::normal(static_cast<std::size_t>(experts), 4, .1f);
    correction_bias const biased{row_view<float const>(bias)};
    for (bool with_scores : {false, true}) {
      same_as_plain(router{.select = top_k{8}}, z, experts, with_scores);
      same_as_plain(router{.select = top_k{3}, .weigh = renormalize{}}, z, experts, with_scores);
      same_as_plain(router{.bias = biased, .select = top_k{8}, .weigh = p_norm{}}, z, experts, with_scores);
      same_as_plain(router{.score = sqrt_softplus{}, .bias = biased, .select = top_k{2}}, z, experts, with_scores);
      same_as_plain(router{.select = gumbel_top_k{.k = 8}}, z, experts, with_scores);
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
