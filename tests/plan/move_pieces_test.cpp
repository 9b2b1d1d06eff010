// Decides whether a row that moves by pieces of 16 bytes gives what its numbers give one by one: sums over terms, and one
// row for several places, at widths with and without a rest.
#include <doctest/doctest.h>

#include <Eigen/Core>

#include <moeroute/cpu/lockstep.hpp>
#include <moeroute/plan/move_rows.hpp>

#include "support/travel.hpp"

using namespace moeroute;

namespace {
template <class T, class O>
struct move_row {
  T const *a, *b;
  offset_t width;
  O *scaled, *negative, *sum;
  offset_t scratch_bytes() const { return 0; }
  void operator()(lane_group auto const& g, offset_t, scratch) const {
    detail::spread_row<float, O>(
        g, a, width, detail::on_16_bytes(a) && detail::on_16_bytes(scaled) && detail::on_16_bytes(negative),
        [&](auto&& visit) { visit(scaled, .75f), visit(negative, -1.f); }, detail::scaled_into<float, O>{});
    bool const aligned = detail::on_16_bytes(a) && detail::on_16_bytes(b) && detail::on_16_bytes(sum);
    detail::sum_rows<float, T>(g, sum, width, aligned, [&](auto&& visit) { visit(a, .5f), visit(b, -2.f); });
    g.sync();
  }
};
}  // namespace

TEST_CASE_TEMPLATE("promise P7: rows moved in pieces of 16 bytes, or one by one where they do not lie on 16", T, float,
                   Eigen::half) {
  using O = std::conditional_t<std::same_as<T, float>, Eigen::half, float>;
  for (offset_t const width : {0, 3, 8, 37, 100, 300})
    for (std::size_t const shift : {std::size_t{0}, std::size_t{1}}) {
      auto const a = as<T>(drawn(width + 1, 1)), b = as<T>(drawn(width + 1, 2));
      auto const run = [&](auto const& x) {
        std::vector<O> scaled(static_cast<std::size_t>(width) + 2, O(9)), negative(scaled), sum(scaled);
        move_row<T, O> const body{a.data() + shift,      b.data() + shift,        width,
                                  scaled.data() + shift, negative.data() + shift, sum.data() + shift};
        REQUIRE(x.run(1, body, {}).ok());
        scaled.insert(scaled.end(), negative.begin(), negative.end());
        scaled.insert(scaled.end(), sum.begin(), sum.end());
        return scaled;
      };
      auto const want = run(serial{});
      CHECK(static_cast<float>(want[static_cast<std::size_t>(width) + shift]) == 9.f);  // nothing beyond the row
      for (index_t const lanes : {2, 3, 8}) CHECK(run(lockstep{lanes}) == want);
      for (std::size_t d = 0; d < static_cast<std::size_t>(width); ++d) {
        float const x = static_cast<float>(a[d + shift]), y = static_cast<float>(b[d + shift]);
        std::size_t const next = static_cast<std::size_t>(width) + 2;
        CHECK(want[d + shift] == O(.75f * x));
        CHECK(want[next + d + shift] == O(-x));
        CHECK(want[2 * next + d + shift] == O(math::fma(-2.f, y, .5f * x)));
      }
    }
}
