#include <doctest/doctest.h>

#include <string>

#include <moeroute/moeroute.hpp>

#include "support/inputs.hpp"
#include "support/run.hpp"

using namespace moeroute;

namespace {

// A user's own policies: a score for any V, and one that knows only float (which keeps to the plain path).
struct cubed {
  static constexpr bool strictly_increasing = true;
  template <class V>
  V operator()(V x) const {
    return math::mul(math::mul(x, x), x);
  }
};
struct halved_float {
  float operator()(float x) const { return x / 2; }
  double operator()(double x) const { return x / 2; }
};

template <class R>
void same(R const& r, std::vector<float> const& logits, index_t experts) {
  std::string const formula = describe(r).c_str();
  CAPTURE(formula);
  CAPTURE(experts);
  auto const fast = run::route(serial{}, r, logits, experts),
             slow = run::route(row_by_row{serial{}}, r, logits, experts);
  CHECK(fast.ids == slow.ids);
  CHECK(run::same_bits(fast.weights, slow.weights));
  CHECK(run::same_bits(fast.scores, slow.scores));
}

std::vector<float> rows_for(index_t experts) {
  std::vector<float> z;
  for (int i = 0; i < 2; ++i)  // each bad row at two places in its block of rows
    for (auto const& row : inputs::adversarial(static_cast<std::size_t>(experts)))
      z.insert(z.end(), row.begin(), row.end());
  auto const n = inputs::normal(static_cast<std::size_t>(experts) * 100, 9, 2);
  z.insert(z.end(), n.begin(), n.end());
  return z;
}

}  // namespace

TEST_CASE("promise P7 vector path: runs of 1 to 17 rows, at the end of a batch and between rows that are none") {
  for (index_t experts : {8, 64, 100, 128}) {
    std::vector<float> const all = rows_for(experts), bias = inputs::normal(static_cast<std::size_t>(experts), 4, .1f);
    auto const width = static_cast<std::ptrdiff_t>(experts);
    for (std::ptrdiff_t rows = 1; rows <= 17; ++rows)
      for (std::ptrdiff_t first = 0; first < 42; first += 9) {
        std::vector<float> const z(all.begin() + first * width, all.begin() + (first + rows) * width);
        same(router{.select = top_k{6}}, z, experts);
        same(router{.select = top_k{2}, .weigh = renormalize{}}, z, experts);
        same(router{.bias = correction_bias{row_view<float const>(bias)}, .select = top_k{8}}, z, experts);
        same(router{.select = gumbel_top_k{.k = 8}}, z, experts);
      }
    // Runs of 1, 2, ... rows, each followed by one that is invalid: often odd, with too few experts.
    std::vector<std::uint8_t> valid(all.size() / static_cast<std::size_t>(experts), 1);
    for (std::size_t run = 1, t = 1; t < valid.size(); t += ++run) valid[t] = 0;
    batch<> const in{.valid = row_view<std::uint8_t const>(valid)};
    auto const same_runs = [&](auto const& r) {
      auto const fast = run::route(serial{}, r, all, experts, in),
                 slow = run::route(row_by_row{serial{}}, r, all, experts, in);
      CHECK(fast.ids == slow.ids);
      CHECK(run::same_bits(fast.weights, slow.weights));
      CHECK(run::same_bits(fast.scores, slow.scores));
    };
    same_runs(router{.select = top_k{6}});
    same_runs(router{.bias = correction_bias{row_view<float const>(bias)}, .select = top_k{8}});
    same_runs(router{.select = gumbel_top_k{.k = 8}});
  }
}

#if defined(MOEROUTE_SIMD)
static_assert(simd::fits<router<>, float> && !simd::fits<router<>, double>);
static_assert(simd::vector_score<cubed> && !simd::vector_score<halved_float>);
#endif

TEST_CASE("promise P7 vector path: ids, weights and scores have the bits of the plain path, whole top-k") {
  for (index_t experts : {1, 2, 5, 8, 12, 16, 17, 60, 64, 65, 128, 160, 257, 512}) {
    std::vector<float> const z = rows_for(experts), bias = inputs::normal(static_cast<std::size_t>(experts), 4, .1f);
    row_view<float const> const b(bias);
    for (index_t k : {1, 2, 3, 8, 9, 16, 17, 40, 65}) {
      if (k > experts) continue;
      same(router{.select = top_k{k}}, z, experts);
      same(router{.select = top_k{k}, .weigh = renormalize{}}, z, experts);
      same(router{.bias = correction_bias{b}, .select = top_k{k}, .weigh = p_norm{}}, z, experts);
      same(router{.score = sigmoid{}, .bias = correction_bias{b}, .select = top_k{k}, .weigh = renormalize{.scale = 2}},
           z, experts);
      same(router{.score = sqrt_softplus{}, .bias = correction_bias{b}, .select = top_k{k}}, z, experts);
      same(router{.score = chain{soft_cap{3.f}, softmax{}}, .select = top_k{k}}, z, experts);
      same(router{.score = relu{}, .select = top_k{k}}, z, experts);
      same(router{.score = identity{}, .select = top_k{k}, .weigh = softmax_over_chosen{}}, z, experts);
    }
  }
}

TEST_CASE("promise P7 vector path: groups, priors, user policies, padding rows, bf16-like inputs") {
  for (index_t experts : {8, 16, 64, 96, 160, 256}) {
    std::vector<float> const z = rows_for(experts), bias = inputs::normal(static_cast<std::size_t>(experts), 4, .1f);
    row_view<float const> const b(bias);
    for (index_t groups : {2, 4, 8, 16})
      for (index_t k : {1, 4, 8, 12}) {
        index_t const top = (groups + 1) / 2;
        if (experts % groups != 0 || experts / groups < 2 || k > experts / 2) continue;
        same(router{.score = sigmoid{},
                    .bias = correction_bias{b},
                    .select = group_limited_top_k<>{.k = k, .groups = groups, .top_groups = top},
                    .weigh = renormalize{}},
             z, experts);
        same(router{.select = group_limited_top_k<best_of_group>{.k = k, .groups = groups, .top_groups = top}}, z,
             experts);
      }
    std::vector<std::uint8_t> open(static_cast<std::size_t>(experts), 1);
    for (std::size_t e = 0; e < open.size(); e += 3) open[e] = 0;
    expert_mask const mask{row_view<std::uint8_t const>(open)};
    same(router{.prior = mask, .score = sigmoid{}, .bias = correction_bias{b}, .select = top_k{4}}, z, experts);
    same(router{.prior = mask, .select = group_limited_top_k<best_of_group>{.k = 2, .groups = 4, .top_groups = 2}}, z,
         experts);
    same(router{.score = cubed{}, .select = top_k{4}}, z, experts);
    same(router{.score = halved_float{}, .select = top_k{4}}, z, experts);
  }
  std::vector<float> const z = rows_for(64);
  std::vector<std::uint8_t> valid(z.size() / 64);
  for (std::size_t t = 0; t < valid.size(); ++t) valid[t] = t % 5 != 2;
  batch<> const in{.valid = row_view<std::uint8_t const>(valid)};
  auto const r = router{.select = top_k{6}};
  CHECK(run::route(serial{}, r, z, 64, in).ids == run::route(row_by_row{serial{}}, r, z, 64, in).ids);
}
