#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <moeroute/weigh.hpp>
#if defined(MOEROUTE_SIMD)
#include <moeroute/cpu/simd/sort.hpp>
#endif

#include "support/inputs.hpp"
#include "support/reference.hpp"
#include "support/weighs.hpp"

using namespace moeroute;

namespace {
template <class W>
std::vector<double> weights(W const& w, std::vector<double> s) {
  w(row_view<double>(s));
  return s;
}
template <class W>
void check(W const& w, std::vector<double> const& s, std::vector<double> const& want) {
  auto const got = weights(w, s);
  for (std::size_t j = 0; j < s.size(); ++j) CHECK(got[j] == doctest::Approx(want[j]));
  std::vector<double> const d{1, -2, .5};
  std::vector<double> back(d.begin(), d.begin() + static_cast<std::ptrdiff_t>(s.size()));
  w.backward(row_view<double const>(s), row_view<double>(back));
  auto const slope = reference::gradient(
      [&](auto const& x) {
        auto const y = weights(w, x);
        double sum = 0;
        for (std::size_t j = 0; j < y.size(); ++j) sum += d[j] * y[j];
        return sum;
      },
      s);
  for (std::size_t j = 0; j < s.size(); ++j) CHECK(std::fabs(back[j] - slope[j]) < 1e-7);
}
}  // namespace

TEST_CASE("promise P5 P14 weigh: values and gradients") {
  std::vector<double> const s{.5, .25, .125};
  check(keep_scores{}, s, s);
  check(keep_scores{.scale = 16}, s, {8, 4, 2});
  check(renormalize{.epsilon = 0}, s, {4. / 7, 2. / 7, 1. / 7});
  check(renormalize{.scale = 2.5f}, s, {10. / 7, 5. / 7, 2.5 / 7});
  check(renormalize{.epsilon = .125f}, s, {.5, .25, .125});
  check(renormalize{.epsilon = 0, .floor = 2}, s, {.25, .125, .0625});
  check(renormalize{.keep_single = true}, {.5}, {.5});
  check(renormalize{.epsilon = 0}, {-.5, .2}, {.5 / .3, -.2 / .3});  // no floor: a negative sum divides as well
  check(renormalize{}, {.5}, {1});
  check(p_norm{.p = 1}, s, {4. / 7, 2. / 7, 1. / 7});
  check(p_norm{.p = 2}, {.3, .4}, {.6, .8});
  check(p_norm{.p = 2}, {-.3, .4}, {-.6, .8});
  check(p_norm{.p = 0, .scale = 2}, s, {1, .5, .25});
  check(softmax_over_chosen{}, {1, 2, 3}, {.0900306, .2447285, .6652410});
  check(sigmoid_of_chosen{.scale = 2}, {0, 2}, {1, 1.7615942});
}

TEST_CASE("promise P3 weigh: nothing chosen, zero scores and infinities give no NaN") {
  double const inf = infinity<double>;
  CHECK(weights(renormalize{}, {0, 0}) == std::vector<double>{0, 0});
  CHECK(weights(renormalize{.epsilon = 0}, {0, 0}) == std::vector<double>{0, 0});
  CHECK(weights(p_norm{}, {0, 0}) == std::vector<double>{0, 0});
  CHECK(weights(softmax_over_chosen{}, {-inf, -inf}) == std::vector<double>{0, 0});
  CHECK(weights(softmax_over_chosen{}, {2, -inf}) == std::vector<double>{1, 0});
  CHECK(weights(softmax_over_chosen{}, {inf, 2, inf}) == std::vector<double>{.5, 0, .5});
  CHECK(weights(sigmoid_of_chosen{}, {-inf}) == std::vector<double>{0});
  CHECK(weights(p_norm{.p = 3}, {1e300, 1e300})[0] == doctest::Approx(std::cbrt(.5)));  // no overflow inside
}

#if defined(MOEROUTE_SIMD)
namespace {
// Rows across lanes, whole and in k parts of odd rows: the bits of one row after the other.
template <class W>
void check_lanes(W const& w) {
  static_assert(takes_vectors<W>);
  for (int const n : {1, 2, 3, 8}) {
    auto const k = static_cast<std::size_t>(n);
    std::vector<std::vector<float>> rows = inputs::adversarial(inputs::normal(k, 4));
    while (rows.size() % 16 != 0) rows.push_back(inputs::normal(k, static_cast<unsigned>(rows.size()), .3f));
    for (std::size_t first = 0; first < rows.size(); first += 16) {
      std::vector<simd::floats> chosen(k);
      for (std::size_t j = 0; j < k; ++j)
        for (std::size_t t = 0; t < 16; ++t) reinterpret_cast<float*>(&chosen[j])[t] = rows[first + t][j];
      w(row_view<simd::floats>(chosen.data(), static_cast<offset_t>(k)));
      for (std::size_t t = 0; t < 16; ++t) {
        auto row = rows[first + t];
        w(row_view<float>(row));
        for (std::size_t j = 0; j < k; ++j) {
          float lane[16];
          simd::store(lane, chosen[j]);
          bool const both_nan = is_nan(lane[t]) && is_nan(row[j]);
          CHECK((both_nan || math::as<std::int32_t>(lane[t]) == math::as<std::int32_t>(row[j])));
        }
      }
    }
  }
}
}  // namespace

TEST_CASE("weigh: 16 rows side by side have the bits of one") {
  every_weigh([](auto const& w) { check_lanes(w); });
  check_lanes(sigmoid_of_chosen{.scale = 2});
}
#endif
