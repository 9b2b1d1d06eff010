// Decides whether the dynamic program finds what trying everything finds, and says so where nothing fits.
#include <moeroute/assign/bit_allocation.hpp>

#include <algorithm>
#include <cmath>

#include "support/choice.hpp"

using namespace choice_test;

namespace {
struct answer {
  std::vector<index_t> option;
  double total = 0;
  status result;
};
answer allocate(std::vector<double> const& cost, std::vector<index_t> const& bits, offset_t budget,
                std::vector<index_t> const& required) {
  auto const options = static_cast<offset_t>(bits.size()), experts = static_cast<offset_t>(cost.size()) / options;
  answer a;
  a.option.assign(static_cast<std::size_t>(experts), 77);
  auto work = memory(bit_allocation_workspace_bytes(experts, budget, static_cast<index_t>(required.size())));
  a.result =
      try_allocate_bits(matrix_view<double const>{cost.data(), experts, options}, row_view<index_t const>(bits), budget,
                        row_view<index_t const>(required), row_view<index_t>(a.option), workspace(work), &a.total);
  return a;
}
// Everything tried: the least total, or infinity.
double brute(std::vector<double> const& cost, std::vector<index_t> const& bits, offset_t budget,
             std::vector<index_t> const& required) {
  std::size_t const options = bits.size(), experts = cost.size() / options;
  std::size_t all = 1;
  for (std::size_t e = 0; e < experts; ++e) all *= options;
  double best = infinity<double>;
  for (std::size_t code = 0; code < all; ++code) {
    offset_t spent = 0;
    double sum = 0;
    std::vector<bool> used(options);
    for (std::size_t e = 0, rest = code; e < experts; ++e, rest /= options) {
      std::size_t const o = rest % options;
      spent += bits[o], sum += cost[e * options + o], used[o] = true;
    }
    bool good = spent <= budget;
    for (auto const r : required) good = good && used[static_cast<std::size_t>(r)];
    if (good) best = std::min(best, sum);
  }
  return best;
}
}  // namespace

TEST_CASE("S161 MC-MoE bit allocation: equals brute force, keeps the budget, a 3-bit and a 2-bit expert at least") {
  std::vector<index_t> const bits{1, 2, 3};
  for (unsigned seed = 0; seed < 12; ++seed) {
    std::size_t const experts = 2 + seed % 6;
    auto cost = normal_numbers(experts * 3, seed);
    bit_cost const rule{};
    for (std::size_t e = 0; e < experts; ++e)  // errors fall with bits
      for (std::size_t o = 0; o < 3; ++o)
        cost[3 * e + o] =
            rule(std::fabs(cost[3 * e]) + .1, std::fabs(cost[3 * e + 1]) + .1, std::exp(-.9 * static_cast<double>(o)));
    for (offset_t budget = 3; budget <= 3 * static_cast<offset_t>(experts); ++budget)
      for (std::vector<index_t> const& required : {std::vector<index_t>{}, std::vector<index_t>{1, 2}}) {
        auto const a = allocate(cost, bits, budget, required);
        double const best = brute(cost, bits, budget, required);
        CHECK(a.result.ok() == (best < infinity<double>));
        if (!a.result.ok()) continue;
        CHECK(a.total == doctest::Approx(best).epsilon(1e-12));
        offset_t spent = 0;
        double sum = 0;
        for (std::size_t e = 0; e < experts; ++e) {
          auto const o = static_cast<std::size_t>(a.option[e]);
          REQUIRE(o < 3);
          spent += bits[o], sum += cost[3 * e + o];
        }
        CHECK(spent <= budget);
        CHECK(sum == doctest::Approx(a.total).epsilon(1e-12));
        for (auto const r : required) CHECK(std::count(a.option.begin(), a.option.end(), r) > 0);
      }
  }
}

TEST_CASE("S161 S167 bit cost: separate exponents; refusals by name") {
  bit_cost const rule{.alpha = 1, .beta = 1.5, .gamma = 2};
  CHECK(rule(.5, 4, 3) == doctest::Approx(.5 * 8 * 9).epsilon(1e-12));
  CHECK(rule(0, 4, 3) == 0);
  CHECK(allocate({1, 2, 3, 4}, {2, 3}, 3, {}).result.code == errc::bad_value);  // two experts need 4 bits
  CHECK(!allocate({1, 2, 3, 4}, {2, 3}, 9, {2}).result.ok());
}
